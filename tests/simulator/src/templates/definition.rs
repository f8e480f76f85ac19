//! What a template's components demand of a message.

use serde_json::Value;

use crate::media::Family;

/// What a message must bring for a template.
#[derive(Debug, Clone, Default)]
pub(crate) struct Definition {
    /// Places have names instead of numbers.
    pub(crate) named: bool,
    /// Body and button hold one code.
    pub(crate) authentication: bool,
    pub(crate) face: Face,
    /// An offer that ends at a time must say when.
    pub(crate) offer_ends: bool,
    pub(crate) cards: Option<Vec<Face>>,
}

/// Header, body and buttons of the message itself, or of one card.
#[derive(Debug, Clone, Default)]
pub(crate) struct Face {
    pub(crate) header: Header,
    pub(crate) body: Text,
    pub(crate) buttons: Vec<Button>,
}

#[derive(Debug, Clone, Default)]
pub(crate) enum Header {
    #[default]
    None,
    Text(Text),
    Media(Family),
    Location,
    Product,
}

/// A text with places in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text {
    pub(crate) text: String,
    /// What stands between the braces, each once, in order.
    pub(crate) places: Vec<String>,
}

/// A button, by what it demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Button {
    /// A payload may be given.
    QuickReply,
    /// The end of the address must be given, if it has a place.
    Url {
        place: bool,
    },
    CopyCode,
    Flow,
    Catalog,
    Products,
    /// Nothing can be given.
    Fixed,
}

// === impl Definition ===

impl Definition {
    /// Reads components as `GET /{waba}/message_templates` shows them.
    pub(crate) fn read(components: &Value, category: &str) -> Result<Self, String> {
        let components = components.as_array().ok_or("components are no list")?;
        let mut definition = Self {
            authentication: category.eq_ignore_ascii_case("authentication"),
            face: Face::read(components)?,
            ..Self::default()
        };
        for component in components {
            match kind(component).as_str() {
                "HEADER" | "BODY" | "FOOTER" | "BUTTONS" => {}
                "LIMITED_TIME_OFFER" => {
                    definition.offer_ends = component["limited_time_offer"]["has_expiration"] == true;
                }
                "CAROUSEL" => {
                    let cards = component["cards"].as_array().ok_or("a carousel needs cards")?;
                    let faces = cards.iter().map(|card| {
                        let components = card["components"].as_array().ok_or("a card needs components")?;
                        Face::read(components)
                    });
                    definition.cards = Some(faces.collect::<Result<_, _>>()?);
                }
                other => return Err(format!("there is no component {other}")),
            }
        }
        if definition.face.body.text.is_empty() {
            return Err("a template needs a body".to_owned());
        }
        let named = definition.texts().any(Text::named);
        definition.named = named;
        if definition.named && definition.texts().any(|text| !text.places.is_empty() && !text.named()) {
            return Err("places are named or numbered, not both".to_owned());
        }
        Ok(definition)
    }

    fn texts(&self) -> impl Iterator<Item = &Text> {
        let cards = self.cards.iter().flatten().map(|card| &card.body);
        let header = match &self.face.header {
            Header::Text(text) => Some(text),
            _ => None,
        };
        [&self.face.body].into_iter().chain(header).chain(cards)
    }
}

// === impl Face ===

impl Face {
    fn read(components: &[Value]) -> Result<Self, String> {
        let mut face = Self::default();
        for component in components {
            match kind(component).as_str() {
                "HEADER" => face.header = Header::read(component)?,
                "BODY" => face.body = Text::read(component["text"].as_str().unwrap_or_default()),
                "BUTTONS" => {
                    let buttons = component["buttons"].as_array().ok_or("buttons are no list")?;
                    face.buttons = buttons.iter().map(Button::read).collect::<Result<_, _>>()?;
                }
                _ => {}
            }
        }
        Ok(face)
    }
}

// === impl Header ===

impl Header {
    fn read(component: &Value) -> Result<Self, String> {
        Ok(
            match component["format"]
                .as_str()
                .unwrap_or("TEXT")
                .to_ascii_uppercase()
                .as_str()
            {
                "TEXT" => Self::Text(Text::read(component["text"].as_str().unwrap_or_default())),
                "IMAGE" => Self::Media(Family::Image),
                "VIDEO" => Self::Media(Family::Video),
                "DOCUMENT" => Self::Media(Family::Document),
                "LOCATION" => Self::Location,
                "PRODUCT" => Self::Product,
                other => return Err(format!("there is no header of format {other}")),
            },
        )
    }
}

// === impl Text ===

impl Text {
    /// Finds the places, `{{…}}`.
    fn read(text: &str) -> Self {
        let mut places: Vec<String> = Vec::new();
        for part in text.split("{{").skip(1) {
            if let Some((place, _)) = part.split_once("}}") {
                let place = place.trim().to_owned();
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        Self {
            text: text.to_owned(),
            places,
        }
    }

    fn named(&self) -> bool {
        self.places
            .iter()
            .any(|place| !place.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

// === impl Button ===

impl Button {
    fn read(button: &Value) -> Result<Self, String> {
        Ok(match kind(button).as_str() {
            "QUICK_REPLY" => Self::QuickReply,
            "URL" => Self::Url {
                place: button["url"].as_str().is_some_and(|url| url.contains("{{")),
            },
            // However it is shown, a button for a one-time code is sent as one with an address.
            "OTP" => Self::Url { place: true },
            "COPY_CODE" => Self::CopyCode,
            "FLOW" => Self::Flow,
            "CATALOG" => Self::Catalog,
            "MPM" | "SPM" => Self::Products,
            "PHONE_NUMBER" | "VOICE_CALL" | "REQUEST_CONTACT_INFO" => Self::Fixed,
            other => return Err(format!("there is no button of type {other}")),
        })
    }

    /// The `sub_type` that a message must give it.
    pub(crate) fn sub_type(self) -> &'static str {
        match self {
            Self::QuickReply => "quick_reply",
            Self::Url { .. } => "url",
            Self::CopyCode => "copy_code",
            Self::Flow => "flow",
            Self::Catalog => "catalog",
            Self::Products => "mpm",
            Self::Fixed => "",
        }
    }
}

fn kind(component: &Value) -> String {
    component["type"].as_str().unwrap_or_default().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_found() {
        let text = Text::read("Hi {{1}}, {{ 2 }} and {{1}} {not}} {{");
        assert_eq!(text.places, ["1", "2"]);
        assert!(!text.named() && Text::read("{{name}}").named());
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for components in [
            json!({}),
            json!([]),
            json!([{"type": "BODY", "text": "a"}, {"type": "SURPRISE"}]),
            json!([{"type": "BODY", "text": "a"}, {"type": "HEADER", "format": "SOUND"}]),
            json!([{"type": "BODY", "text": "a"}, {"type": "BUTTONS", "buttons": [{"type": "NONE"}]}]),
            json!([{"type": "BODY", "text": "{{1}}"}, {"type": "HEADER", "format": "TEXT", "text": "{{name}}"}]),
        ] {
            assert!(Definition::read(&components, "UTILITY").is_err(), "{components}");
        }
    }
}
