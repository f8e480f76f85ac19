mod action;
mod carousel;

use outeract_domain::content::interactive;
use serde::Serialize;

use super::Unresolved;
use super::media::Medium;
use action::Action;

pub(super) use action::{Section, UNUSED};

/// The value of `interactive`.
#[derive(Serialize)]
pub(super) struct Interactive<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Words<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    footer: Option<Words<'a>>,
    action: Action<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Header<'a> {
    Text { text: &'a str },
    Image { image: Medium<'a> },
    Video { video: Medium<'a> },
    Document { document: Medium<'a> },
}

/// A body or a footer.
#[derive(Serialize)]
struct Words<'a> {
    text: &'a str,
}

// === impl Interactive ===

impl<'a> Interactive<'a> {
    pub(super) fn new(interactive: &'a interactive::Interactive) -> Result<Self, Unresolved> {
        let words = |text| Words { text };
        Ok(Self {
            kind: kind(interactive.action()),
            header: interactive.header().map(Header::new).transpose()?,
            body: interactive.body().map(words),
            footer: interactive.footer().map(words),
            action: Action::new(interactive.action())?,
        })
    }
}

// === impl Header ===

impl<'a> Header<'a> {
    fn new(header: &'a interactive::Header) -> Result<Self, Unresolved> {
        Ok(match header {
            interactive::Header::Text(text) => Self::Text { text },
            interactive::Header::Image(source) => Self::Image {
                image: Medium::new(source)?,
            },
            interactive::Header::Video(source) => Self::Video {
                video: Medium::new(source)?,
            },
            interactive::Header::Document(source) => Self::Document {
                document: Medium::new(source)?,
            },
        })
    }
}

fn kind(action: &interactive::Action) -> &'static str {
    match action {
        interactive::Action::ReplyButtons(_) => "button",
        interactive::Action::List(_) => "list",
        interactive::Action::UrlButton(_) => "cta_url",
        interactive::Action::LocationRequest => "location_request_message",
        interactive::Action::ContactRequest => "contact_request",
        interactive::Action::Flow(_) => "flow",
        interactive::Action::Product(_) => "product",
        interactive::Action::ProductList(_) => "product_list",
        interactive::Action::Catalog(_) => "catalog_message",
        interactive::Action::Carousel(_) => "carousel",
    }
}
