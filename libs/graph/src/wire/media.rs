use outeract_domain::MediaSource;
use serde::Serialize;

use super::Unresolved;

/// The value of `image`, `video`, `audio`, `document` and `sticker`: exactly one of `id` and `link`.
#[derive(Serialize)]
pub(super) struct Medium<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    voice: bool,
}

// === impl Medium ===

impl<'a> Medium<'a> {
    pub(super) fn new(source: &'a MediaSource) -> Result<Self, Unresolved> {
        let (id, link) = match source {
            MediaSource::File(file) => return Err(Unresolved(*file)),
            MediaSource::Link(link) => (None, Some(link.as_str())),
            MediaSource::Id(id) => (Some(id.as_str()), None),
        };
        Ok(Self {
            id,
            link,
            caption: None,
            filename: None,
            voice: false,
        })
    }

    pub(super) fn caption(self, caption: Option<&'a str>) -> Self {
        Self { caption, ..self }
    }

    pub(super) fn filename(self, filename: Option<&'a str>) -> Self {
        Self { filename, ..self }
    }

    pub(super) fn voice(self, voice: bool) -> Self {
        Self { voice, ..self }
    }
}
