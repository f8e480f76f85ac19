//! What a template is made of, read from Meta's JSON array `components`.

use serde_json::Value;

use super::Pattern;

/// A template's parts, as far as they decide what a message must give. What this version does not know is kept as `Other` and left to Meta.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// What stands above the body.
    pub header: Option<Header>,
    /// The text.
    pub body: Option<Pattern>,
    /// In their order.
    pub buttons: Vec<Button>,
    /// The cards of a carousel. `None`: the template is none.
    pub cards: Option<Vec<Card>>,
    /// A limited-time offer: whether the message says when it ends.
    pub offer: Option<Offer>,
}

/// What stands above a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// A text, mostly without places.
    Text(Pattern),
    /// A picture.
    Image,
    /// A film.
    Video,
    /// A file.
    Document,
    /// A place on the map.
    Location,
    /// A product of a catalog.
    Product,
    /// A format that this version does not know.
    Other,
}

/// A button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Button {
    /// Answers with a payload.
    QuickReply,
    /// Opens an address, mostly without a place.
    Url(Pattern),
    /// Copies a coupon code.
    CopyCode,
    /// Copies, or fills in, a one-time code.
    OneTimeCode,
    /// Opens a flow.
    Flow,
    /// Opens the catalog.
    Catalog,
    /// Opens a list of products.
    Products,
    /// Takes nothing: a phone number, a call, a single product, a request for the user's number.
    Fixed,
    /// A type that this version does not know.
    Other,
}

/// A card of a carousel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// What stands above the body.
    pub header: Option<Header>,
    /// The text.
    pub body: Option<Pattern>,
    /// In their order.
    pub buttons: Vec<Button>,
}

/// A limited-time offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// It shows when it ends.
    pub expires: bool,
}

// === impl Parts ===

impl Parts {
    /// Reads Meta's JSON array `components`. `None`: it is no such array.
    pub fn parse(components: &[u8]) -> Option<Self> {
        let components: Vec<Value> = serde_json::from_slice(components).ok()?;
        let mut parts = Self::default();
        for component in &components {
            match word(component, "type").as_str() {
                "HEADER" => parts.header = Some(header(component)),
                "BODY" => parts.body = Some(Pattern::new(text(component, "text"))),
                "BUTTONS" => parts.buttons.extend(list(component, "buttons").iter().map(button)),
                "CAROUSEL" => parts.cards = Some(list(component, "cards").iter().map(card).collect()),
                "LIMITED_TIME_OFFER" => {
                    let expires = component["limited_time_offer"]["has_expiration"].as_bool();
                    parts.offer = Some(Offer {
                        expires: expires.unwrap_or(false),
                    });
                }
                _ => {}
            }
        }
        Some(parts)
    }

    /// Some place has a name.
    pub fn is_named(&self) -> bool {
        let cards = self.cards.iter().flatten();
        let bodies = self.body.iter().chain(cards.filter_map(|card| card.body.as_ref()));
        let header = self.header.iter().filter_map(|header| match header {
            Header::Text(pattern) => Some(pattern),
            _ => None,
        });
        bodies.chain(header).any(Pattern::is_named)
    }
}

fn header(component: &Value) -> Header {
    match word(component, "format").as_str() {
        "TEXT" => Header::Text(Pattern::new(text(component, "text"))),
        "IMAGE" => Header::Image,
        // A moving picture is sent as a film.
        "VIDEO" | "GIF" => Header::Video,
        "DOCUMENT" => Header::Document,
        "LOCATION" => Header::Location,
        "PRODUCT" => Header::Product,
        _ => Header::Other,
    }
}

fn button(button: &Value) -> Button {
    match word(button, "type").as_str() {
        "QUICK_REPLY" => Button::QuickReply,
        "URL" => {
            let url = text(button, "url");
            // Meta lists the button of a one-time code as an address of its own.
            if url.contains("otp_type=") && url.contains("/otp/code") {
                Button::OneTimeCode
            } else {
                Button::Url(Pattern::new(url))
            }
        }
        "OTP" => Button::OneTimeCode,
        "COPY_CODE" => Button::CopyCode,
        "FLOW" => Button::Flow,
        "CATALOG" => Button::Catalog,
        "MPM" => Button::Products,
        "PHONE_NUMBER" | "VOICE_CALL" | "SPM" | "REQUEST_CONTACT_INFO" | "CALL_PERMISSION_REQUEST" => Button::Fixed,
        _ => Button::Other,
    }
}

fn card(card: &Value) -> Card {
    let mut parts = Card::default();
    for component in list(card, "components") {
        match word(component, "type").as_str() {
            "HEADER" => parts.header = Some(header(component)),
            "BODY" => parts.body = Some(Pattern::new(text(component, "text"))),
            "BUTTONS" => parts.buttons.extend(list(component, "buttons").iter().map(button)),
            _ => {}
        }
    }
    parts
}

/// Meta writes these words in either case.
fn word(value: &Value, key: &str) -> String {
    text(value, key).to_ascii_uppercase()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parts(components: &Value) -> Parts {
        Parts::parse(components.to_string().as_bytes()).expect("an array")
    }

    #[test]
    fn every_part_is_known_by_its_type() {
        let everything = parts(&json!([
            {"type": "HEADER", "format": "TEXT", "text": "Our {{1}} is on!", "example": {"header_text": ["Summer Sale"]}},
            {"type": "body", "text": "Shop now through {{1}} and use code {{2}}.", "example": {"body_text": [["a", "b"]]}},
            {"type": "FOOTER", "text": "Bye"},
            {"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "Stop"},
                {"type": "URL", "text": "Open", "url": "https://example.com/{{1}}", "example": ["https://example.com/a"]},
                {"type": "URL", "text": "Copy code", "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}"},
                {"type": "OTP", "otp_type": "ONE_TAP"},
                {"type": "COPY_CODE", "example": "250FF"},
                {"type": "FLOW", "flow_id": 1},
                {"type": "CATALOG"}, {"type": "MPM"}, {"type": "SPM"},
                {"type": "PHONE_NUMBER", "phone_number": "+1"},
                {"type": "SOMETHING_NEW"}, 7,
            ]},
            {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Now!", "has_expiration": true}},
            {"type": "SOMETHING_NEW"}, null,
        ]));
        assert_eq!(everything.header, Some(Header::Text(Pattern::new("Our {{1}} is on!"))));
        assert_eq!(everything.body.as_ref().map(|body| body.places().len()), Some(2));
        assert_eq!(everything.offer, Some(Offer { expires: true }));
        assert_eq!(
            everything.buttons,
            [
                Button::QuickReply,
                Button::Url(Pattern::new("https://example.com/{{1}}")),
                Button::OneTimeCode,
                Button::OneTimeCode,
                Button::CopyCode,
                Button::Flow,
                Button::Catalog,
                Button::Products,
                Button::Fixed,
                Button::Fixed,
                Button::Other,
                Button::Other,
            ]
        );
        assert!(!everything.is_named() && everything.cards.is_none());
    }

    #[test]
    fn cards_have_parts_of_their_own() {
        let carousel = parts(&json!([
            {"type": "BODY", "text": "Look"},
            {"type": "CAROUSEL", "cards": [
                {"components": [
                    {"type": "HEADER", "format": "IMAGE"},
                    {"type": "BODY", "text": "Only {{price}}"},
                    {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY"}, {"type": "URL", "url": "https://e.x/{{1}}"}]},
                ]},
                {"components": [{"type": "HEADER", "format": "PRODUCT"}]},
                {},
            ]},
        ]));
        let cards = carousel.cards.as_deref().expect("cards");
        assert_eq!(cards.len(), 3);
        assert_eq!((&cards[0].header, cards[0].buttons.len()), (&Some(Header::Image), 2));
        assert_eq!(cards[1].header, Some(Header::Product));
        assert_eq!(cards[2], Card::default());
        assert!(carousel.is_named());
    }

    #[test]
    fn what_is_no_array_is_not_read() {
        for bad in ["", "{}", "null", "[", "7"] {
            assert_eq!(Parts::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Parts::parse(b"[]"), Some(Parts::default()));
    }
}
