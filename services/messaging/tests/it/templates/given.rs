//! Messages of templates.

use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::template_header::Kind as Header;
use outeract_proto::messaging::v1::template_parameter::Value;
use outeract_proto::messaging::v1::{
    Media, MessageContent, PositionalParameter, SendMessageRequest, SendTemplateMessageRequest, TemplateButton,
    TemplateContent, TemplateHeader, TemplateParameter, media, template_button,
};

use crate::suite::{Number, request};

/// Type, index and text.
pub(crate) type Short<'a> = (&'a str, i32, &'a str);

pub(crate) fn short(number: &Number, name: &str, parameters: &[Short<'_>]) -> SendTemplateMessageRequest {
    let SendMessageRequest {
        idempotency_key,
        connection_id,
        to_external_id,
        ..
    } = request(number, "+14155551234");
    let parameters = parameters.iter().map(|(kind, index, text)| PositionalParameter {
        r#type: (*kind).to_owned(),
        index: *index,
        text: (*text).to_owned(),
    });
    SendTemplateMessageRequest {
        idempotency_key,
        connection_id,
        to_external_id,
        template_name: name.to_owned(),
        language_code: "en_US".to_owned(),
        parameters: parameters.collect(),
        ..SendTemplateMessageRequest::default()
    }
}

pub(super) fn whole(number: &Number, template: TemplateContent) -> SendMessageRequest {
    SendMessageRequest {
        content: Some(MessageContent {
            kind: Some(Kind::Template(template)),
        }),
        ..request(number, "+14155551234")
    }
}

pub(super) fn texts(texts: &[&str]) -> Vec<TemplateParameter> {
    texts.iter().map(|text| named("", text)).collect()
}

pub(super) fn named(name: &str, text: &str) -> TemplateParameter {
    TemplateParameter {
        name: name.to_owned(),
        value: Some(Value::Text(text.to_owned())),
    }
}

pub(super) fn button(index: i32, kind: template_button::Kind) -> TemplateButton {
    TemplateButton {
        index,
        kind: Some(kind),
    }
}

pub(super) fn picture() -> Media {
    Media {
        source: Some(media::Source::Link("https://pictures.example/spring.jpg".to_owned())),
    }
}

pub(super) fn spring_offer() -> TemplateContent {
    TemplateContent {
        name: "spring_offer".to_owned(),
        language_code: "en_US".to_owned(),
        header: Some(TemplateHeader {
            kind: Some(Header::Image(picture())),
        }),
        body: texts(&["Ann", "20%"]),
        buttons: vec![
            button(1, template_button::Kind::UrlSuffix("spring".to_owned())),
            button(3, template_button::Kind::CouponCode("SPRING20".to_owned())),
        ],
        ..TemplateContent::default()
    }
}
