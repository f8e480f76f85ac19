use std::fmt;

use url::Url;

use super::part::Part;
use super::{Check, Draft};
use crate::FileId;

/// Where a medium is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaSource {
    /// A file of the application. Meta must be given it before a message with it can be sent.
    File(FileId),
    /// An address that Meta fetches it from.
    Link(Link),
    /// Meta's id of it, for one phone number.
    Id(MediaId),
}

/// An `https://` address of at most 2,048 characters. It may hold a secret: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Link(String);

/// Meta's id of a medium, 1 to 64 digits where a caller gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaId(String);

const MAX_LINK: usize = 2_048;
const MAX_MEDIA_ID: usize = 64;

// === impl MediaSource ===

impl MediaSource {
    /// A file, by its id's text.
    pub fn file(id: &str, check: &mut Check) -> Draft<Self> {
        match id.parse() {
            Ok(id) => Draft(Some(Self::File(id))),
            Err(_) => check.refuse("file_id", "must be a file's id, file_…"),
        }
    }

    /// An address that Meta fetches the medium from.
    pub fn link(link: &str, check: &mut Check) -> Draft<Self> {
        match address(link, &["https"], MAX_LINK) {
            Some(link) => Draft(Some(Self::Link(Link(link)))),
            None => check.refuse(
                "link",
                format!("must be an https:// address of at most {MAX_LINK} characters"),
            ),
        }
    }

    /// Meta's id of the medium.
    pub fn id(id: String, check: &mut Check) -> Draft<Self> {
        let id = check.digits("media_id", id, MAX_MEDIA_ID);
        Draft(Some(Self::Id(MediaId(id.into()))))
    }

    /// No source was given.
    pub fn missing(check: &mut Check) -> Draft<Self> {
        check.refuse("", "must name a file, a link or a media id")
    }

    /// The file, if it is one.
    pub fn file_id(&self) -> Option<FileId> {
        match self {
            Self::File(id) => Some(*id),
            Self::Link(_) | Self::Id(_) => None,
        }
    }
}

impl Part for MediaSource {
    fn heap(&self) -> usize {
        match self {
            Self::File(_) => 0,
            Self::Link(Link(text)) | Self::Id(MediaId(text)) => text.len(),
        }
    }

    fn media<'a>(&'a self, found: &mut Vec<&'a MediaSource>) {
        found.push(self);
    }

    fn media_mut<'a>(&'a mut self, found: &mut Vec<&'a mut MediaSource>) {
        found.push(self);
    }
}

// === impl Link ===

impl Link {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(…)")
    }
}

// === impl MediaId ===

impl MediaId {
    /// The id as Meta gave it, whatever its form.
    pub(super) fn of_meta(id: &str) -> Self {
        Self(id.to_owned())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A web address in the form in which it goes over the wire, without a slash after the host where none was given. `None` if it is none or too long.
pub(super) fn address(text: &str, schemes: &[&str], most: usize) -> Option<String> {
    if text.len() > 4 * most || text.chars().any(char::is_control) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let bare = url.as_str().strip_suffix('/') == Some(text);
    let written = if bare { text } else { url.as_str() }.to_owned();
    (schemes.contains(&url.scheme()) && url.has_host() && written.len() <= most).then_some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_https_and_bounded() {
        let of = |text: &str| address(text, &["https"], MAX_LINK);
        for good in [
            "https://example.com",
            "https://example.com/a?b=%7E#c",
            "https://a.b:444/",
        ] {
            assert_eq!(of(good).as_deref(), Some(good));
        }
        for bad in [
            "",
            "example.com",
            "http://example.com",
            "ftp://a.b",
            "https://",
            "https:/\n/a.b",
            "file_1",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        let long = |length: usize| format!("https://a.b/{}", "x".repeat(length - 12));
        assert!(of(&long(2_048)).is_some() && of(&long(2_049)).is_none());
    }

    #[test]
    fn addresses_are_written_as_the_wire_has_them() {
        let of = |text: &str| address(text, &["https"], MAX_LINK);
        for loose in [
            "HTTPS://A.b/c",
            "https:a.b/c",
            "https:///a.b/c",
            "https:\\a.b\\c",
            " https://a.b/c ",
        ] {
            assert_eq!(of(loose).as_deref(), Some("https://a.b/c"), "{loose}");
        }
        let written = of("https://münchen.example/ä b").expect("an address");
        assert_eq!(written, "https://xn--mnchen-3ya.example/%C3%A4%20b");
        assert_eq!(of(&written), Some(written.clone()), "writing it again changes nothing");
        assert_eq!(
            of(&format!("https://a.b/{}", "ä".repeat(400))),
            None,
            "it grew too long"
        );
    }

    #[test]
    fn debug_hides_links() {
        let source = Check::of(|check| MediaSource::link("https://a.b/?token=secret", check)).expect("valid");
        assert_eq!(format!("{source:?}"), "Link(Link(…))");
    }
}
