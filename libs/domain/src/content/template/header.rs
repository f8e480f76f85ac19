use super::{Parameter, Value};
use crate::content::document::file_name;
use crate::content::interactive::Product;
use crate::content::part::part;
use crate::content::{Check, Draft, Location, MediaSource, Private};

/// What goes into a template's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// For the place in a text header.
    Text(Parameter),
    /// A picture.
    Image(MediaSource),
    /// A film.
    Video(MediaSource),
    /// A file.
    Document(HeaderDocument),
    /// A place.
    Location(Location),
    /// A product.
    Product(Product),
}

/// A file in a template's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderDocument {
    media: MediaSource,
    filename: Option<Private>,
}

part!(
    enum Header {
        Text,
        Image,
        Video,
        Document,
        Location,
        Product,
    }
);
part!(struct HeaderDocument { media, filename });

/// A text header has no more room.
const MAX_TEXT: usize = 60;

// === impl Header ===

impl Header {
    /// For the place in a text header: a text of at most 60 characters.
    pub fn text(parameter: Draft<Parameter>, check: &mut Check) -> Draft<Self> {
        if let Draft(Some(parameter)) = &parameter {
            match parameter.value() {
                Value::Text(text) => {
                    let short = text.chars().count() <= MAX_TEXT;
                    check.expect(short, "text.text", "must be at most 60 characters in a header");
                }
                Value::Currency(_) | Value::DateTime(_) => check.note("text", "must be a text in a header"),
            }
        }
        parameter.map(Self::Text)
    }

    /// No kind was given.
    pub fn missing(check: &mut Check) -> Draft<Self> {
        check.refuse(
            "",
            "must have a text, an image, a video, a document, a location or a product",
        )
    }
}

// === impl HeaderDocument ===

impl HeaderDocument {
    /// A file with the name that the recipient sees; empty: none.
    pub fn new(media: Draft<MediaSource>, filename: String, check: &mut Check) -> Draft<Self> {
        let filename = file_name(filename, check);
        media.map(|media| Self { media, filename })
    }

    /// Where it is.
    pub fn media(&self) -> &MediaSource {
        &self.media
    }

    /// The name that the recipient sees.
    pub fn filename(&self) -> Option<&str> {
        self.filename.as_deref()
    }
}
