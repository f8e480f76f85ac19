use super::part::part;
use super::{Draft, MediaSource};

/// Sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    media: MediaSource,
    voice: bool,
}

part!(struct Audio { media, voice });

// === impl Audio ===

impl Audio {
    /// Sound, or with `voice` a voice message.
    pub fn new(media: Draft<MediaSource>, voice: bool) -> Draft<Self> {
        media.map(|media| Self { media, voice })
    }

    /// Where it is.
    pub fn media(&self) -> &MediaSource {
        &self.media
    }

    /// Whether it is shown as a voice message.
    pub fn is_voice(&self) -> bool {
        self.voice
    }
}
