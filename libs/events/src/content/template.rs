//! Templates.

use outeract_domain::Template;
use outeract_domain::content::template::{
    Button, ButtonKind, Card, Currency, FlowButton, Header, HeaderDocument, Parameter, ProductsButton, TapTarget,
    TemplateParts, Value,
};
use outeract_domain::content::{Check, Draft, Drafts};
use outeract_proto::messaging::v1 as proto;
use proto::template_button::Kind as GivenButton;
use proto::template_header::Kind as GivenHeader;
use proto::template_parameter::Value as GivenValue;

use super::{given, json, location, location_to_proto, media, parts};
use crate::timestamp;

pub(super) fn template(given: proto::TemplateContent, check: &mut Check) -> Draft<Template> {
    let offer_expires_at = given.offer_expire_time.and_then(|at| {
        let at = timestamp::from_proto(&at);
        if at.is_none() {
            check.note("offer_expire_time", "must be a time in the years 1 to 9999");
        }
        at
    });
    let parts = TemplateParts {
        name: given.name,
        language_code: given.language_code,
        header: check.optional("header", given.header, header),
        body: parameters(given.body, check),
        buttons: buttons(given.buttons, check),
        cards: check.each("cards", given.cards, card),
        offer_expires_at,
        one_time_code: given.one_time_code,
        tap_target: check.optional("tap_target", given.tap_target, |target, check| {
            TapTarget::new(&target.url, target.title, check)
        }),
    };
    Template::new(parts, check)
}

pub(super) fn to_proto(template: &Template) -> proto::TemplateContent {
    proto::TemplateContent {
        name: template.name().to_owned(),
        language_code: template.language().to_owned(),
        header: template.header().map(header_to_proto),
        body: template.body().iter().map(parameter_to_proto).collect(),
        buttons: template.buttons().iter().map(button_to_proto).collect(),
        cards: template.cards().iter().map(card_to_proto).collect(),
        offer_expire_time: template.offer_expires_at().map(timestamp::to_proto),
        one_time_code: given(template.one_time_code()),
        tap_target: template.tap_target().map(|target| proto::TapTarget {
            url: target.url().to_owned(),
            title: target.title().to_owned(),
        }),
    }
}

fn parameters(given: Vec<proto::TemplateParameter>, check: &mut Check) -> Drafts<Parameter> {
    check.each("body", given, parameter)
}

fn parameter(given: proto::TemplateParameter, check: &mut Check) -> Draft<Parameter> {
    let value = match given.value {
        Some(GivenValue::Text(text)) => Value::text(text, check),
        Some(GivenValue::Currency(given)) => check
            .at("currency", |check| {
                Currency::new(given.fallback_value, given.code, given.amount_1000, check)
            })
            .map(Value::Currency),
        Some(GivenValue::DateTime(shown)) => Value::date_time(shown, check),
        None => Value::missing(check),
    };
    Parameter::new(given.name, value, check)
}

fn parameter_to_proto(parameter: &Parameter) -> proto::TemplateParameter {
    let value = match parameter.value() {
        Value::Text(text) => GivenValue::Text(text.as_str().to_owned()),
        Value::Currency(currency) => GivenValue::Currency(proto::TemplateCurrency {
            fallback_value: currency.fallback().to_owned(),
            code: currency.code().to_owned(),
            amount_1000: currency.amount_1000(),
        }),
        Value::DateTime(shown) => GivenValue::DateTime(shown.as_str().to_owned()),
    };
    proto::TemplateParameter {
        name: given(parameter.name()),
        value: Some(value),
    }
}

fn header(given: proto::TemplateHeader, check: &mut Check) -> Draft<Header> {
    match given.kind {
        Some(GivenHeader::Text(given)) => {
            let parameter = check.at("text", |check| parameter(given, check));
            Header::text(parameter, check)
        }
        Some(GivenHeader::Image(given)) => check.at("image", |check| media::media(given, check)).map(Header::Image),
        Some(GivenHeader::Video(given)) => check.at("video", |check| media::media(given, check)).map(Header::Video),
        Some(GivenHeader::Document(given)) => check
            .at("document", |check| {
                let media = check.required("media", given.media, media::media);
                HeaderDocument::new(media, given.filename, check)
            })
            .map(Header::Document),
        Some(GivenHeader::Location(given)) => check
            .at("location", |check| location(given, check))
            .map(Header::Location),
        Some(GivenHeader::Product(given)) => check
            .at("product", |check| parts::product(given, check))
            .map(Header::Product),
        None => Header::missing(check),
    }
}

fn header_to_proto(header: &Header) -> proto::TemplateHeader {
    let kind = match header {
        Header::Text(parameter) => GivenHeader::Text(parameter_to_proto(parameter)),
        Header::Image(source) => GivenHeader::Image(media::to_proto(source)),
        Header::Video(source) => GivenHeader::Video(media::to_proto(source)),
        Header::Document(document) => GivenHeader::Document(proto::TemplateDocument {
            media: Some(media::to_proto(document.media())),
            filename: given(document.filename()),
        }),
        Header::Location(location) => GivenHeader::Location(location_to_proto(location)),
        Header::Product(product) => GivenHeader::Product(parts::product_to_proto(product)),
    };
    proto::TemplateHeader { kind: Some(kind) }
}

fn buttons(given: Vec<proto::TemplateButton>, check: &mut Check) -> Drafts<Button> {
    check.each("buttons", given, |given, check| {
        let kind = match given.kind {
            Some(given) => button_kind(given, check),
            None => ButtonKind::missing(check),
        };
        Button::new(given.index, kind, check)
    })
}

fn button_kind(given: GivenButton, check: &mut Check) -> Draft<ButtonKind> {
    match given {
        GivenButton::QuickReplyPayload(payload) => ButtonKind::quick_reply(payload, check),
        GivenButton::UrlSuffix(suffix) => ButtonKind::url_suffix(suffix, check),
        GivenButton::CouponCode(code) => ButtonKind::coupon_code(code, check),
        GivenButton::Flow(given) => check
            .at("flow", |check| {
                let data = json::data(given.data, check);
                FlowButton::new(given.flow_token, data, check)
            })
            .map(ButtonKind::Flow),
        GivenButton::Catalog(given) => check
            .at("catalog", |check| parts::catalog(given, check))
            .map(ButtonKind::Catalog),
        GivenButton::Products(given) => check
            .at("products", |check| {
                let sections = parts::product_sections(given.sections, check);
                ProductsButton::new(given.thumbnail_product_retailer_id, sections, check)
            })
            .map(ButtonKind::Products),
    }
}

fn button_to_proto(button: &Button) -> proto::TemplateButton {
    let kind = match button.kind() {
        ButtonKind::QuickReply(payload) => GivenButton::QuickReplyPayload(payload.as_str().to_owned()),
        ButtonKind::UrlSuffix(suffix) => GivenButton::UrlSuffix(suffix.as_str().to_owned()),
        ButtonKind::CouponCode(code) => GivenButton::CouponCode(code.as_str().to_owned()),
        ButtonKind::Flow(flow) => GivenButton::Flow(proto::TemplateFlow {
            flow_token: given(flow.token()),
            data: flow.data().map(json::to_proto),
        }),
        ButtonKind::Catalog(catalog) => GivenButton::Catalog(parts::catalog_to_proto(catalog)),
        ButtonKind::Products(products) => GivenButton::Products(proto::TemplateProducts {
            thumbnail_product_retailer_id: products.thumbnail_product_retailer_id().to_owned(),
            sections: parts::product_sections_to_proto(products.sections()),
        }),
    };
    proto::TemplateButton {
        index: button.index().into(),
        kind: Some(kind),
    }
}

fn card(given: proto::TemplateCard, check: &mut Check) -> Draft<Card> {
    let header = check.required("header", given.header, header);
    let body = parameters(given.body, check);
    let buttons = buttons(given.buttons, check);
    Card::new(header, body, buttons, check)
}

fn card_to_proto(card: &Card) -> proto::TemplateCard {
    proto::TemplateCard {
        header: Some(header_to_proto(card.header())),
        body: card.body().iter().map(parameter_to_proto).collect(),
        buttons: card.buttons().iter().map(button_to_proto).collect(),
    }
}
