//! What messages give.

use outeract_domain::Template;
use outeract_events::content::template_from_proto;
use outeract_proto::messaging::v1::template_button::Kind as Button;
use outeract_proto::messaging::v1::template_header::Kind as Header;
use outeract_proto::messaging::v1::template_parameter::Value as Parameter;
use outeract_proto::messaging::v1::{Media, TemplateButton, TemplateContent, TemplateHeader, TemplateParameter, media};

use super::*;

pub(super) fn text(text: &str) -> TemplateParameter {
    named_text("", text)
}

pub(super) fn named_text(name: &str, text: &str) -> TemplateParameter {
    TemplateParameter {
        name: name.to_owned(),
        value: Some(Parameter::Text(text.to_owned())),
    }
}

pub(super) fn texts(given: &[&str]) -> Vec<TemplateParameter> {
    given.iter().map(|given| text(given)).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "as the field wants it")]
pub(super) fn header(kind: Header) -> Option<TemplateHeader> {
    Some(TemplateHeader { kind: Some(kind) })
}

pub(super) fn picture() -> Media {
    Media {
        source: Some(media::Source::Link("https://pictures.example/1.jpg".to_owned())),
    }
}

pub(super) fn button(index: i32, kind: Button) -> TemplateButton {
    TemplateButton {
        index,
        kind: Some(kind),
    }
}

pub(super) fn suffix(index: i32, suffix: &str) -> TemplateButton {
    button(index, Button::UrlSuffix(suffix.to_owned()))
}

pub(super) fn coupon(index: i32) -> TemplateButton {
    button(index, Button::CouponCode("25OFF".to_owned()))
}

pub(super) fn template(content: TemplateContent) -> Template {
    let content = TemplateContent {
        name: "name".to_owned(),
        language_code: "en_US".to_owned(),
        ..content
    };
    template_from_proto(content).expect("within the limits")
}

/// Where the message does not fit.
pub(super) fn paths(definition: &Definition, content: TemplateContent) -> Vec<String> {
    let violations = definition.check(&template(content));
    violations.into_iter().map(|violation| violation.path).collect()
}

pub(super) fn fits(definition: &Definition, content: TemplateContent) {
    assert_eq!(definition.check(&template(content)), []);
}

pub(super) fn full() -> TemplateContent {
    TemplateContent {
        header: header(Header::Text(text("Summer Sale"))),
        body: texts(&["August", "25OFF", "25%"]),
        buttons: vec![suffix(1, "summer"), coupon(2)],
        ..TemplateContent::default()
    }
}
