//! The templates that an account has from the beginning.

use serde_json::{Value, json};

use super::New;

/// The templates: all approved, in `en_US`.
pub(crate) fn defaults() -> Vec<New> {
    let all = [
        ("hello_world", "UTILITY", hello_world()),
        ("order_confirmation", "UTILITY", order_confirmation()),
        ("verification_code", "AUTHENTICATION", verification_code()),
        ("spring_offer", "MARKETING", spring_offer()),
        ("new_arrivals", "MARKETING", new_arrivals()),
        ("delivery_update", "UTILITY", delivery_update()),
        ("flash_sale", "MARKETING", flash_sale()),
    ];
    all.into_iter()
        .map(|(name, category, components)| New {
            name: name.to_owned(),
            language: "en_US".to_owned(),
            category: category.to_owned(),
            status: "APPROVED".to_owned(),
            components,
        })
        .collect()
}

fn hello_world() -> Value {
    json!([
        {"type": "HEADER", "format": "TEXT", "text": "Hello World"},
        {"type": "BODY", "text": "Welcome and congratulations!! This message demonstrates your ability to send a message."},
        {"type": "FOOTER", "text": "Simulated Business"},
    ])
}

fn order_confirmation() -> Value {
    json!([{
        "type": "BODY",
        "text": "Thank you, {{1}}! We received your order {{2}} and tell you when it leaves.",
        "example": {"body_text": [["John", "#12345"]]},
    }])
}

/// A code to copy, as Meta lists it: the button is one with an address.
fn verification_code() -> Value {
    let url = |code: &str| format!("https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{code}");
    json!([
        {"type": "BODY", "text": "*{{1}}* is your verification code. For your security, do not share this code.",
            "add_security_recommendation": true, "example": {"body_text": [["123456"]]}},
        {"type": "FOOTER", "text": "This code expires in 10 minutes.", "code_expiration_minutes": 10},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Copy code", "url": url("{{1}}"),
            "example": [url("123456")]}]},
    ])
}

/// A picture above, every kind of button that a marketing template commonly has below.
fn spring_offer() -> Value {
    json!([
        {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["https://example.com/spring.jpg"]}},
        {"type": "BODY", "text": "Hi {{1}}, spring is here: {{2}} off everything this week.",
            "example": {"body_text": [["Ann", "20%"]]}},
        {"type": "FOOTER", "text": "Not interested? Tap Stop promotions."},
        {"type": "BUTTONS", "buttons": [
            {"type": "QUICK_REPLY", "text": "Stop promotions"},
            {"type": "URL", "text": "See offers", "url": "https://example.com/offers/{{1}}", "example": ["spring"]},
            {"type": "PHONE_NUMBER", "text": "Call us", "phone_number": "+15550001000"},
            {"type": "COPY_CODE", "example": ["SPRING20"]},
        ]},
    ])
}

/// Two cards side by side.
fn new_arrivals() -> Value {
    let card = |picture: &str| {
        json!({"components": [
            {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": [picture]}},
            {"type": "BODY", "text": "{{1}} from {{2}}, while they last.", "example": {"body_text": [["Lemons", "$1"]]}},
            {"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "Send more like this"},
                {"type": "URL", "text": "Shop", "url": "https://example.com/shop/{{1}}", "example": ["lemons"]},
            ]},
        ]})
    };
    json!([
        {"type": "BODY", "text": "New arrivals for you, {{1}}:", "example": {"body_text": [["Ann"]]}},
        {"type": "CAROUSEL", "cards": [card("https://example.com/1.jpg"), card("https://example.com/2.jpg")]},
    ])
}

/// Places with names.
fn delivery_update() -> Value {
    json!([
        {"type": "HEADER", "format": "TEXT", "text": "Order {{order_id}}",
            "example": {"header_text_named_params": [{"param_name": "order_id", "example": "#12345"}]}},
        {"type": "BODY", "text": "Hi {{customer_name}}, your parcel arrives on {{delivery_date}}, before noon.",
            "example": {"body_text_named_params": [
                {"param_name": "customer_name", "example": "Ann"},
                {"param_name": "delivery_date", "example": "Monday"},
            ]}},
    ])
}

/// An offer that ends.
fn flash_sale() -> Value {
    json!([
        {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["https://example.com/sale.jpg"]}},
        {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Ends soon!", "has_expiration": true}},
        {"type": "BODY", "text": "Good news, {{1}}! Use code {{2}} for 25% off.",
            "example": {"body_text": [["Ann", "SALE25"]]}},
        {"type": "BUTTONS", "buttons": [
            {"type": "COPY_CODE", "example": ["SALE25"]},
            {"type": "URL", "text": "Shop now", "url": "https://example.com/sale?code={{1}}", "example": ["SALE25"]},
        ]},
    ])
}

#[cfg(test)]
mod tests {
    use super::super::Templates;
    use super::*;

    #[test]
    fn every_one_is_a_template() {
        let mut templates = Templates::default();
        for (index, new) in defaults().into_iter().enumerate() {
            let name = new.name.clone();
            templates
                .add(index.to_string(), new)
                .unwrap_or_else(|why| panic!("{name}: {why}"));
        }
    }
}
