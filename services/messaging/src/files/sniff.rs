//! What a file is by its own first bytes, and whether that fits what it was said to be.

use file_format::{FileFormat, Kind as Nature};

use super::kind::MimeType;

/// Why a file is not taken: what its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// A MIME type; empty: they are of no type that is known.
    pub found: String,
}

/// So many bytes tell what a file is.
pub(crate) const HEAD: usize = 64 << 10;
/// A PDF's mark may stand behind other bytes, but not far.
const PDF_WITHIN: usize = 1_024;

/// Whether a file that begins with `head` ([`HEAD`] bytes, or all there are) is what it was declared as. Programs never are.
pub(crate) fn check(declared: &MimeType, head: &[u8]) -> Result<(), Contradiction> {
    let format = FileFormat::from_bytes(head);
    if let Some(found) = program(format, head) {
        return Err(Contradiction { found });
    }
    if fits(declared.as_str(), format, head) {
        return Ok(());
    }
    let unknown = matches!(format, FileFormat::ArbitraryBinaryData | FileFormat::Empty);
    let found = if unknown { "" } else { format.media_type() };
    Err(Contradiction {
        found: found.to_owned(),
    })
}

/// As [`check`], of what a user sent: that may be of any type, and of those that Meta does not take from here nothing more is known than that they are no programs.
pub(crate) fn check_received(declared: &MimeType, head: &[u8]) -> Result<(), Contradiction> {
    if declared.kind().is_some() {
        return check(declared, head);
    }
    match program(FileFormat::from_bytes(head), head) {
        Some(found) => Err(Contradiction { found }),
        None => Ok(()),
    }
}

/// Whether a WebP that begins so moves: a chunk `VP8X` with its animation bit.
pub(crate) fn is_animated(head: &[u8]) -> bool {
    head.get(12..16) == Some(b"VP8X") && head.get(20).is_some_and(|bits| bits & 0b10 != 0)
}

/// The MIME type of a program, if it is one.
fn program(format: FileFormat, head: &[u8]) -> Option<String> {
    // Marks of two bytes that texts and pictures have as well.
    const WEAK: [FileFormat; 2] = [FileFormat::CommonObjectFileFormat, FileFormat::Commodore64Program];
    const PACKAGES: [FileFormat; 7] = [
        FileFormat::AndroidPackage,
        FileFormat::Appimage,
        FileFormat::DebianPackage,
        FileFormat::GoogleChromeExtension,
        FileFormat::JavaArchive,
        FileFormat::MicrosoftSoftwareInstaller,
        FileFormat::RedHatPackageManager,
    ];
    if head.starts_with(b"MZ") || head.starts_with(b"ZM") {
        // Two letters that a text may begin with; the header of a program is full of zeros.
        return head
            .contains(&0)
            .then(|| "application/vnd.microsoft.portable-executable".to_owned());
    }
    if head.starts_with(b"#!") && !head.starts_with(b"#!AMR") {
        return Some("text/x-shellscript".to_owned());
    }
    if head.starts_with(b"L\0\0\0\x01\x14\x02\0") {
        return Some("application/x-ms-shortcut".to_owned());
    }
    if head.starts_with(b"PK\x03\x04") {
        return packed_program(head).map(str::to_owned);
    }
    let runs = format.kind() == Nature::Executable && !WEAK.contains(&format);
    (runs || PACKAGES.contains(&format)).then(|| format.media_type().to_owned())
}

/// The names of an archive's first entries tell what it is for.
fn packed_program(head: &[u8]) -> Option<&'static str> {
    const NAMES: [(&str, &str); 5] = [
        ("AndroidManifest.xml", "application/vnd.android.package-archive"),
        ("classes.dex", "application/vnd.android.package-archive"),
        ("META-INF/MANIFEST.MF", "application/java-archive"),
        ("AppxManifest.xml", "application/vnd.ms-appx"),
        ("AppxBlockMap.xml", "application/vnd.ms-appx"),
    ];
    entries(head).find_map(|entry| {
        NAMES
            .iter()
            .find(|(name, _)| entry == name.as_bytes())
            .map(|(_, found)| *found)
    })
}

/// The names in the local headers of a ZIP archive, as far as `head` reaches.
fn entries(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    const MARK: &[u8] = b"PK\x03\x04";
    const FIXED: usize = 30;
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let begin = at.take()?;
        let header = head.get(begin..begin + FIXED)?;
        let length = usize::from(u16::from_le_bytes([header[26], header[27]]));
        let name = head.get(begin + FIXED..begin + FIXED + length)?;
        // Sizes may stand behind an entry instead of before it, so the next header is looked for.
        let after = begin + FIXED + length;
        at = head[after..]
            .windows(MARK.len())
            .position(|window| window == MARK)
            .map(|next| after + next);
        Some(name)
    })
}

fn fits(declared: &str, format: FileFormat, head: &[u8]) -> bool {
    use FileFormat as F;
    match declared {
        "image/jpeg" => format == F::JointPhotographicExpertsGroup,
        "image/png" => matches!(format, F::PortableNetworkGraphics | F::AnimatedPortableNetworkGraphics),
        "image/webp" => format == F::Webp,
        "video/mp4" | "video/3gpp" => is_mp4(head) && !is_audio_only(head),
        "audio/mp4" => is_mp4(head),
        "audio/aac" => format == F::AdvancedAudioCoding,
        "audio/amr" => format == F::AdaptiveMultiRate,
        "audio/mpeg" => matches!(format, F::Mpeg12AudioLayer3 | F::Mpeg12AudioLayer2 | F::Id3v2),
        "audio/ogg" => format == F::OggOpus,
        "application/pdf" => head[..head.len().min(PDF_WITHIN)]
            .windows(5)
            .any(|window| window == b"%PDF-"),
        "application/msword" | "application/vnd.ms-excel" | "application/vnd.ms-powerpoint" => {
            is_compound(head) || (!head.starts_with(b"PK\x03\x04") && !is_something_else(format, head))
        }
        // With a password, Office wraps them up as it did the old ones.
        other if is_office(other) => head.starts_with(b"PK\x03\x04") || is_compound(head),
        other if other.starts_with("text/") => is_text(head) && !is_something_else(format, head),
        "application/zip" => head.starts_with(b"PK"),
        _ => !is_something_else(format, head),
    }
}

fn is_office(declared: &str) -> bool {
    declared.starts_with("application/vnd.openxmlformats-officedocument.")
        || declared.starts_with("application/vnd.oasis.opendocument.")
}

/// MPEG-4 and what is built like it, as far as Meta takes it: not Apple's films, nor pictures in that form.
fn is_mp4(head: &[u8]) -> bool {
    const OTHERS: [&[u8]; 9] = [
        b"qt  ", b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis",
    ];
    head.get(4..8) == Some(b"ftyp") && head.get(8..12).is_some_and(|brand| !OTHERS.contains(&brand))
}

fn is_audio_only(head: &[u8]) -> bool {
    head.get(8..11)
        .is_some_and(|brand| [&b"M4A"[..], b"M4B", b"M4P"].contains(&brand))
}

fn is_compound(head: &[u8]) -> bool {
    head.starts_with(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1")
}

/// Bytes without zeros are text, as are those with a mark of UTF-16 or UTF-32.
fn is_text(head: &[u8]) -> bool {
    !head.contains(&0)
        || head.starts_with(b"\xFF\xFE")
        || head.starts_with(b"\xFE\xFF")
        || head.starts_with(b"\0\0\xFE\xFF")
}

/// Bytes that are a picture, a film, a sound or a PDF beyond doubt, and so no document of another type.
fn is_something_else(format: FileFormat, head: &[u8]) -> bool {
    use FileFormat as F;
    head.get(4..8) == Some(b"ftyp")
        || matches!(
            format,
            F::JointPhotographicExpertsGroup
                | F::PortableNetworkGraphics
                | F::AnimatedPortableNetworkGraphics
                | F::GraphicsInterchangeFormat
                | F::Webp
                | F::TagImageFileFormat
                | F::AudioVideoInterleave
                | F::WaveformAudio
                | F::ExtensibleBinaryMetaLanguage
                | F::FreeLosslessAudioCodec
                | F::OggOpus
                | F::OggVorbis
                | F::OggMultiplexedMedia
                | F::AdaptiveMultiRate
                | F::PortableDocumentFormat
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn users_send_types_that_meta_takes_from_nobody_else_but_no_programs_and_no_lies() {
        let check = |declared: &str, head: &[u8]| check_received(&MimeType::parse(declared).expect(declared), head);
        assert!(check("image/gif", GIF).is_ok());
        assert!(check("application/octet-stream", b"\x01\x02\0").is_ok());
        assert!(check("image/jpeg", JPEG).is_ok());
        assert_eq!(
            check("image/jpeg", PNG).map_err(|found| found.found),
            Err("image/png".to_owned())
        );
        assert!(check("application/octet-stream", b"MZ\x90\0\x03\0").is_err());
    }

    const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0";
    const PNG: &[u8] = b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR";
    const GIF: &[u8] = b"GIF89a\x01\0\x01\0";
    const STILL: &[u8] = b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0\x30";
    const MOVING: &[u8] = b"RIFF\x24\0\0\0WEBPVP8X\x0A\0\0\0\x02";
    const MP4: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2";
    const THREEGP: &[u8] = b"\0\0\0\x18ftyp3gp4\0\0\x02\0isom3gp4";
    const M4A: &[u8] = b"\0\0\0\x18ftypM4A \0\0\x02\0isomiso2";
    const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    const QUICKTIME: &[u8] = b"\0\0\0\x14ftypqt  \0\0\0\0qt  ";
    const AAC: &[u8] = b"\xFF\xF1\x50\x80\x02\x1F\xFC";
    const MP3: &[u8] = b"\xFF\xFB\x90\x64\0\0\0";
    const TAGGED: &[u8] = b"ID3\x04\0\0\0\0\0\x23TSSE";
    const AMR: &[u8] = b"#!AMR\n\x3C\x91";
    const OPUS: &[u8] = b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead\x01\x01";
    const VORBIS: &[u8] = b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1E\x01vorbis\0\0\0\0\x02";
    const PDF: &[u8] = b"%PDF-1.7\n%\xE2\xE3\xCF\xD3";
    const COMPOUND: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0\0\0";
    const EXE: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF";
    const ELF: &[u8] = b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3E\0";
    const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

    fn zip(names: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in names {
            bytes.extend_from_slice(b"PK\x03\x04\x14\0\x08\0\x08\0");
            bytes.extend_from_slice(&[0; 16]);
            bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&[0, 0]);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b"some packed bytes");
        }
        bytes
    }

    fn is(declared: &str, head: &[u8]) -> Result<(), String> {
        let declared = MimeType::parse(declared).expect(declared);
        check(&declared, head).map_err(|contradiction| contradiction.found)
    }

    #[test]
    fn what_meta_takes_is_known_by_its_bytes() {
        for (declared, head) in [
            ("image/jpeg", JPEG),
            ("image/png", PNG),
            ("image/webp", STILL),
            ("image/webp", MOVING),
            ("video/mp4", MP4),
            ("video/3gpp", THREEGP),
            ("audio/mp4", M4A),
            ("audio/mp4", MP4),
            ("audio/aac", AAC),
            ("audio/mpeg", MP3),
            ("audio/mpeg", TAGGED),
            ("audio/amr", AMR),
            ("audio/ogg", OPUS),
            ("application/pdf", PDF),
            ("application/pdf", b"\r\n%PDF-1.4"),
            ("application/msword", COMPOUND),
            ("application/msword", b"{\\rtf1\\ansi"),
            ("application/vnd.ms-excel", b"<html><table>"),
            (DOCX, COMPOUND),
            ("text/plain", b"MZ, true, #!: words"),
            ("text/plain", "\u{feff}gr\u{fc}n".as_bytes()),
            ("text/csv", b"\xFF\xFEa\0;\0"),
            ("application/json", b"{}"),
            ("application/x-anything", b"\0\x02\x9F"),
        ] {
            assert_eq!(is(declared, head), Ok(()), "{declared}");
        }
        assert_eq!(is(DOCX, &zip(&["[Content_Types].xml", "word/document.xml"])), Ok(()));
        assert_eq!(is("application/zip", &zip(&["a.txt"])), Ok(()));
    }

    #[test]
    fn what_is_something_else_is_refused_with_what_it_is() {
        for (declared, head, found) in [
            ("image/jpeg", PNG, "image/png"),
            ("image/png", JPEG, "image/jpeg"),
            ("image/jpeg", GIF, "image/gif"),
            ("image/jpeg", HEIC, "image/heic"),
            ("image/jpeg", b"no picture", ""),
            ("image/jpeg", b"", ""),
            ("video/mp4", QUICKTIME, "video/quicktime"),
            ("video/mp4", M4A, "audio/x-m4a"),
            ("audio/ogg", VORBIS, "audio/ogg"),
            ("audio/mpeg", OPUS, "audio/opus"),
            ("application/pdf", JPEG, "image/jpeg"),
            ("text/plain", PDF, "application/pdf"),
            ("text/plain", b"a\0b", ""),
            ("application/zip", MP4, "video/mp4"),
            ("application/json", MP4, "video/mp4"),
            (DOCX, PDF, "application/pdf"),
            ("application/msword", &zip(&["word/document.xml"]), "application/zip"),
        ] {
            let told = is(declared, head).expect_err(declared);
            // The crate's names of these types are its own business; that there is one is not.
            assert_eq!(told.is_empty(), found.is_empty(), "{declared}: {told}");
        }
        assert_eq!(is("image/jpeg", PNG), Err("image/png".to_owned()));
    }

    #[test]
    fn programs_are_refused_whatever_they_are_called() {
        let archives = [
            zip(&["META-INF/MANIFEST.MF", "a.class"]),
            zip(&["res/icon.png", "AndroidManifest.xml"]),
            zip(&["classes.dex"]),
        ];
        let programs: [&[u8]; 9] = [
            EXE,
            ELF,
            b"#!/bin/sh\n",
            b"\xCA\xFE\xBA\xBE\0\0\0\x34",
            b"\xCF\xFA\xED\xFE\x07\0\0\x01",
            b"\0asm\x01\0\0\0",
            b"dex\n035\0",
            b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xC0",
            b"!<arch>\ndebian-binary   ",
        ];
        for declared in [
            "image/jpeg",
            "video/mp4",
            "text/plain",
            "application/pdf",
            "application/x-anything",
            "application/zip",
            DOCX,
        ] {
            for head in programs.iter().copied().chain(archives.iter().map(Vec::as_slice)) {
                assert!(is(declared, head).expect_err(declared).contains('/'), "{declared}");
            }
        }
    }

    #[test]
    fn an_installer_is_known_by_the_class_in_its_root() {
        let mut msi = vec![0_u8; 2_048];
        msi[..8].copy_from_slice(&COMPOUND[..8]);
        msi[26] = 3;
        msi[48] = 1;
        msi[1_024 + 80..1_024 + 96].copy_from_slice(b"\x84\x10\x0C\0\0\0\0\0\xC0\0\0\0\0\0\0\x46");
        assert!(is("application/msword", &msi).is_err());
        msi[1_024 + 80] = 0;
        assert_eq!(is("application/msword", &msi), Ok(()));
    }

    #[test]
    fn stickers_that_move_are_told_from_those_at_rest() {
        assert!(is_animated(MOVING));
        assert!(!is_animated(STILL));
        assert!(!is_animated(b""));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(
            mark in proptest::sample::select(vec![&b""[..], b"PK\x03\x04", COMPOUND, MP4, b"MZ", b"RIFF", b"\x1A\x45\xDF\xA3", b"<?xml "]),
            rest in proptest::collection::vec(any::<u8>(), 0..2_048),
            declared in proptest::sample::select(vec!["image/jpeg", "video/mp4", "application/pdf", "text/plain", "application/x"]),
        ) {
            let head = [mark, &rest].concat();
            let first = is(declared, &head);
            prop_assert_eq!(&first, &is(declared, &head));
            if declared == "image/jpeg" && !head.starts_with(b"\xFF\xD8\xFF") {
                prop_assert!(first.is_err());
            }
            is_animated(&head);
        }
    }
}
