//! Whether a message fits its template's definition.

use outeract_domain::content::template::{Button as Given, ButtonKind, Card as GivenCard, Header as GivenHeader};
use outeract_domain::content::template::{Parameter, Value};
use outeract_domain::{Template, Violation};
use outeract_graph::template::{Button, Card, Header, Parts, Pattern};

use super::Definition;

/// Collects what does not fit, and where.
struct Findings {
    path: String,
    named: bool,
    violations: Vec<Violation>,
}

/// Most violations that are told, as with every other content.
pub(super) const MOST_VIOLATIONS: usize = 32;
/// Most characters of the texts with everything filled in.
const MAX_HEADER: usize = 60;
const MAX_BODY: usize = 1_024;
const MAX_CARD_BODY: usize = 160;

// === impl Definition ===

impl Definition {
    /// Everything in which the message does not fit, the first 32. Paths start at the template: `body[2]`, `buttons[0].url_suffix`, `cards[1].header`. What of the definition is not
    /// known here is left to Meta.
    pub(crate) fn check(&self, template: &Template) -> Vec<Violation> {
        let Some(parts) = self.parts() else { return Vec::new() };
        let mut findings = Findings {
            path: String::new(),
            named: self.is_named(),
            violations: Vec::new(),
        };
        if self.is_one_time_code() || parts.buttons.contains(&Button::OneTimeCode) {
            findings.one_time_code(template);
        } else {
            if template.one_time_code().is_some() {
                findings.note("one_time_code", "must be empty: this is no authentication template");
            }
            findings.parts(parts, template);
        }
        findings.violations
    }
}

// === impl Findings ===

impl Findings {
    fn note(&mut self, field: &str, description: impl Into<String>) {
        if self.violations.len() < MOST_VIOLATIONS {
            let dot = if self.path.is_empty() { "" } else { "." };
            let path = format!("{}{dot}{field}", self.path);
            self.violations.push(Violation::new(path, description));
        }
    }

    /// A one-time code fills all there is.
    fn one_time_code(&mut self, template: &Template) {
        if template.one_time_code().is_none() {
            self.note("one_time_code", "is required: this is an authentication template");
        }
        let empty = "must be empty: the one_time_code fills an authentication template";
        for (field, given) in [
            ("header", template.header().is_some()),
            ("body", !template.body().is_empty()),
            ("buttons", !template.buttons().is_empty()),
            ("cards", !template.cards().is_empty()),
            ("offer_expire_time", template.offer_expires_at().is_some()),
        ] {
            if given {
                self.note(field, empty);
            }
        }
    }

    fn parts(&mut self, parts: &Parts, template: &Template) {
        self.header(parts.header.as_ref(), template.header());
        self.body(parts.body.as_ref(), template.body(), MAX_BODY);
        self.buttons(&parts.buttons, template.buttons());
        self.cards(parts.cards.as_deref(), template.cards());
        let expires = parts.offer.is_some_and(|offer| offer.expires);
        match (expires, template.offer_expires_at()) {
            (true, None) => self.note(
                "offer_expire_time",
                "is required: the template shows when its offer ends",
            ),
            (false, Some(_)) => self.note(
                "offer_expire_time",
                "must be absent: the template has no offer that ends",
            ),
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn header(&mut self, header: Option<&Header>, given: Option<&GivenHeader>) {
        let wanted = match (header, given) {
            (Some(Header::Text(pattern)), given) => return self.text_header(pattern, given),
            (None, Some(_)) => return self.note("header", "must be absent: the template has no header"),
            (Some(Header::Other), _)
            | (None, None)
            | (Some(Header::Image), Some(GivenHeader::Image(_)))
            | (Some(Header::Video), Some(GivenHeader::Video(_)))
            | (Some(Header::Document), Some(GivenHeader::Document(_)))
            | (Some(Header::Location), Some(GivenHeader::Location(_)))
            | (Some(Header::Product), Some(GivenHeader::Product(_))) => return,
            (Some(Header::Image), _) => "an image",
            (Some(Header::Video), _) => "a video",
            (Some(Header::Document), _) => "a document",
            (Some(Header::Location), _) => "a location",
            (Some(Header::Product), _) => "a product",
        };
        self.note("header", format!("must be {wanted}, as the template's header is"));
    }

    fn text_header(&mut self, pattern: &Pattern, given: Option<&GivenHeader>) {
        match (pattern.places(), given) {
            ([], None) => {}
            ([], Some(_)) => self.note("header", "must be absent: the template's header has no place"),
            (_, Some(GivenHeader::Text(parameter))) => {
                self.name(pattern, parameter, "header.text");
                if pattern.filled([length(parameter)]) > MAX_HEADER {
                    self.note(
                        "header.text",
                        format!("must be shorter: the header would have more than {MAX_HEADER} characters"),
                    );
                }
            }
            (_, _) => self.note("header", "must be a text for the place in the template's header"),
        }
    }

    /// A parameter has the name of a place, or none where places have numbers. Gives the place.
    fn name(&mut self, pattern: &Pattern, parameter: &Parameter, path: &str) -> Option<usize> {
        match (self.named, parameter.name()) {
            (false, None) => None,
            (false, Some(_)) => {
                self.note(
                    &format!("{path}.name"),
                    "must be empty: the template's places have numbers",
                );
                None
            }
            (true, None) => {
                self.note(&format!("{path}.name"), "is required: the template's places have names");
                None
            }
            (true, Some(name)) => {
                let place = pattern.places().iter().position(|place| place.name == name);
                if place.is_none() {
                    self.note(&format!("{path}.name"), "must be the name of a place in the template");
                }
                place
            }
        }
    }

    fn body(&mut self, pattern: Option<&Pattern>, given: &[Parameter], most: usize) {
        let none = Pattern::default();
        let pattern = pattern.unwrap_or(&none);
        let places = pattern.places();
        let mut lengths = vec![None; places.len()];
        for (at, parameter) in given.iter().enumerate() {
            let path = format!("body[{at}]");
            let place = self.name(pattern, parameter, &path);
            let place = if self.named { place } else { Some(at) };
            match place.and_then(|place| lengths.get_mut(place)) {
                Some(filled) => *filled = Some(length(parameter)),
                None if self.named => {}
                None => self.note(&path, format!("must be absent: the body has {} places", places.len())),
            }
        }
        for (at, place) in places.iter().enumerate().filter(|(at, _)| lengths[*at].is_none()) {
            if self.named {
                self.note("body", format!("must have the place {}", place.name));
            } else {
                self.note(
                    &format!("body[{at}]"),
                    format!("is required: the body has {} places", places.len()),
                );
            }
        }
        let lengths: Vec<_> = lengths.into_iter().map(Option::unwrap_or_default).collect();
        if !given.is_empty() && pattern.filled(lengths) > most {
            self.note(
                "body",
                format!("must be shorter: with the template's own text it would have more than {most} characters"),
            );
        }
    }

    fn buttons(&mut self, buttons: &[Button], given: &[Given]) {
        for (at, given) in given.iter().enumerate() {
            let Some(button) = buttons.get(usize::from(given.index())) else {
                let description = format!("must be less than {}: the template has no more buttons", buttons.len());
                self.note(&format!("buttons[{at}].index"), description);
                continue;
            };
            self.button(button, given.kind(), at);
        }
        for (index, button) in buttons.iter().enumerate() {
            let missing = given.iter().all(|given| usize::from(given.index()) != index);
            if let Some(field) = required(button).filter(|_| missing) {
                self.note("buttons", format!("must have a {field} with index {index}"));
            }
        }
    }

    fn button(&mut self, button: &Button, given: &ButtonKind, at: usize) {
        let field = field(given);
        let path = format!("buttons[{at}].{field}");
        match (button, given) {
            (Button::Url(pattern), ButtonKind::UrlSuffix(_)) if pattern.places().is_empty() => {
                self.note(&path, "must be absent: the button's address has no place");
            }
            (Button::Url(_), ButtonKind::UrlSuffix(_))
            | (Button::QuickReply, ButtonKind::QuickReply(_))
            | (Button::CopyCode, ButtonKind::CouponCode(_))
            | (Button::Flow, ButtonKind::Flow(_))
            | (Button::Catalog, ButtonKind::Catalog(_))
            | (Button::Products, ButtonKind::Products(_))
            | (Button::Other, _) => {}
            _ => match takes(button) {
                Some(wanted) => self.note(&path, format!("must be a {wanted}, for this button")),
                None => self.note(&path, "must be absent: the button takes nothing"),
            },
        }
    }

    fn cards(&mut self, cards: Option<&[Card]>, given: &[GivenCard]) {
        let Some(cards) = cards else {
            if !given.is_empty() {
                self.note("cards", "must be empty: the template is no carousel");
            }
            return;
        };
        if cards.len() != given.len() {
            self.note("cards", format!("must be {}, as many as the template has", cards.len()));
        }
        for (at, (card, given)) in cards.iter().zip(given).enumerate() {
            self.path = format!("cards[{at}]");
            self.header(card.header.as_ref(), Some(given.header()));
            self.body(card.body.as_ref(), given.body(), MAX_CARD_BODY);
            self.buttons(&card.buttons, given.buttons());
        }
        self.path.clear();
    }
}

/// The field that fills a button. `None`: it takes nothing.
fn takes(button: &Button) -> Option<&'static str> {
    match button {
        Button::QuickReply => Some("quick_reply_payload"),
        Button::Url(_) => Some("url_suffix"),
        Button::CopyCode => Some("coupon_code"),
        Button::Flow => Some("flow"),
        Button::Catalog => Some("catalog"),
        Button::Products => Some("products"),
        Button::OneTimeCode | Button::Fixed | Button::Other => None,
    }
}

/// The field that a button cannot do without. A quick reply without a payload answers with its label, a catalog shows its first product; a flow must be named, if only by an empty one.
fn required(button: &Button) -> Option<&'static str> {
    match button {
        Button::Url(pattern) if pattern.places().is_empty() => None,
        Button::Url(_) | Button::CopyCode | Button::Flow | Button::Products => takes(button),
        Button::QuickReply | Button::Catalog | Button::OneTimeCode | Button::Fixed | Button::Other => None,
    }
}

fn field(given: &ButtonKind) -> &'static str {
    match given {
        ButtonKind::QuickReply(_) => "quick_reply_payload",
        ButtonKind::UrlSuffix(_) => "url_suffix",
        ButtonKind::CouponCode(_) => "coupon_code",
        ButtonKind::Flow(_) => "flow",
        ButtonKind::Catalog(_) => "catalog",
        ButtonKind::Products(_) => "products",
    }
}

/// Characters of a parameter as it is shown.
fn length(parameter: &Parameter) -> usize {
    match parameter.value() {
        Value::Text(text) | Value::DateTime(text) => text.chars().count(),
        Value::Currency(currency) => currency.fallback().chars().count(),
    }
}
