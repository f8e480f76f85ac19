//! Media, and the kinds that are hardly more than one.

use outeract_domain::MediaSource;
use outeract_domain::content::{Audio, Check, Document, Draft, Image, Sticker, Video};
use outeract_proto::messaging::v1::media::Source;
use outeract_proto::messaging::v1::{AudioContent, DocumentContent, ImageContent, Media, StickerContent, VideoContent};

use super::given;

pub(super) fn image(given: ImageContent, check: &mut Check) -> Draft<Image> {
    let media = check.required("media", given.media, media);
    Image::new(media, given.caption, check)
}

pub(super) fn image_to_proto(image: &Image) -> ImageContent {
    ImageContent {
        media: Some(to_proto(image.media())),
        caption: given(image.caption()),
    }
}

pub(super) fn video(given: VideoContent, check: &mut Check) -> Draft<Video> {
    let media = check.required("media", given.media, media);
    Video::new(media, given.caption, check)
}

pub(super) fn video_to_proto(video: &Video) -> VideoContent {
    VideoContent {
        media: Some(to_proto(video.media())),
        caption: given(video.caption()),
    }
}

pub(super) fn audio(given: AudioContent, check: &mut Check) -> Draft<Audio> {
    let media = check.required("media", given.media, media);
    Audio::new(media, given.voice)
}

pub(super) fn audio_to_proto(audio: &Audio) -> AudioContent {
    AudioContent {
        media: Some(to_proto(audio.media())),
        voice: audio.is_voice(),
    }
}

pub(super) fn document(given: DocumentContent, check: &mut Check) -> Draft<Document> {
    let media = check.required("media", given.media, media);
    Document::new(media, given.caption, given.filename, check)
}

pub(super) fn document_to_proto(document: &Document) -> DocumentContent {
    DocumentContent {
        media: Some(to_proto(document.media())),
        caption: given(document.caption()),
        filename: given(document.filename()),
    }
}

pub(super) fn sticker(given: StickerContent, check: &mut Check) -> Draft<Sticker> {
    Sticker::new(check.required("media", given.media, media))
}

pub(super) fn sticker_to_proto(sticker: &Sticker) -> StickerContent {
    StickerContent {
        media: Some(to_proto(sticker.media())),
    }
}

pub(super) fn media(given: Media, check: &mut Check) -> Draft<MediaSource> {
    match given.source {
        Some(Source::FileId(id)) => MediaSource::file(&id, check),
        Some(Source::Link(link)) => MediaSource::link(&link, check),
        Some(Source::MediaId(id)) => MediaSource::id(id, check),
        None => MediaSource::missing(check),
    }
}

pub(super) fn to_proto(media: &MediaSource) -> Media {
    let source = match media {
        MediaSource::File(id) => Source::FileId(id.to_string()),
        MediaSource::Link(link) => Source::Link(link.as_str().to_owned()),
        MediaSource::Id(id) => Source::MediaId(id.as_str().to_owned()),
    };
    Media { source: Some(source) }
}
