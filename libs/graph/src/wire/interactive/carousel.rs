use outeract_domain::content::interactive::{CarouselAction, CarouselCard, CarouselHeader, ReplyButton};
use serde::Serialize;

use super::action::{Action, IdAndTitle};
use super::{Header, Medium, Words};
use crate::wire::Unresolved;

/// An element of `cards`.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the keys are Meta's")]
pub(super) struct Card<'a> {
    card_index: usize,
    // Meta's examples have this word on cards with quick replies as well.
    #[serde(rename = "type")]
    kind: &'static str,
    header: Header<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Words<'a>>,
    action: CardAction<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum CardAction<'a> {
    Url(Action<'a>),
    Replies { buttons: Vec<QuickReply<'a>> },
}

#[derive(Serialize)]
struct QuickReply<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    quick_reply: IdAndTitle<'a>,
}

// === impl Card ===

impl<'a> Card<'a> {
    pub(super) fn new(index: usize, card: &'a CarouselCard) -> Result<Self, Unresolved> {
        let header = match card.header() {
            CarouselHeader::Image(source) => Header::Image {
                image: Medium::new(source)?,
            },
            CarouselHeader::Video(source) => Header::Video {
                video: Medium::new(source)?,
            },
        };
        let action = match card.action() {
            CarouselAction::UrlButton(button) => CardAction::Url(Action::url(button)),
            CarouselAction::ReplyButtons(replies) => CardAction::Replies {
                buttons: replies.buttons().iter().map(QuickReply::new).collect(),
            },
        };
        Ok(Self {
            card_index: index,
            kind: "cta_url",
            header,
            body: card.body().map(|text| Words { text }),
            action,
        })
    }
}

// === impl QuickReply ===

impl<'a> QuickReply<'a> {
    fn new(button: &'a ReplyButton) -> Self {
        Self {
            kind: "quick_reply",
            quick_reply: IdAndTitle::new(button),
        }
    }
}
