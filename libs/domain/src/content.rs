//! What a message says: a type for each kind, whose values are within Meta's limits. Source of the limits: Meta, Cloud API, "Messages".
//!
//! [`Check::of`] makes a value from what a caller gave and tells everything that breaks a limit at once, with the path of each field as the contract names it.

mod audio;
mod check;
pub mod contacts;
mod document;
mod image;
pub mod interactive;
mod json;
mod location;
mod media;
mod part;
mod private;
mod reaction;
mod sticker;
pub mod template;
mod text;
mod video;

use std::collections::HashMap;
use std::hash::BuildHasher;

use crate::FileId;
use part::{Part as _, part};

pub use audio::Audio;
pub use check::{Check, Draft, Drafts, Violation};
pub use contacts::Contacts;
pub use document::Document;
pub use image::Image;
pub use interactive::Interactive;
pub use json::{Finite, Json};
pub use location::Location;
pub use media::{Link, MediaId, MediaSource};
pub use private::Private;
pub use reaction::Reaction;
pub use sticker::Sticker;
pub use template::Template;
pub use text::Text;
pub use video::Video;

/// What a message says. Every value of this type is within Meta's limits; what it says is private, and `Debug` hides it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Plain text.
    Text(Text),
    /// A picture.
    Image(Image),
    /// A film.
    Video(Video),
    /// Sound.
    Audio(Audio),
    /// Any file.
    Document(Box<Document>),
    /// A sticker.
    Sticker(Sticker),
    /// A place.
    Location(Box<Location>),
    /// Address cards.
    Contacts(Contacts),
    /// A reaction to an earlier message, or its removal.
    Reaction(Reaction),
    /// Buttons, lists and the like.
    Interactive(Box<Interactive>),
    /// A template that Meta approved.
    Template(Box<Template>),
}

part!(
    enum Content {
        Text,
        Image,
        Video,
        Audio,
        Document,
        Sticker,
        Location,
        Contacts,
        Reaction,
        Interactive,
        Template,
    }
);

/// Most characters of a text below a picture, a film or a file.
const MAX_CAPTION: usize = 1_024;

// === impl Content ===

impl Content {
    /// The kind, as Meta and the contract name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Image(_) => "image",
            Self::Video(_) => "video",
            Self::Audio(_) => "audio",
            Self::Document(_) => "document",
            Self::Sticker(_) => "sticker",
            Self::Location(_) => "location",
            Self::Contacts(_) => "contacts",
            Self::Reaction(_) => "reaction",
            Self::Interactive(_) => "interactive",
            Self::Template(_) => "template",
        }
    }

    /// Whether it may only be sent while the recipient's 24-hour window is open: everything but templates.
    pub fn needs_window(&self) -> bool {
        self.template().is_none()
    }

    /// The template, if it is one.
    pub fn template(&self) -> Option<&Template> {
        match self {
            Self::Template(template) => Some(template),
            _ => None,
        }
    }

    /// Whether it is a reaction or the removal of one.
    pub fn is_reaction(&self) -> bool {
        matches!(self, Self::Reaction(_))
    }

    /// The files it carries, in order, each once.
    pub fn file_ids(&self) -> Vec<FileId> {
        let mut media = Vec::new();
        self.media(&mut media);
        let mut files = Vec::new();
        for file in media.into_iter().filter_map(MediaSource::file_id) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        files
    }

    /// The same with Meta's media id in place of every file. The error is a file that `media` lacks.
    pub fn with_media<S: BuildHasher>(&self, media: &HashMap<FileId, String, S>) -> Result<Self, FileId> {
        let mut content = self.clone();
        let mut sources = Vec::new();
        content.media_mut(&mut sources);
        for source in sources {
            if let Some(file) = source.file_id() {
                let id = media.get(&file).filter(|id| !id.is_empty()).ok_or(file)?;
                *source = MediaSource::Id(MediaId::of_meta(id));
            }
        }
        Ok(content)
    }

    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.heap()
    }
}

#[cfg(test)]
mod tests;
