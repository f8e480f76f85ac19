use super::part::part;
use super::{Draft, MediaSource};

/// A sticker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticker {
    media: MediaSource,
}

part!(struct Sticker { media });

// === impl Sticker ===

impl Sticker {
    /// A sticker.
    pub fn new(media: Draft<MediaSource>) -> Draft<Self> {
        media.map(|media| Self { media })
    }

    /// Where it is.
    pub fn media(&self) -> &MediaSource {
        &self.media
    }
}
