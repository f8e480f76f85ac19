use crate::content::part::part;
use crate::content::{Check, Draft, MediaSource, Private};

/// What stands above an interactive body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// A text of at most 60 characters.
    Text(Private),
    /// A picture.
    Image(MediaSource),
    /// A film.
    Video(MediaSource),
    /// A file.
    Document(MediaSource),
}

part!(
    enum Header {
        Text,
        Image,
        Video,
        Document,
    }
);

const MAX_TEXT: usize = 60;

// === impl Header ===

impl Header {
    /// A text.
    pub fn text(text: String, check: &mut Check) -> Draft<Self> {
        Draft(Some(Self::Text(check.text("text", text, MAX_TEXT))))
    }
}
