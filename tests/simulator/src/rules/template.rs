//! The shape of a template message. Whether it fits the template's definition is decided with the definition.

use serde_json::{Map, Value};

use super::Checked;
use super::content::{LOCATION, media_object};
use super::fields::{Field, Path, Rule, bad, fields, invalid, list, missing, need, object, optional, required, text};
use super::interactive::product_sections;
use crate::errors::Refusal;
use crate::media::Family;

/// Which template, and what goes into its places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TemplateUse {
    pub(crate) name: String,
    pub(crate) language: String,
    pub(crate) card: Card,
    /// When the offer of a limited-time offer ends, in unix milliseconds.
    pub(crate) offer_ends_ms: Option<i64>,
    /// The cards of a carousel, each with its index.
    pub(crate) cards: Option<Vec<(u64, Card)>>,
    pub(crate) tap_target: bool,
}

/// What goes into the header, body and buttons of the message itself, or of one card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) header: Option<Vec<Parameter>>,
    pub(crate) body: Option<Vec<Parameter>>,
    pub(crate) buttons: Vec<Button>,
}

/// What goes into one button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Button {
    pub(crate) sub_type: String,
    pub(crate) index: u64,
    pub(crate) parameters: Vec<Parameter>,
}

/// What goes into one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// For templates with named places.
    pub(crate) name: Option<String>,
    pub(crate) place: Place,
}

/// The kind of a parameter, with its text where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Text(String),
    Media(Family),
    Location,
    Product,
    Payload,
    CouponCode(String),
    /// A flow, a catalog or several products.
    Action {
        /// The thumbnail is given.
        thumbnail: bool,
        /// Sections of products are given.
        sections: bool,
    },
    Offer(i64),
    TapTarget,
}

const TEMPLATE: &[Field] = &[
    required("name", Rule::Text(512)),
    required(
        "language",
        Rule::Object(&[
            required("code", Rule::Text(16)),
            optional("policy", Rule::OneOf(&["deterministic"])),
        ]),
    ),
    optional("namespace", Rule::Text(128)),
];
const CURRENCY: &[Field] = &[
    required("fallback_value", Rule::Text(TEXT)),
    required("code", Rule::Text(3)),
    required("amount_1000", Rule::Integer),
];
const ACTION: &[Field] = &[
    optional("flow_token", Rule::Text(256)),
    optional("flow_action_data", Rule::AnyObject),
    optional("thumbnail_product_retailer_id", Rule::Text(256)),
];
const TAP_TARGET: &[Field] = &[required("url", Rule::Text(2_000)), required("title", Rule::Text(256))];
/// Longest text of one place before anything else is looked at.
const TEXT: usize = 32_768;

/// Checks a template object.
pub(super) fn check(template: &Map<String, Value>, path: &Path<'_>, checked: &mut Checked) -> Result<(), Refusal> {
    fields(template, TEMPLATE, path, &["components"])?;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut used = TemplateUse {
        name: word(&template["name"]),
        language: word(&template["language"]["code"]),
        ..TemplateUse::default()
    };
    let path = path.key("components");
    if let Ok(value) = need(template, &path) {
        for (index, component) in list(value, &path, (0, 20))?.iter().enumerate() {
            let path = path.index(index);
            whole(object(component, &path)?, &path, &mut used, checked)?;
        }
    }
    checked.template = Some(used);
    Ok(())
}

/// A component of the whole message.
fn whole(
    component: &Map<String, Value>,
    path: &Path<'_>,
    used: &mut TemplateUse,
    checked: &mut Checked,
) -> Result<(), Refusal> {
    match kind(component, path)?.as_str() {
        "limited_time_offer" => {
            for parameter in parameters(component, path, checked)? {
                if let Place::Offer(ends_ms) = parameter.place {
                    used.offer_ends_ms = Some(ends_ms);
                }
            }
            Ok(())
        }
        "tap_target_configuration" => {
            used.tap_target = true;
            parameters(component, path, checked).map(drop)
        }
        "carousel" => {
            fields(component, &[], path, &["type", "cards"])?;
            let path = path.key("cards");
            let mut cards = Vec::new();
            for (index, value) in list(need(component, &path)?, &path, (1, 10))?.iter().enumerate() {
                cards.push(card(value, &path.index(index), checked)?);
            }
            used.cards = Some(cards);
            Ok(())
        }
        kind => part(kind, component, path, &mut used.card, checked),
    }
}

fn card(value: &Value, path: &Path<'_>, checked: &mut Checked) -> Result<(u64, Card), Refusal> {
    let value = object(value, path)?;
    fields(value, &[required("card_index", Rule::Integer)], path, &["components"])?;
    let index = value.get("card_index").and_then(Value::as_u64);
    let index = index.ok_or_else(|| bad(format!("{}: must not be negative", path.key("card_index"))))?;
    let path = path.key("components");
    let mut card = Card::default();
    for (index, component) in list(need(value, &path)?, &path, (1, 20))?.iter().enumerate() {
        let path = path.index(index);
        let component = object(component, &path)?;
        part(&kind(component, &path)?, component, &path, &mut card, checked)?;
    }
    Ok((index, card))
}

/// A header, a body or a button.
fn part(
    kind: &str,
    component: &Map<String, Value>,
    path: &Path<'_>,
    card: &mut Card,
    checked: &mut Checked,
) -> Result<(), Refusal> {
    let twice = || Err(invalid(format!("Param {path} is a second component of type {kind}")));
    match kind {
        "header" if card.header.is_some() => twice(),
        "body" if card.body.is_some() => twice(),
        "header" => {
            card.header = Some(parameters(component, path, checked)?);
            Ok(())
        }
        "body" => {
            card.body = Some(parameters(component, path, checked)?);
            Ok(())
        }
        "button" => {
            let place = path.key("sub_type");
            let sub_type = text(need(component, &place)?, &place)?.to_ascii_lowercase();
            let place = path.key("index");
            let index = match need(component, &place)? {
                Value::String(digits) => digits.parse().ok(),
                number => number.as_u64(),
            };
            let index = index.filter(|index| *index < 10);
            card.buttons.push(Button {
                sub_type,
                index: index.ok_or_else(|| bad(format!("{place}: must be 0 to 9")))?,
                parameters: parameters(component, path, checked)?,
            });
            Ok(())
        }
        _ => Err(invalid(format!("Param {} is not a component's type", path.key("type")))),
    }
}

fn kind(component: &Map<String, Value>, path: &Path<'_>) -> Result<String, Refusal> {
    let path = path.key("type");
    Ok(text(need(component, &path)?, &path)?.to_ascii_lowercase())
}

fn parameters(
    component: &Map<String, Value>,
    path: &Path<'_>,
    checked: &mut Checked,
) -> Result<Vec<Parameter>, Refusal> {
    fields(component, &[], path, &["type", "sub_type", "index", "parameters"])?;
    let path = path.key("parameters");
    let Ok(value) = need(component, &path) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for (index, value) in list(value, &path, (0, 100))?.iter().enumerate() {
        found.push(parameter(value, &path.index(index), checked)?);
    }
    Ok(found)
}

fn parameter(value: &Value, path: &Path<'_>, checked: &mut Checked) -> Result<Parameter, Refusal> {
    let value = object(value, path)?;
    let kind = kind(value, path)?;
    fields(
        value,
        &[optional("parameter_name", Rule::Text(256))],
        path,
        &["type", kind.as_str()],
    )?;
    let name = value.get("parameter_name").and_then(Value::as_str).map(str::to_owned);
    let path = path.key(&kind);
    let content = need(value, &path)?;
    let place = match kind.as_str() {
        "text" => {
            Rule::Text(TEXT).check(content, &path)?;
            Place::Text(text(content, &path)?.to_owned())
        }
        "currency" => {
            fields(object(content, &path)?, CURRENCY, &path, &[])?;
            Place::Text(content["fallback_value"].as_str().unwrap_or_default().to_owned())
        }
        "date_time" => {
            let fallback = path.key("fallback_value");
            Rule::Text(TEXT).check(need(object(content, &path)?, &fallback)?, &fallback)?;
            Place::Text(content["fallback_value"].as_str().unwrap_or_default().to_owned())
        }
        "image" | "video" | "document" => {
            let family = [Family::Image, Family::Video, Family::Document];
            let family = family.into_iter().find(|family| family.word() == kind);
            let family = family.unwrap_or(Family::Document);
            let filename = &[optional("filename", Rule::Any(240))];
            let beside: &[Field] = if family == Family::Document { filename } else { &[] };
            media_object(content, &path, family, beside, checked)?;
            Place::Media(family)
        }
        "location" => {
            fields(object(content, &path)?, LOCATION, &path, &[])?;
            Place::Location
        }
        "product" => {
            let known = &[
                required("product_retailer_id", Rule::Text(256)),
                required("catalog_id", Rule::Digits),
            ];
            fields(object(content, &path)?, known, &path, &[])?;
            Place::Product
        }
        "payload" => {
            Rule::Short(256).check(content, &path)?;
            Place::Payload
        }
        "coupon_code" => {
            Rule::Short(20).check(content, &path)?;
            Place::CouponCode(text(content, &path)?.to_owned())
        }
        _ => special(&kind, content, &path)?,
    };
    Ok(Parameter { name, place })
}

/// Parameters that are objects of their own.
fn special(kind: &str, content: &Value, path: &Path<'_>) -> Result<Place, Refusal> {
    match kind {
        "action" => {
            let action = object(content, path)?;
            fields(action, ACTION, path, &["sections"])?;
            let sections = action.contains_key("sections");
            if sections {
                product_sections(action, path)?;
            }
            Ok(Place::Action {
                thumbnail: action.contains_key("thumbnail_product_retailer_id"),
                sections,
            })
        }
        "limited_time_offer" => {
            let known = &[required("expiration_time_ms", Rule::Integer)];
            fields(object(content, path)?, known, path, &[])?;
            let ends_ms = content["expiration_time_ms"].as_i64();
            Ok(Place::Offer(ends_ms.ok_or_else(|| missing(path))?))
        }
        "tap_target_configuration" => {
            for (index, target) in list(content, path, (1, 1))?.iter().enumerate() {
                let path = path.index(index);
                fields(object(target, &path)?, TAP_TARGET, &path, &[])?;
            }
            Ok(Place::TapTarget)
        }
        _ => Err(invalid(format!("Param {path} is of no known type"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Request, check};
    use super::*;

    fn used(components: &Value) -> Result<(TemplateUse, usize), i32> {
        let body = json!({"messaging_product": "whatsapp", "to": "+16505551234", "type": "template", "template":
            {"name": "order", "language": {"code": "en_US"}, "components": components}});
        match check(body.to_string().as_bytes(), "1").map_err(|refusal| refusal.code)? {
            Request::Message(checked) => Ok((checked.template.expect("template"), checked.media.len())),
            Request::Receipt(receipt) => panic!("{receipt:?}"),
        }
    }

    #[test]
    fn components_are_read() {
        let (template, media) = used(&json!([
            {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://example.com/a.png"}}]},
            {"type": "body", "parameters": [{"type": "text", "text": "John"},
                {"type": "currency", "currency": {"fallback_value": "$1", "code": "USD", "amount_1000": 1000}}]},
            {"type": "button", "sub_type": "quick_reply", "index": "1", "parameters": [{"type": "payload", "payload": "p"}]},
            {"type": "limited_time_offer", "parameters": [{"type": "limited_time_offer", "limited_time_offer":
                {"expiration_time_ms": 5}}]},
            {"type": "carousel", "cards": [{"card_index": 0, "components": [{"type": "header", "parameters":
                [{"type": "video", "video": {"id": "1"}}]}]}]},
        ]))
        .expect("taken");
        assert_eq!(
            (template.name.as_str(), template.language.as_str(), media),
            ("order", "en_US", 2)
        );
        assert_eq!(
            template.card.header.map(|header| header[0].place.clone()),
            Some(Place::Media(Family::Image))
        );
        let body: Vec<_> = template.card.body.into_iter().flatten().map(|one| one.place).collect();
        assert_eq!(body, [Place::Text("John".to_owned()), Place::Text("$1".to_owned())]);
        assert_eq!((template.card.buttons[0].index, template.offer_ends_ms), (1, Some(5)));
        assert_eq!(template.cards.map(|cards| cards[0].0), Some(0));
    }

    #[test]
    fn what_has_no_shape_is_refused() {
        for (components, code) in [
            (json!({}), 100),
            (json!([{"parameters": []}]), 131_008),
            (json!([{"type": "footer"}]), 100),
            (json!([{"type": "body"}, {"type": "body"}]), 100),
            (json!([{"type": "body", "parameters": [{"type": "text"}]}]), 131_008),
            (
                json!([{"type": "body", "parameters": [{"type": "text", "text": ""}]}]),
                131_008,
            ),
            (
                json!([{"type": "body", "parameters": [{"type": "words", "words": "a"}]}]),
                100,
            ),
            (json!([{"type": "button", "index": 0}]), 131_008),
            (json!([{"type": "button", "sub_type": "url", "index": "ten"}]), 131_009),
            (
                json!([{"type": "button", "sub_type": "copy_code", "index": 0, "parameters":
                    [{"type": "coupon_code", "coupon_code": "a".repeat(21)}]}]),
                131_009,
            ),
            (json!([{"type": "carousel", "cards": []}]), 131_009),
        ] {
            assert_eq!(used(&components).expect_err("refused"), code, "{components}");
        }
    }
}
