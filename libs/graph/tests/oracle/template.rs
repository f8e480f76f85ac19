use std::collections::BTreeSet;

use outeract_proto::messaging::v1::template_button::Kind as Button;
use outeract_proto::messaging::v1::template_header::Kind as Header;
use outeract_proto::messaging::v1::template_parameter::Value;
use outeract_proto::messaging::v1::{TemplateButton, TemplateContent, TemplateHeader, TemplateParameter};

use super::{blank, location, medium, products, sized, web_address};

pub(super) fn refusal(given: &TemplateContent) -> Option<&'static str> {
    let name = given
        .name
        .chars()
        .all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '_'));
    let code = given.one_time_code.as_str();
    let filled = !given.body.is_empty() || !given.buttons.is_empty();
    sized(&given.name, 1, 512, "template name")
        .or((!name).then_some("template name"))
        .or(blank(&given.language_code))
        .or(given.language_code.contains('-').then_some("no language has this code"))
        .or(given.header.as_ref().and_then(header))
        .or(parameters(&given.body))
        .or(buttons(&given.buttons))
        .or(sized(code, 0, 15, "one-time code"))
        .or(crowded(code))
        .or((!code.is_empty() && filled).then_some("a one-time code beside other parameters"))
        .or((given.cards.len() > 10).then_some("at most 10 cards"))
        .or(given.cards.iter().find_map(|card| {
            let kind = card.header.as_ref().and_then(|header| header.kind.as_ref());
            let fits = matches!(kind, Some(Header::Image(_) | Header::Video(_) | Header::Product(_)));
            (!fits)
                .then_some("a card's header")
                .or(card.header.as_ref().and_then(header))
                .or(parameters(&card.body))
                .or(buttons(&card.buttons))
        }))
        .or(given
            .tap_target
            .as_ref()
            .and_then(|target| blank(&target.title).or(web_address(&target.url))))
}

fn header(given: &TemplateHeader) -> Option<&'static str> {
    match given.kind.as_ref() {
        None => Some("an empty header"),
        Some(Header::Text(parameter)) => match parameter.value.as_ref() {
            Some(Value::Text(text)) => sized(text, 1, 60, "header text").or(crowded(text)),
            _ => Some("a header without text"),
        },
        Some(Header::Image(media) | Header::Video(media)) => medium(Some(media)),
        Some(Header::Document(document)) => medium(document.media.as_ref()),
        Some(Header::Location(place)) => location(place),
        Some(Header::Product(product)) => blank(&product.catalog_id).or(blank(&product.product_retailer_id)),
    }
}

fn parameters(given: &[TemplateParameter]) -> Option<&'static str> {
    let named: Vec<_> = given
        .iter()
        .map(|parameter| &parameter.name)
        .filter(|name| !name.is_empty())
        .collect();
    if !named.is_empty() && named.len() < given.len() {
        return Some("places by order and by name");
    }
    if named.iter().collect::<BTreeSet<_>>().len() < named.len() {
        return Some("a place filled twice");
    }
    given.iter().find_map(|parameter| match parameter.value.as_ref() {
        None => Some("an empty place"),
        Some(Value::Text(text)) => sized(text, 1, 1_024, "parameter").or(crowded(text)),
        Some(Value::Currency(currency)) => blank(&currency.fallback_value)
            .or((currency.code.len() != 3 || currency.code != currency.code.to_uppercase()).then_some("no currency")),
        Some(Value::DateTime(shown)) => blank(shown),
    })
}

fn buttons(given: &[TemplateButton]) -> Option<&'static str> {
    let places: BTreeSet<_> = given.iter().map(|button| button.index).collect();
    if given.len() > 10 || places.len() < given.len() || places.iter().any(|place| !(0..10).contains(place)) {
        return Some("ten buttons, each once");
    }
    given.iter().find_map(|button| match button.kind.as_ref() {
        None => Some("an empty button"),
        Some(Button::QuickReplyPayload(payload)) => sized(payload, 1, 256, "payload"),
        Some(Button::UrlSuffix(suffix)) => sized(suffix, 1, 2_000, "URL suffix"),
        Some(Button::CouponCode(code)) => sized(code, 1, 20, "coupon code"),
        Some(Button::Flow(_) | Button::Catalog(_)) => None,
        Some(Button::Products(given)) => blank(&given.thumbnail_product_retailer_id).or(products(&given.sections)),
    })
}

/// What Meta takes for broken formatting.
fn crowded(text: &str) -> Option<&'static str> {
    (text.contains(['\n', '\t']) || text.contains("     ")).then_some("line breaks, tabs or five spaces")
}
