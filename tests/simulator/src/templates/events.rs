//! What webhooks tell of templates.

use serde_json::{Value, json};

use super::Template;

/// A change of an account's field.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) field: &'static str,
    pub(crate) value: Value,
}

/// The template has another status.
pub(crate) fn status(template: &Template, event: &str, reason: Option<&str>) -> Event {
    let mut value = about(template);
    value["event"] = json!(event);
    value["reason"] = json!(reason.unwrap_or("NONE"));
    value["message_template_category"] = json!(template.category);
    match event {
        "PAUSED" => {
            value["other_info"] = json!({
                "title": "FIRST_PAUSE",
                "description": "Your message template is paused because of its quality.",
            });
        }
        "DISABLED" => value["disable_info"] = json!({"disable_date": "today"}),
        "REJECTED" => {
            value["rejection_info"] = json!({
                "reason": "The template does not keep to the guidelines.",
                "recommendation": "Change the template and submit it again.",
            });
        }
        _ => {}
    }
    Event {
        field: "message_template_status_update",
        value,
    }
}

/// The template has another quality.
pub(crate) fn quality(template: &Template, previous: &str) -> Event {
    let mut value = about(template);
    value["previous_quality_score"] = json!(previous);
    value["new_quality_score"] = json!(template.quality);
    Event {
        field: "message_template_quality_update",
        value,
    }
}

/// The template has other components.
pub(crate) fn components(template: &Template) -> Event {
    let mut value = about(template);
    for component in template.components.as_array().into_iter().flatten() {
        match component["type"].as_str().unwrap_or_default() {
            "BODY" => value["message_template_element"] = component["text"].clone(),
            "HEADER" if component["format"] == "TEXT" => value["message_template_title"] = component["text"].clone(),
            "FOOTER" => value["message_template_footer"] = component["text"].clone(),
            "BUTTONS" => {
                let buttons = component["buttons"].as_array().into_iter().flatten().map(button);
                value["message_template_buttons"] = buttons.collect();
            }
            _ => {}
        }
    }
    Event {
        field: "message_template_components_update",
        value,
    }
}

/// The template is of another category.
pub(crate) fn category(template: &Template, previous: &str) -> Event {
    let mut value = about(template);
    value["previous_category"] = json!(previous);
    value["new_category"] = json!(template.category);
    Event {
        field: "template_category_update",
        value,
    }
}

/// The template will be of another category.
pub(crate) fn category_to_come(template: &Template, correct: &str, at: i64) -> Event {
    let mut value = about(template);
    value["correct_category"] = json!(correct);
    value["new_category"] = json!(template.category);
    value["category_update_timestamp"] = json!(at);
    Event {
        field: "template_category_update",
        value,
    }
}

fn about(template: &Template) -> Value {
    // An id is a number here, unlike everywhere else.
    let id: u64 = template.id.parse().unwrap_or_default();
    json!({
        "message_template_id": id,
        "message_template_name": template.name,
        "message_template_language": template.language,
    })
}

fn button(button: &Value) -> Value {
    let mut told = json!({
        "message_template_button_type": button["type"],
        "message_template_button_text": button["text"],
    });
    for (key, from) in [
        ("message_template_button_url", "url"),
        ("message_template_button_phone_number", "phone_number"),
    ] {
        if let Some(value) = button.get(from) {
            told[key] = value.clone();
        }
    }
    told
}
