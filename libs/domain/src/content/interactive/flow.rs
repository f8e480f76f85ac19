use std::collections::BTreeMap;

use unicode_properties::emoji::{EmojiStatus, UnicodeEmoji as _};

use crate::content::check::MAX_META_ID;
use crate::content::part::part;
use crate::content::{Check, Draft, Json, Private};

/// A `WhatsApp` flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    id: Private,
    call_to_action: Private,
    token: Option<Private>,
    start: FlowStart,
    draft: bool,
}

/// What a flow's button does first.
#[derive(Clone, PartialEq, Eq)]
pub enum FlowStart {
    /// Opens a screen.
    Navigate {
        /// The screen.
        screen: Private,
        /// Data for it; `None` rather than empty.
        data: Option<Json>,
    },
    /// Asks the flow's endpoint.
    DataExchange,
}

part!(struct Flow { id, call_to_action, token, start, draft });

const MAX_CALL_TO_ACTION: usize = 30;
const MAX_TOKEN: usize = 256;
const MAX_SCREEN: usize = 256;

// === impl Flow ===

impl Flow {
    /// A flow by Meta's id, its button's label (1 to 30 characters, no emoji), and what comes back with the answer (at most 256 characters; empty: none).
    pub fn new(
        flow_id: String,
        call_to_action: String,
        token: String,
        start: FlowStart,
        draft: bool,
        check: &mut Check,
    ) -> Draft<Self> {
        check.expect(!has_emoji(&call_to_action), "call_to_action", "must not contain emoji");
        Draft(Some(Self {
            id: check.digits("flow_id", flow_id, MAX_META_ID),
            call_to_action: check.text("call_to_action", call_to_action, MAX_CALL_TO_ACTION),
            token: check.optional_text("flow_token", token, MAX_TOKEN),
            start,
            draft,
        }))
    }

    /// Meta's id of the flow.
    pub fn flow_id(&self) -> &str {
        &self.id
    }

    /// Label of the button.
    pub fn call_to_action(&self) -> &str {
        &self.call_to_action
    }

    /// Comes back with the answer.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// What the button does first.
    pub fn start(&self) -> &FlowStart {
        &self.start
    }

    /// Whether the flow is still a draft.
    pub fn is_draft(&self) -> bool {
        self.draft
    }
}

// === impl FlowStart ===

impl FlowStart {
    /// Opens a screen.
    pub fn navigate(screen: String, data: Option<Json>, check: &mut Check) -> Self {
        let screen = check.text("screen", screen, MAX_SCREEN);
        let data = flow_data("data", data, check);
        Self::Navigate { screen, data }
    }

    /// Asks the flow's endpoint, which gives screen and data.
    pub fn data_exchange(screen: &str, data: Option<&Json>, check: &mut Check) -> Self {
        check.expect(screen.is_empty(), "screen", "must be empty with DATA_EXCHANGE");
        check.expect(data.is_none(), "data", "must be absent with DATA_EXCHANGE");
        Self::DataExchange
    }
}

impl crate::content::part::Part for FlowStart {
    fn heap(&self) -> usize {
        match self {
            Self::Navigate { screen, data } => screen.heap() + data.heap(),
            Self::DataExchange => 0,
        }
    }
}

impl std::fmt::Debug for FlowStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Navigate { .. } => "Navigate(…)",
            Self::DataExchange => "DataExchange",
        })
    }
}

/// Data for a flow's screen: an object that is not too deep. An empty one is none.
pub(in crate::content) fn flow_data(field: &str, data: Option<Json>, check: &mut Check) -> Option<Json> {
    let data = data?;
    check.expect(
        matches!(data, Json::Object(_)) && data.depth() <= Json::MAX_DEPTH,
        field,
        &format!(
            "must be an object of finite values, nested at most {} levels deep",
            Json::MAX_DEPTH
        ),
    );
    Some(data).filter(|data| *data != Json::Object(BTreeMap::new()))
}

/// Whether a text has what is shown as an emoji: by itself, or asked to be by a variation selector.
fn has_emoji(text: &str) -> bool {
    text.chars().any(|character| {
        character == '\u{fe0f}'
            || matches!(
                character.emoji_status(),
                EmojiStatus::EmojiPresentation
                    | EmojiStatus::EmojiPresentationAndModifierBase
                    | EmojiStatus::EmojiPresentationAndEmojiComponent
                    | EmojiStatus::EmojiPresentationAndModifierAndEmojiComponent
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emoji_are_what_is_shown_as_such() {
        for text in ["Book 👍", "🇩🇪", "❤️", "✅", "1️⃣"] {
            assert!(has_emoji(text), "{text}");
        }
        for text in ["Book 24/7 #1 *", "Réserver", "予約", "© ™ ❤"] {
            assert!(!has_emoji(text), "{text}");
        }
    }
}
