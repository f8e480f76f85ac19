//! Webhooks of an account's own fields. Meta's file has none of them: these are the keys that Meta's pages show.

use serde_json::Value;

/// What an account's webhooks must and may hold.
pub(crate) const FIELDS: &[(&str, &[&str], &[&str])] = &[
    (
        "business_capability_update",
        &["max_daily_conversations_per_business"],
        &["max_phone_numbers_per_business", "max_phone_numbers_per_waba"],
    ),
    (
        "message_template_status_update",
        &[
            "event",
            "message_template_id",
            "message_template_name",
            "message_template_language",
            "message_template_category",
            "reason",
        ],
        &["disable_info", "other_info", "rejection_info"],
    ),
    (
        "message_template_quality_update",
        &[
            "previous_quality_score",
            "new_quality_score",
            "message_template_id",
            "message_template_name",
            "message_template_language",
        ],
        &[],
    ),
    (
        "message_template_components_update",
        &[
            "message_template_id",
            "message_template_name",
            "message_template_language",
            "message_template_element",
        ],
        &[
            "message_template_title",
            "message_template_footer",
            "message_template_buttons",
        ],
    ),
    (
        "template_category_update",
        &[
            "message_template_id",
            "message_template_name",
            "message_template_language",
            "new_category",
        ],
        &["previous_category", "correct_category", "category_update_timestamp"],
    ),
    (
        "user_preferences",
        &["messaging_product", "metadata", "user_preferences"],
        &["contacts"],
    ),
    (
        "user_id_update",
        &["messaging_product", "metadata", "user_id_update"],
        &["contacts"],
    ),
];

/// Fails unless the value holds what it must, and nothing that it may not.
pub(crate) fn keep(field: &str, value: &Value) -> &'static str {
    let known = FIELDS.iter().find(|(name, ..)| *name == field);
    let (name, must, may) = known.expect("a field that is known");
    let value = value.as_object().expect("object");
    for key in *must {
        assert!(value.contains_key(*key), "{field} lacks {key}");
    }
    for key in value.keys() {
        assert!(
            must.contains(&key.as_str()) || may.contains(&key.as_str()),
            "{field} has {key}"
        );
    }
    name
}
