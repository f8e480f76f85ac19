//! Message content between the domain and the contract.

mod contacts;
mod interactive;
mod json;
mod media;
mod parts;
mod template;
mod vcard;

use outeract_domain::content::{Check, Draft, Location, Reaction, Text};
use outeract_domain::{Content, Template, Violation};
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::{LocationContent, MessageContent, ReactionContent, TemplateContent, TextContent};

/// Content as the contract writes it. Equal contents are written alike, to the byte: no part of it is a map without order.
pub fn to_proto(content: &Content) -> MessageContent {
    let kind = match content {
        Content::Text(text) => Kind::Text(TextContent {
            body: text.body().to_owned(),
            preview_url: text.preview_url(),
        }),
        Content::Image(image) => Kind::Image(media::image_to_proto(image)),
        Content::Video(video) => Kind::Video(media::video_to_proto(video)),
        Content::Audio(audio) => Kind::Audio(media::audio_to_proto(audio)),
        Content::Document(document) => Kind::Document(media::document_to_proto(document)),
        Content::Sticker(sticker) => Kind::Sticker(media::sticker_to_proto(sticker)),
        Content::Location(location) => Kind::Location(location_to_proto(location)),
        Content::Contacts(contacts) => Kind::Contacts(contacts::to_proto(contacts)),
        Content::Reaction(reaction) => Kind::Reaction(ReactionContent {
            external_message_id: reaction.message().as_str().to_owned(),
            emoji: given(reaction.emoji()),
        }),
        Content::Interactive(interactive) => Kind::Interactive(interactive::to_proto(interactive)),
        Content::Template(template) => Kind::Template(template::to_proto(template)),
    };
    MessageContent { kind: Some(kind) }
}

/// Content that a caller gave, if it is within Meta's limits; else everything that is not. Paths start at the content: `text.body`.
pub fn from_proto(content: Option<MessageContent>) -> Result<Content, Vec<Violation>> {
    Check::of(|check| match content.and_then(|content| content.kind) {
        Some(Kind::Text(text)) => check.at("text", |check| {
            Text::checked(text.body, text.preview_url, check).map(Content::Text)
        }),
        Some(Kind::Image(image)) => check.at("image", |check| media::image(image, check).map(Content::Image)),
        Some(Kind::Video(video)) => check.at("video", |check| media::video(video, check).map(Content::Video)),
        Some(Kind::Audio(audio)) => check.at("audio", |check| media::audio(audio, check).map(Content::Audio)),
        Some(Kind::Document(document)) => check.at("document", |check| {
            let document = media::document(document, check);
            document.map(|document| Content::Document(Box::new(document)))
        }),
        Some(Kind::Sticker(sticker)) => {
            check.at("sticker", |check| media::sticker(sticker, check).map(Content::Sticker))
        }
        Some(Kind::Location(place)) => check.at("location", |check| {
            location(place, check).map(|location| Content::Location(Box::new(location)))
        }),
        Some(Kind::Contacts(cards)) => check.at("contacts", |check| {
            contacts::contacts(cards, check).map(Content::Contacts)
        }),
        Some(Kind::Reaction(reaction)) => check.at("reaction", |check| {
            Reaction::new(reaction.external_message_id, reaction.emoji, check).map(Content::Reaction)
        }),
        Some(Kind::Interactive(given)) => check.at("interactive", |check| {
            let interactive = interactive::interactive(given, check);
            interactive.map(|interactive| Content::Interactive(Box::new(interactive)))
        }),
        Some(Kind::Template(given)) => check.at("template", |check| {
            let template = template::template(given, check);
            template.map(|template| Content::Template(Box::new(template)))
        }),
        None => check.refuse(
            "kind",
            "exactly one kind of content that this version knows must be set",
        ),
    })
}

/// A template that a caller gave by itself, if it is within Meta's limits; else everything that is not. Paths start at the template: `body[0].text`.
pub fn template_from_proto(given: TemplateContent) -> Result<Template, Vec<Violation>> {
    Check::of(|check| template::template(given, check))
}

/// A template as the contract writes it.
pub fn template_to_proto(template: &Template) -> TemplateContent {
    template::to_proto(template)
}

fn location(given: LocationContent, check: &mut Check) -> Draft<Location> {
    Location::new(given.latitude, given.longitude, given.name, given.address, check)
}

fn location_to_proto(location: &Location) -> LocationContent {
    LocationContent {
        latitude: location.latitude(),
        longitude: location.longitude(),
        name: given(location.name()),
        address: given(location.address()),
    }
}

/// What may be left out, as the contract writes it: empty.
fn given(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
