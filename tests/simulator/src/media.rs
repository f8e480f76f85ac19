//! Media that were uploaded: which types and sizes Meta takes, how long it keeps them, and whose they are.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::errors::Refusal;

/// Which types of messages may use a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Audio,
    Document,
    Image,
    Sticker,
    Video,
}

/// A medium.
#[derive(Debug, Clone)]
pub(crate) struct Medium {
    /// The number it belongs to; no other number can use it.
    pub(crate) phone_number_id: String,
    pub(crate) mime: String,
    pub(crate) family: Family,
    pub(crate) sha256: [u8; 32],
    pub(crate) size: u64,
    /// Until when Meta keeps it, in unix milliseconds.
    pub(crate) until_ms: i64,
    /// The bytes, if there are few of them.
    pub(crate) body: Option<Bytes>,
}

/// A medium while it is being uploaded: hashed, measured, and kept while it is small.
#[derive(Debug)]
pub(crate) struct Upload {
    mime: String,
    family: Family,
    hash: Sha256,
    size: u64,
    /// What tells the type by the content.
    head: Vec<u8>,
    body: Option<Vec<u8>>,
}

/// All media.
#[derive(Debug, Default)]
pub(crate) struct Media(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    by_id: HashMap<String, Medium>,
    kept: usize,
}

/// How long an uploaded medium is kept, in milliseconds.
pub(crate) const KEPT_MS: i64 = 30 * DAY_MS;
/// How long a medium of a user's message is kept, in milliseconds.
pub(crate) const INBOUND_KEPT_MS: i64 = 7 * DAY_MS;
/// How long the address of a medium works, in milliseconds.
pub(crate) const URL_MS: i64 = 5 * 60 * 1_000;

const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// Largest medium whose bytes are kept, so that they can be downloaded again.
const SMALL: usize = 1 << 20;
/// Bytes kept of all media together; later ones are only hashed.
const KEPT_BYTES: usize = 64 << 20;
/// Bytes that tell the type: the longest mark, that of an animated WebP, ends here.
const HEAD: usize = 21;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The types that Meta names.
const TYPES: &[(&str, Family)] = &[
    ("audio/aac", Family::Audio),
    ("audio/amr", Family::Audio),
    ("audio/mp4", Family::Audio),
    ("audio/mpeg", Family::Audio),
    ("audio/ogg", Family::Audio),
    ("application/msword", Family::Document),
    ("application/pdf", Family::Document),
    ("application/vnd.ms-excel", Family::Document),
    ("application/vnd.ms-powerpoint", Family::Document),
    (
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        Family::Document,
    ),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Family::Document,
    ),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Family::Document,
    ),
    ("text/plain", Family::Document),
    ("image/jpeg", Family::Image),
    ("image/png", Family::Image),
    ("image/webp", Family::Sticker),
    ("video/3gpp", Family::Video),
    ("video/mp4", Family::Video),
];

// === impl Family ===

impl Family {
    /// The family of a type. Documents of other types than the named ones are taken in practice; what names no type at all is not.
    fn of(mime: &str) -> Option<Self> {
        let named = TYPES.iter().find(|(name, _)| *name == mime);
        named.map(|(_, family)| *family).or_else(|| {
            let document = mime.strip_prefix("application/").or_else(|| mime.strip_prefix("text/"));
            document.filter(|subtype| !subtype.is_empty() && *subtype != "octet-stream")?;
            Some(Self::Document)
        })
    }

    /// The word of the messages that use it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Document => "document",
            Self::Image => "image",
            Self::Sticker => "sticker",
            Self::Video => "video",
        }
    }

    /// Most bytes.
    fn most(self, animated: bool) -> u64 {
        match self {
            Self::Audio | Self::Video => 16 * MIB,
            Self::Document => 100 * MIB,
            Self::Image => 5 * MIB,
            Self::Sticker if animated => 500 * KIB,
            Self::Sticker => 100 * KIB,
        }
    }
}

// === impl Upload ===

impl Upload {
    /// Begins an upload of this type.
    pub(crate) fn begin(mime: &str) -> Result<Self, Refusal> {
        let base = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let family = Family::of(&base).ok_or_else(|| {
            let names: Vec<_> = TYPES.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "(#100) Param file must be a file with one of the following types: {}. Received file of type '{base}'.",
                names.join(", ")
            );
            Refusal::new(400, 100, message)
        })?;
        Ok(Self {
            mime: base,
            family,
            hash: Sha256::new(),
            size: 0,
            head: Vec::with_capacity(HEAD),
            body: Some(Vec::new()),
        })
    }

    /// Takes the next bytes. Nothing is refused before the end: Meta reads an upload whole.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        let lacking = HEAD - self.head.len();
        self.head.extend(&bytes[..lacking.min(bytes.len())]);
        match &mut self.body {
            Some(body) if body.len() + bytes.len() <= SMALL => body.extend(bytes),
            body => *body = None,
        }
    }

    /// The medium, if it keeps to size and type.
    pub(crate) fn finish(self, phone_number_id: &str, until_ms: i64) -> Result<Medium, Refusal> {
        let failed = |details: String| Err(Refusal::of_code(131_053).details(details));
        if self.size == 0 {
            return failed("The file is empty.".to_owned());
        }
        // A VP8X chunk with its animation bit.
        let animated = self.head.get(12..16) == Some(b"VP8X") && self.head.get(20).is_some_and(|bits| bits & 2 != 0);
        let most = self.family.most(animated);
        if self.size > most {
            return failed(format!(
                "File of type {} has {} bytes; at most {most} are supported.",
                self.mime, self.size
            ));
        }
        if !self.looks_right() {
            return failed(format!("The content of the file is not of type {}.", self.mime));
        }
        Ok(Medium {
            phone_number_id: phone_number_id.to_owned(),
            mime: self.mime,
            family: self.family,
            sha256: self.hash.finalize().into(),
            size: self.size,
            until_ms,
            body: self.body.map(Bytes::from),
        })
    }

    /// Whether the content begins as the type demands, for the types whose beginning is fixed.
    fn looks_right(&self) -> bool {
        let head = &self.head;
        match self.mime.as_str() {
            "image/jpeg" => head.starts_with(b"\xff\xd8\xff"),
            "image/png" => head.starts_with(b"\x89PNG\r\n\x1a\n"),
            "image/webp" => head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP"),
            "audio/ogg" => head.starts_with(b"OggS"),
            "audio/amr" => head.starts_with(b"#!AMR"),
            "video/mp4" | "video/3gpp" | "audio/mp4" => head.get(4..8) == Some(b"ftyp"),
            "application/pdf" => head.starts_with(b"%PDF"),
            _ => true,
        }
    }
}

// === impl Media ===

impl Media {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a medium under this id.
    pub(crate) fn add(&self, id: String, mut medium: Medium) {
        let mut all = self.shelf();
        let size = medium.body.as_ref().map_or(0, Bytes::len);
        if all.kept + size > KEPT_BYTES {
            medium.body = None;
        } else {
            all.kept += size;
        }
        all.by_id.insert(id, medium);
    }

    /// A medium that is still kept.
    pub(crate) fn get(&self, id: &str, now_ms: i64) -> Option<Medium> {
        let all = self.shelf();
        all.by_id.get(id).filter(|medium| now_ms < medium.until_ms).cloned()
    }

    /// Whether there ever was a medium with this id.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.shelf().by_id.contains_key(id)
    }

    /// Removes a medium.
    pub(crate) fn remove(&self, id: &str) {
        let mut all = self.shelf();
        if let Some(medium) = all.by_id.remove(id) {
            all.kept -= medium.body.map_or(0, |body| body.len());
        }
    }

    /// Lets a medium expire at this time, as if Meta had kept it for a shorter time; false when there is none.
    pub(crate) fn expire(&self, id: &str, at_ms: i64) -> bool {
        let mut all = self.shelf();
        let found = all.by_id.get_mut(id);
        found.map(|medium| medium.until_ms = at_ms).is_some()
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        *self.shelf() = Shelf::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An upload of this many bytes; only the first are really there.
    fn upload(mime: &str, head: &[u8], size: u64) -> Result<Medium, Refusal> {
        let mut upload = Upload::begin(mime)?;
        for chunk in head.chunks(3) {
            upload.push(chunk);
        }
        upload.size = size;
        upload.finish("1", 10)
    }

    fn code(result: Result<Medium, Refusal>) -> i32 {
        result.map_or_else(|refusal| refusal.code, |_| 0)
    }

    const STILL: &[u8] = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0";
    const ANIMATED: &[u8] = b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\x02";

    #[test]
    fn sizes_are_metas() {
        for (mime, head, most) in [
            ("image/jpeg", &b"\xff\xd8\xff"[..], 5 * MIB),
            ("video/mp4", b"\0\0\0\x18ftyp", 16 * MIB),
            ("audio/ogg; codecs=opus", b"OggS", 16 * MIB),
            ("application/pdf", b"%PDF", 100 * MIB),
            ("image/webp", STILL, 100 * KIB),
            ("image/webp", ANIMATED, 500 * KIB),
        ] {
            assert_eq!(code(upload(mime, head, most)), 0, "{mime}");
            assert_eq!(code(upload(mime, head, most + 1)), 131_053, "{mime}");
        }
        assert_eq!(code(upload("text/plain", b"", 0)), 131_053);
    }

    #[test]
    fn types_are_metas() {
        assert_eq!(upload("text/csv", b"a", 1).expect("taken").family, Family::Document);
        assert_eq!(
            upload("Image/PNG", b"\x89PNG\r\n\x1a\n", 9).expect("taken").mime,
            "image/png"
        );
        for refused in [
            "image/gif",
            "video/avi",
            "application/octet-stream",
            "",
            "text/",
            "font/woff",
        ] {
            assert_eq!(code(upload(refused, b"a", 1)), 100, "{refused}");
        }
        assert_eq!(code(upload("image/jpeg", b"MZ", 500)), 131_053);
    }

    #[test]
    fn only_small_ones_are_kept_whole() {
        let medium = upload("text/plain", b"hello", 5).expect("taken");
        assert_eq!(medium.body.as_deref(), Some(&b"hello"[..]));
        let large = upload("text/plain", &vec![b'a'; SMALL + 1], SMALL as u64 + 1).expect("taken");
        assert!(large.body.is_none() && large.sha256 != medium.sha256);
    }
}
