use super::part::part;
use super::{Check, Draft, MAX_CAPTION, MediaSource, Private};

/// Any file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    media: MediaSource,
    caption: Option<Private>,
    filename: Option<Private>,
}

part!(struct Document { media, caption, filename });

const MAX_FILENAME: usize = 240;

// === impl Document ===

impl Document {
    /// A file with text below it, at most 1,024 characters, and the name that the recipient sees; empty: none.
    pub fn new(media: Draft<MediaSource>, caption: String, filename: String, check: &mut Check) -> Draft<Self> {
        let caption = check.optional_text("caption", caption, MAX_CAPTION);
        let filename = file_name(filename, check);
        media.map(|media| Self {
            media,
            caption,
            filename,
        })
    }

    /// Where it is.
    pub fn media(&self) -> &MediaSource {
        &self.media
    }

    /// Text below it.
    pub fn caption(&self) -> Option<&str> {
        self.caption.as_deref()
    }

    /// The name that the recipient sees.
    pub fn filename(&self) -> Option<&str> {
        self.filename.as_deref()
    }
}

/// A file's name without folders.
pub(super) fn file_name(name: String, check: &mut Check) -> Option<Private> {
    let name = check.optional_text("filename", name, MAX_FILENAME)?;
    let odd = |character: char| character == '/' || character.is_control();
    check.expect(
        !name.chars().any(odd),
        "filename",
        "must not contain slashes or control characters",
    );
    Some(name)
}
