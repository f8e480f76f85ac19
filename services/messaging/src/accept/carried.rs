//! Files and the text that goes with them, as messages.

use outeract_domain::{Content, Violation};
use outeract_events::content;
use outeract_proto::messaging::v1::media::Source;
use outeract_proto::messaging::v1::message_content::Kind as ContentKind;
use outeract_proto::messaging::v1::{
    AudioContent, DocumentContent, ImageContent, Media, MessageContent, StickerContent, TextContent, VideoContent,
};

use crate::files::{File, Kind};

/// Characters of a caption.
const CAPTION: usize = 1_024;

/// A message for each file. Text becomes the caption of the first file, or, where that is no picture, film or document or the text is too long for a caption, a message of its own before
/// the files.
pub(super) fn contents(text: Option<&str>, files: &[&File]) -> Result<Vec<Content>, Vec<Violation>> {
    let takes_caption = files.first().is_some_and(|file| takes_caption(file.kind));
    let (caption, before) = match text {
        Some(text) if takes_caption && text.chars().count() <= CAPTION => (text, None),
        text => ("", text),
    };
    let text = before.map(|body| {
        ContentKind::Text(TextContent {
            body: body.to_owned(),
            preview_url: None,
        })
    });
    let files = files
        .iter()
        .enumerate()
        .map(|(index, file)| carry(file, if index == 0 { caption } else { "" }));
    let contents = text
        .into_iter()
        .chain(files)
        .map(|kind| content::from_proto(Some(MessageContent { kind: Some(kind) })));
    contents.collect()
}

fn takes_caption(kind: Kind) -> bool {
    matches!(kind, Kind::Image | Kind::Video | Kind::Document)
}

fn carry(file: &File, caption: &str) -> ContentKind {
    let media = Some(Media {
        source: Some(Source::FileId(file.id.to_string())),
    });
    let caption = caption.to_owned();
    match file.kind {
        Kind::Image => ContentKind::Image(ImageContent { media, caption }),
        Kind::Video => ContentKind::Video(VideoContent { media, caption }),
        Kind::Audio => ContentKind::Audio(AudioContent { media, voice: false }),
        Kind::Sticker => ContentKind::Sticker(StickerContent { media }),
        Kind::Document => ContentKind::Document(DocumentContent {
            media,
            caption,
            filename: file.name.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use outeract_domain::FileId;
    use uuid::Uuid;

    use super::*;

    fn kinds(text: Option<&str>, files: &[Kind]) -> Vec<String> {
        let files: Vec<File> = files
            .iter()
            .zip(1..)
            .map(|(kind, number)| File::sample(FileId::from_uuid(Uuid::from_u128(number)), *kind))
            .collect();
        let files: Vec<&File> = files.iter().collect();
        let contents = contents(text, &files).expect("within the limits");
        contents
            .iter()
            .map(|content| match content::to_proto(content).kind.expect("a kind") {
                ContentKind::Text(text) => format!("text {}", text.body.len()),
                ContentKind::Image(image) => format!("image {}", image.caption.len()),
                ContentKind::Video(video) => format!("video {}", video.caption.len()),
                ContentKind::Document(document) => format!("document {} {}", document.filename, document.caption.len()),
                ContentKind::Audio(_) => "audio".to_owned(),
                ContentKind::Sticker(_) => "sticker".to_owned(),
                _ => "another kind".to_owned(),
            })
            .collect()
    }

    #[test]
    fn text_is_the_first_files_caption_where_that_can_have_one() {
        assert_eq!(kinds(None, &[Kind::Image, Kind::Audio]), ["image 0", "audio"]);
        assert_eq!(kinds(Some("hi"), &[Kind::Image, Kind::Video]), ["image 2", "video 0"]);
        assert_eq!(kinds(Some("hi"), &[Kind::Document]), ["document a file 2"]);
        assert_eq!(
            kinds(Some("hi"), &[Kind::Audio, Kind::Image]),
            ["text 2", "audio", "image 0"]
        );
        assert_eq!(kinds(Some("hi"), &[Kind::Sticker]), ["text 2", "sticker"]);
        let long = "a".repeat(1_025);
        assert_eq!(kinds(Some(&long), &[Kind::Image]), ["text 1025", "image 0"]);
    }
}
