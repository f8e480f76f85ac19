//! The kinds of files that messages carry, and how large Meta takes them.

use outeract_proto::messaging::v1::{FileKind, FileState};

/// The kind of message a file is sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Image,
    Video,
    Audio,
    Document,
    Sticker,
}

/// Whether a file's bytes are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// They are on their way.
    Pending,
    Ready,
    /// They will never be.
    Failed,
}

/// A MIME type without parameters, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MimeType(String);

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Meta's limits, in bytes.
const IMAGE: u64 = 5 * MIB;
const VIDEO: u64 = 16 * MIB;
const AUDIO: u64 = 16 * MIB;
const DOCUMENT: u64 = 100 * MIB;
const STICKER: u64 = 100 * KIB;
const ANIMATED_STICKER: u64 = 500 * KIB;

/// Longest type that is read.
const LONGEST: usize = 127;
/// `application/` types that are programs, whatever their bytes are.
const PROGRAMS: &[&str] = &[
    "ecmascript",
    "hta",
    "java-archive",
    "java-vm",
    "javascript",
    "jar",
    "vnd.android.package-archive",
    "vnd.apple.installer+xml",
    "vnd.debian.binary-package",
    "vnd.microsoft.portable-executable",
    "wasm",
    "x-apple-diskimage",
    "x-bat",
    "x-csh",
    "x-dosexec",
    "x-elf",
    "x-executable",
    "x-httpd-php",
    "x-java-archive",
    "x-javascript",
    "x-mach-binary",
    "x-ms-application",
    "x-ms-installer",
    "x-ms-shortcut",
    "x-msdos-program",
    "x-msdownload",
    "x-msi",
    "x-perl",
    "x-powershell",
    "x-python",
    "x-rpm",
    "x-ruby",
    "x-sh",
    "x-sharedlib",
    "x-shellscript",
    "x-vbs",
];
/// The same below `text/`.
const TEXT_PROGRAMS: &[&str] = &[
    "ecmascript",
    "javascript",
    "vbscript",
    "x-csh",
    "x-msdos-batch",
    "x-perl",
    "x-php",
    "x-powershell",
    "x-python",
    "x-ruby",
    "x-script.sh",
    "x-sh",
    "x-shellscript",
];
/// Ends of names that systems run when they are opened.
const PROGRAM_NAMES: &[&str] = &[
    "apk", "app", "appx", "bat", "cmd", "com", "cpl", "deb", "dll", "dmg", "exe", "hta", "jar", "js", "jse", "lnk",
    "msc", "msi", "msix", "msp", "pif", "pkg", "ps1", "reg", "rpm", "scr", "sh", "vb", "vbe", "vbs", "wsf", "wsh",
    "xapk",
];

// === impl Kind ===

impl Kind {
    /// As it stands in the tables; the contract has the same numbers.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Image => 1,
            Self::Video => 2,
            Self::Audio => 3,
            Self::Document => 4,
            Self::Sticker => 5,
        }
    }

    /// Reads the code in a row.
    pub(crate) fn of_code(code: i16) -> Option<Self> {
        [Self::Image, Self::Video, Self::Audio, Self::Document, Self::Sticker]
            .into_iter()
            .find(|kind| kind.code() == code)
    }

    pub(crate) fn to_proto(self) -> FileKind {
        match self {
            Self::Image => FileKind::Image,
            Self::Video => FileKind::Video,
            Self::Audio => FileKind::Audio,
            Self::Document => FileKind::Document,
            Self::Sticker => FileKind::Sticker,
        }
    }

    /// Most bytes that Meta takes. A sticker that moves may have more than one at rest.
    pub(crate) fn max_bytes(self, animated: bool) -> u64 {
        match self {
            Self::Image => IMAGE,
            Self::Video => VIDEO,
            Self::Audio => AUDIO,
            Self::Document => DOCUMENT,
            Self::Sticker if animated => ANIMATED_STICKER,
            Self::Sticker => STICKER,
        }
    }
}

// === impl State ===

impl State {
    /// As it stands in the tables; the contract has the same numbers.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Pending => 1,
            Self::Ready => 2,
            Self::Failed => 3,
        }
    }

    /// Reads the code in a row.
    pub(crate) fn of_code(code: i16) -> Option<Self> {
        [Self::Pending, Self::Ready, Self::Failed]
            .into_iter()
            .find(|state| state.code() == code)
    }

    pub(crate) fn to_proto(self) -> FileState {
        match self {
            Self::Pending => FileState::Pending,
            Self::Ready => FileState::Ready,
            Self::Failed => FileState::Failed,
        }
    }

    /// The contract's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Ready => "READY",
            Self::Failed => "FAILED",
        }
    }
}

// === impl MimeType ===

impl MimeType {
    /// Reads a MIME type; parameters such as `; codecs=opus` are left out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let token = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        let essence = text.split(';').next().unwrap_or_default().trim();
        let (family, subtype) = essence.split_once('/')?;
        let fits = text.len() <= LONGEST && token(family) && token(subtype);
        fits.then(|| Self(essence.to_ascii_lowercase()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The type as Meta wants to be told: of OGG it takes Opus only, and the bytes were looked at.
    pub(crate) fn for_meta(stored: &str) -> &str {
        match stored {
            "audio/ogg" => "audio/ogg; codecs=opus",
            other => other,
        }
    }

    /// The type of what a user sent, by Meta's word; what is none says nothing.
    pub(crate) fn received(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|| Self("application/octet-stream".to_owned()))
    }

    /// The kind of message that carries it; none if Meta takes it in no message.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self.0.as_str() {
            "image/jpeg" | "image/png" => Some(Kind::Image),
            "image/webp" => Some(Kind::Sticker),
            "video/mp4" | "video/3gpp" => Some(Kind::Video),
            "audio/aac" | "audio/amr" | "audio/mpeg" | "audio/mp4" | "audio/ogg" => Some(Kind::Audio),
            // A type that says nothing.
            "application/octet-stream" => None,
            other => {
                let subtype = other.strip_prefix("application/").map(|subtype| (subtype, PROGRAMS));
                let subtype = subtype.or_else(|| other.strip_prefix("text/").map(|subtype| (subtype, TEXT_PROGRAMS)));
                let (subtype, programs) = subtype?;
                (!programs.contains(&subtype)).then_some(Kind::Document)
            }
        }
    }
}

/// Whether a file of this name would be run when it is opened.
pub(crate) fn is_program_name(name: &str) -> bool {
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.trim().to_ascii_lowercase());
    extension.is_some_and(|extension| PROGRAM_NAMES.contains(&extension.as_str()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(text: &str) -> Option<Kind> {
        MimeType::parse(text).expect(text).kind()
    }

    #[test]
    fn the_kind_follows_from_the_type() {
        for (text, expected) in [
            ("image/jpeg", Some(Kind::Image)),
            ("IMAGE/PNG", Some(Kind::Image)),
            ("image/webp", Some(Kind::Sticker)),
            ("video/3gpp", Some(Kind::Video)),
            ("audio/ogg; codecs=opus", Some(Kind::Audio)),
            ("audio/mp4", Some(Kind::Audio)),
            ("application/pdf", Some(Kind::Document)),
            ("text/csv;charset=utf-8", Some(Kind::Document)),
            ("application/vnd.oasis.opendocument.text", Some(Kind::Document)),
            ("image/gif", None),
            ("video/quicktime", None),
            ("audio/wav", None),
            ("application/octet-stream", None),
            ("application/x-msdownload", None),
            ("application/vnd.android.package-archive", None),
            ("text/javascript", None),
            ("font/ttf", None),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_mime_type_is_refused() {
        for bad in [
            "",
            "/",
            "image",
            "image/",
            "/png",
            "image/p ng",
            "image/png/x",
            "ima ge/png",
            "image/\u{e9}",
            &format!("a/{}", "b".repeat(126)),
        ] {
            assert_eq!(MimeType::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_of_programs_are_known_whatever_their_case() {
        for name in ["a.exe", "holiday.jpg.EXE", "x.Bat ", "app.apk", ".sh"] {
            assert!(is_program_name(name), "{name}");
        }
        for name in ["", "exe", "a.exe.pdf", "a.jpg", "a."] {
            assert!(!is_program_name(name), "{name}");
        }
    }

    #[test]
    fn codes_are_the_contracts() {
        for kind in [Kind::Image, Kind::Video, Kind::Audio, Kind::Document, Kind::Sticker] {
            assert_eq!(i32::from(kind.code()), i32::from(kind.to_proto()));
            assert_eq!(Kind::of_code(kind.code()), Some(kind));
        }
        for state in [State::Pending, State::Ready, State::Failed] {
            assert_eq!(i32::from(state.code()), i32::from(state.to_proto()));
            assert_eq!(State::of_code(state.code()), Some(state));
            assert_eq!(format!("FILE_STATE_{}", state.word()), state.to_proto().as_str_name());
        }
        assert_eq!((Kind::of_code(0), State::of_code(4)), (None, None));
    }

    proptest! {
        #[test]
        fn any_text_is_a_type_or_none(text in ".{0,140}") {
            if let Some(read) = MimeType::parse(&text) {
                prop_assert_eq!(MimeType::parse(read.as_str()), Some(read.clone()));
                prop_assert!(read.as_str().is_ascii());
            }
        }
    }
}
