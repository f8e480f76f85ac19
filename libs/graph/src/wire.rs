//! Request bodies exactly as Meta reads them.

mod contacts;
mod interactive;
mod json;
mod location;
mod media;
mod reaction;
mod read;
mod template;
mod text;

use outeract_domain::{Content, FileId, Recipient, Wamid};
use serde::Serialize;

pub use read::Read;

/// The body of `POST /{phone-number-id}/messages`.
#[derive(Serialize)]
pub struct Message<'a> {
    messaging_product: &'static str,
    recipient_type: &'static str,
    // With its `+`: without it Meta would put the business number's own country code in front.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    // A business-scoped user id. With both, Meta would take `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a str>,
    #[serde(flatten)]
    kind: Kind<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
    biz_opaque_callback_data: &'a str,
}

/// The message carries a file that Meta was not given: it has no form on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Meta was not given {0}")]
pub struct Unresolved(pub FileId);

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Kind<'a> {
    Text {
        text: text::Text<'a>,
    },
    Image {
        image: media::Medium<'a>,
    },
    Video {
        video: media::Medium<'a>,
    },
    Audio {
        audio: media::Medium<'a>,
    },
    Document {
        document: media::Medium<'a>,
    },
    Sticker {
        sticker: media::Medium<'a>,
    },
    Location {
        location: location::Location<'a>,
    },
    Contacts {
        contacts: Vec<contacts::Contact<'a>>,
    },
    Reaction {
        reaction: reaction::Reaction<'a>,
    },
    Interactive {
        interactive: Box<interactive::Interactive<'a>>,
    },
    Template {
        template: Box<template::Template<'a>>,
    },
}

#[derive(Serialize)]
struct Context<'a> {
    message_id: &'a str,
}

// === impl Message ===

impl<'a> Message<'a> {
    /// The body for `content` to `to`, shown below the message that it replies to; Meta echoes `callback` in every status. A reaction is never a reply.
    pub fn new(
        to: &'a Recipient,
        content: &'a Content,
        reply_to: Option<&'a Wamid>,
        callback: &'a str,
    ) -> Result<Self, Unresolved> {
        let (to, recipient) = match to {
            Recipient::Phone(number) => (Some(number.as_str()), None),
            Recipient::User(user) => (None, Some(user.as_str())),
        };
        let reply_to = reply_to.filter(|_| !content.is_reaction());
        Ok(Self {
            messaging_product: "whatsapp",
            recipient_type: "individual",
            to,
            recipient,
            kind: Kind::new(content)?,
            context: reply_to.map(|message| Context {
                message_id: message.as_str(),
            }),
            biz_opaque_callback_data: callback,
        })
    }

    /// The body's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}

impl std::fmt::Debug for Message<'_> {
    // What it says and to whom is private.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message(…)")
    }
}

// === impl Kind ===

impl<'a> Kind<'a> {
    fn new(content: &'a Content) -> Result<Self, Unresolved> {
        Ok(match content {
            Content::Text(text) => Self::Text {
                text: text::Text::new(text),
            },
            Content::Image(image) => Self::Image {
                image: media::Medium::new(image.media())?.caption(image.caption()),
            },
            Content::Video(video) => Self::Video {
                video: media::Medium::new(video.media())?.caption(video.caption()),
            },
            Content::Audio(audio) => Self::Audio {
                audio: media::Medium::new(audio.media())?.voice(audio.is_voice()),
            },
            Content::Document(document) => Self::Document {
                document: media::Medium::new(document.media())?
                    .caption(document.caption())
                    .filename(document.filename()),
            },
            Content::Sticker(sticker) => Self::Sticker {
                sticker: media::Medium::new(sticker.media())?,
            },
            Content::Location(location) => Self::Location {
                location: location::Location::new(location),
            },
            Content::Contacts(contacts) => Self::Contacts {
                contacts: contacts.cards().iter().map(contacts::Contact::new).collect(),
            },
            Content::Reaction(reaction) => Self::Reaction {
                reaction: reaction::Reaction::new(reaction),
            },
            Content::Interactive(interactive) => Self::Interactive {
                interactive: Box::new(interactive::Interactive::new(interactive)?),
            },
            Content::Template(template) => Self::Template {
                template: Box::new(template::Template::new(template)?),
            },
        })
    }
}

fn to_json(body: &impl Serialize) -> Vec<u8> {
    #[expect(
        clippy::expect_used,
        reason = "strings, finite numbers and maps with string keys always serialise"
    )]
    serde_json::to_vec(body).expect("strings, finite numbers and maps with string keys always serialise")
}

#[cfg(test)]
mod tests;
