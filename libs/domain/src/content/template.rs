//! Templates: their name, and what goes into their places.

mod button;
mod card;
mod header;
mod parameter;

use time::OffsetDateTime;

use super::interactive::web_address;
use super::part::part;
use super::{Check, Draft, Drafts, Private};

pub use button::{Button, ButtonKind, FlowButton, ProductsButton};
pub use card::Card;
pub use header::{Header, HeaderDocument};
pub use parameter::{Currency, Parameter, Value};

/// A template that Meta approved, with what goes into its places. That it fits the template's definition is checked elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    name: String,
    language: String,
    header: Option<Header>,
    body: Vec<Parameter>,
    buttons: Vec<Button>,
    cards: Vec<Card>,
    offer_expires_at: Option<OffsetDateTime>,
    one_time_code: Option<Private>,
    tap_target: Option<TapTarget>,
}

/// A template's parts.
#[derive(Debug)]
pub struct TemplateParts {
    /// The template's name, `[a-z0-9_]`, 1 to 512 characters.
    pub name: String,
    /// The exact language it was approved in, for example `en_US`.
    pub language_code: String,
    /// What goes into the header.
    pub header: Option<Draft<Header>>,
    /// What goes into the body's places.
    pub body: Drafts<Parameter>,
    /// What goes into buttons.
    pub buttons: Drafts<Button>,
    /// The cards of a carousel template.
    pub cards: Drafts<Card>,
    /// When the offer of a limited-time offer template ends.
    pub offer_expires_at: Option<OffsetDateTime>,
    /// The code of an authentication template. Empty: none.
    pub one_time_code: String,
    /// Where taps on the body lead.
    pub tap_target: Option<Draft<TapTarget>>,
}

/// Where taps on a template's body lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapTarget {
    url: Private,
    title: Private,
}

part!(struct Template { name, language, header, body, buttons, cards, offer_expires_at, one_time_code, tap_target });
part!(struct TapTarget { url, title });

const MAX_NAME: usize = 512;
/// The longest that Meta lists has 5; some room for those to come.
const MAX_LANGUAGE: usize = 16;
const MAX_CARDS: usize = 10;
const MAX_CODE: usize = 15;
/// Most characters of a tap target's title. Meta states none.
const MAX_TAP_TITLE: usize = 250;

// === impl Template ===

impl Template {
    /// A template of these parts.
    pub fn new(parts: TemplateParts, check: &mut Check) -> Draft<Self> {
        check_name(&parts.name, check);
        check_language(&parts.language_code, check);
        parameter::check_all(&parts.body, check);
        button::check_all(&parts.buttons, check);
        check.count("cards", parts.cards.count(), 0..=MAX_CARDS);
        let one_time_code = check.optional_text("one_time_code", parts.one_time_code, MAX_CODE);
        if let Some(code) = &one_time_code {
            check.expect(parameter::is_plain(code), "one_time_code", parameter::PLAIN);
            for (field, count) in [("body", parts.body.count()), ("buttons", parts.buttons.count())] {
                check.expect(count == 0, field, "must be empty with a one_time_code, which fills it");
            }
        }
        Draft(Some(Self {
            name: parts.name,
            language: parts.language_code,
            header: parts.header.and_then(|header| header.0),
            body: parts.body.into_vec(),
            buttons: parts.buttons.into_vec(),
            cards: parts.cards.into_vec(),
            offer_expires_at: parts.offer_expires_at,
            one_time_code,
            tap_target: parts.tap_target.and_then(|target| target.0),
        }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The exact language it was approved in, for example `en_US`.
    pub fn language(&self) -> &str {
        &self.language
    }

    /// What goes into the header.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// What goes into the body's places, in their order or each with its name.
    pub fn body(&self) -> &[Parameter] {
        &self.body
    }

    /// What goes into buttons.
    pub fn buttons(&self) -> &[Button] {
        &self.buttons
    }

    /// The cards of a carousel template.
    pub fn cards(&self) -> &[Card] {
        &self.cards
    }

    /// When the offer of a limited-time offer template ends. Whether that is in the future is for whoever has a clock.
    pub fn offer_expires_at(&self) -> Option<OffsetDateTime> {
        self.offer_expires_at
    }

    /// The code of an authentication template. It fills the body and the button.
    pub fn one_time_code(&self) -> Option<&str> {
        self.one_time_code.as_deref()
    }

    /// Where taps on the body lead.
    pub fn tap_target(&self) -> Option<&TapTarget> {
        self.tap_target.as_ref()
    }
}

// === impl TapTarget ===

impl TapTarget {
    /// An address and its title.
    pub fn new(url: &str, title: String, check: &mut Check) -> Draft<Self> {
        Draft(Some(Self {
            url: web_address("url", url, check),
            title: check.text("title", title, MAX_TAP_TITLE),
        }))
    }

    /// The address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its title.
    pub fn title(&self) -> &str {
        &self.title
    }
}

fn check_name(name: &str, check: &mut Check) {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    check.expect(
        (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(known),
        "name",
        "must be 1 to 512 of a-z, 0-9 and _",
    );
}

fn check_language(code: &str, check: &mut Check) {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    check.expect(
        (2..=MAX_LANGUAGE).contains(&code.len()) && code.bytes().all(known),
        "language_code",
        "must be a language's code as Meta writes it, for example en_US",
    );
}
