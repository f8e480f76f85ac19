use unicode_properties::UnicodeEmoji;
use unicode_segmentation::UnicodeSegmentation as _;

use super::part::part;
use super::{Check, Draft, Private};
use crate::Wamid;

/// A reaction to an earlier message, or its removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    message: Wamid,
    emoji: Option<Private>,
}

part!(struct Reaction { message, emoji });

/// The longest emoji that Unicode recommends, a family with skin tones, has 41 bytes.
const MAX_EMOJI_BYTES: usize = 64;

// === impl Reaction ===

impl Reaction {
    /// A reaction to a message with one emoji; empty: takes it back.
    pub fn new(external_message_id: String, emoji: String, check: &mut Check) -> Draft<Self> {
        let message = Wamid::new(external_message_id);
        check.expect(
            message.is_some(),
            "external_message_id",
            "must be Meta's id of a message, wamid.…",
        );
        check.expect(emoji.is_empty() || is_emoji(&emoji), "emoji", "must be one emoji");
        let emoji = (!emoji.is_empty()).then(|| Private::from(emoji));
        Draft(message.map(|message| Self { message, emoji }))
    }

    /// The message it is a reaction to.
    pub fn message(&self) -> &Wamid {
        &self.message
    }

    /// The emoji; `None` takes the reaction back.
    pub fn emoji(&self) -> Option<&str> {
        self.emoji.as_deref()
    }
}

/// Whether a text is one emoji: what a reader takes for one character, with an emoji in it. Digits, `#` and `*` are emoji only with a keycap.
fn is_emoji(text: &str) -> bool {
    let pictorial = |character: char| {
        (character.is_emoji_char() && !character.is_ascii()) || character == '\u{20e3}' // keycap
    };
    text.len() <= MAX_EMOJI_BYTES && text.graphemes(true).count() == 1 && text.chars().any(pictorial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_emoji_is_one_however_it_is_made() {
        for emoji in ["👍", "❤️", "❤", "👩🏽‍🚒", "👨‍👩‍👧‍👦", "🇩🇪", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣", "©️", "🫩"]
        {
            assert!(is_emoji(emoji), "{emoji}");
        }
        for other in ["a", "1", "#", "é", "👍👍", "👍 ", " ", "ok", "日", "🇩🇪🇫🇷"] {
            assert!(!is_emoji(other), "{other}");
        }
    }
}
