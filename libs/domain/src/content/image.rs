use super::part::part;
use super::{Check, Draft, MAX_CAPTION, MediaSource, Private};

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    media: MediaSource,
    caption: Option<Private>,
}

part!(struct Image { media, caption });

// === impl Image ===

impl Image {
    /// A picture with text below it, at most 1,024 characters; empty: none.
    pub fn new(media: Draft<MediaSource>, caption: String, check: &mut Check) -> Draft<Self> {
        let caption = check.optional_text("caption", caption, MAX_CAPTION);
        media.map(|media| Self { media, caption })
    }

    /// Where it is.
    pub fn media(&self) -> &MediaSource {
        &self.media
    }

    /// Text below it.
    pub fn caption(&self) -> Option<&str> {
        self.caption.as_deref()
    }
}
