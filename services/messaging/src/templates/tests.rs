//! Golden definitions, as Meta lists them, and messages that fit them or do not.

mod checked;
mod filled;
mod given;
mod heard;
mod measured;

use outeract_proto::messaging::v1::{TemplateCategory, TemplateStatus};
use serde_json::{Value, json};

use super::Definition;

fn of(category: TemplateCategory, components: &Value) -> Definition {
    Definition::new(category, TemplateStatus::Approved, components)
}

fn utility(components: &Value) -> Definition {
    of(TemplateCategory::Utility, components)
}

/// Header and body with places that have numbers, and the buttons of a campaign.
fn positional() -> Definition {
    of(
        TemplateCategory::Marketing,
        &json!([
            {"type": "HEADER", "format": "TEXT", "text": "Our {{1}} is on!", "example": {"header_text": ["Summer Sale"]}},
            {"type": "BODY", "text": "Shop now through {{1}} and use code {{2}} to get {{3}} off.", "example": {"body_text": [["the end of August", "25OFF", "25%"]]}},
            {"type": "FOOTER", "text": "Use the buttons below"},
            {"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "Unsubscribe"},
                {"type": "URL", "text": "Shop", "url": "https://shop.example/sale?promo={{1}}", "example": ["summer2023"]},
                {"type": "COPY_CODE", "example": "25OFF"},
                {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "16467043595"},
            ]},
        ]),
    )
}

fn named() -> Definition {
    utility(&json!([
        {"type": "HEADER", "format": "TEXT", "text": "Order {{order_id}}"},
        {"type": "BODY", "text": "Hi {{first_name}}, order {{order_id}} is on its way. Thank you, {{first_name}}!",
         "example": {"body_text_named_params": [{"param_name": "first_name", "example": "Pablo"}, {"param_name": "order_id", "example": "860198"}]}},
    ]))
}

fn one_time_code() -> Definition {
    of(
        TemplateCategory::Authentication,
        &json!([
            {"type": "BODY", "text": "*{{1}}* is your verification code. For your security, do not share this code.", "add_security_recommendation": true},
            {"type": "FOOTER", "text": "This code expires in 10 minutes.", "code_expiration_minutes": 10},
            {"type": "BUTTONS", "buttons": [
                {"type": "URL", "text": "Copy code", "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code_expiration_minutes=10&code=otp{{1}}"},
            ]},
        ]),
    )
}

fn carousel() -> Definition {
    let card = |text: &str| {
        json!({"components": [
            {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["https://scontent.example/1"]}},
            {"type": "BODY", "text": text},
            {"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "More like this"},
                {"type": "URL", "text": "Buy", "url": "https://shop.example/{{1}}", "example": ["https://shop.example/a"]},
            ]},
        ]})
    };
    of(
        TemplateCategory::Marketing,
        &json!([
            {"type": "BODY", "text": "Hi {{1}}, look:"},
            {"type": "CAROUSEL", "cards": [card("Only {{1}}!"), card("And {{1}}!")]},
        ]),
    )
}

fn limited_time_offer() -> Definition {
    of(
        TemplateCategory::Marketing,
        &json!([
            {"type": "HEADER", "format": "IMAGE"},
            {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Expiring!", "has_expiration": true}},
            {"type": "BODY", "text": "Good news, {{1}}! Use code {{2}}."},
            {"type": "BUTTONS", "buttons": [
                {"type": "COPY_CODE", "example": "CARIBE25"},
                {"type": "URL", "text": "Book", "url": "https://trips.example/offers?code={{1}}"},
            ]},
        ]),
    )
}
