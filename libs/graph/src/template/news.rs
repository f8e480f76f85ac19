//! What webhooks tell of templates.

use serde_json::Value;

use super::{LONGEST_LANGUAGE, LONGEST_NAME, LONGEST_WORD, reason, word};

/// News of one template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Meta's id of it; empty: it was not said.
    pub id: String,
    /// Its name; empty: it was not said.
    pub name: String,
    /// Its language, for example `en_US`; empty: it was not said.
    pub language: String,
    /// What is new.
    pub change: Change,
}

/// What is new about a template. Words are Meta's, also those that are not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Its status: `APPROVED`, `REJECTED`, `PAUSED`, …, and why; empty: Meta did not say.
    Status {
        /// The status, or something that happened to it, such as `FLAGGED`.
        event: String,
        /// Why.
        reason: String,
    },
    /// How recipients like it.
    Quality(String),
    /// Its category.
    Category(String),
    /// Something that the webhook does not tell in full: its parts, or a change that is still to come.
    Untold,
}

/// Longest explanation that is kept.
const LONGEST_REASON: usize = 512;

// === impl News ===

impl News {
    /// Reads the `value` of a template's webhook field. `None`: the field is another, or the value names no template.
    pub fn parse(field: &str, value: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(value).ok()?;
        let change = match field {
            "message_template_status_update" => Change::Status {
                event: word(&value["event"], LONGEST_WORD).to_ascii_uppercase(),
                reason: explanation(&value),
            },
            "message_template_quality_update" => Change::Quality(word(&value["new_quality_score"], LONGEST_WORD)),
            "template_category_update" => category(&value),
            "message_template_components_update" => Change::Untold,
            _ => return None,
        };
        let news = Self {
            id: word(&value["message_template_id"], LONGEST_WORD),
            name: word(&value["message_template_name"], LONGEST_NAME),
            // Webhooks write `en-US` at times.
            language: word(&value["message_template_language"], LONGEST_LANGUAGE).replace('-', "_"),
            change,
        };
        let named = !news.name.is_empty() && !news.language.is_empty();
        (named || !news.id.is_empty()).then_some(news)
    }
}

/// The webhook's word for the reason, and what it says beyond that.
fn explanation(value: &Value) -> String {
    let more = [&value["rejection_info"]["reason"], &value["other_info"]["description"]];
    let more = more.into_iter().filter_map(Value::as_str).map(str::trim);
    let mut text = reason(&value["reason"]);
    for sentence in more.filter(|sentence| !sentence.is_empty()) {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.extend(
            sentence
                .chars()
                .map(|character| if character.is_control() { ' ' } else { character }),
        );
    }
    text.truncate(text.floor_char_boundary(LONGEST_REASON));
    text
}

/// An announcement names the category that is to come as `correct_category`; `new_category` is then the one that still holds.
fn category(value: &Value) -> Change {
    let new = word(&value["new_category"], LONGEST_WORD);
    if new.is_empty() || !value["correct_category"].is_null() {
        Change::Untold
    } else {
        Change::Category(new)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn news(field: &str, value: &Value) -> Option<News> {
        News::parse(field, value.to_string().as_bytes())
    }

    #[test]
    fn each_field_tells_its_own() {
        let of = |change| {
            Some(News {
                id: "594425479261596".to_owned(),
                name: "order_confirmation".to_owned(),
                language: "en_US".to_owned(),
                change,
            })
        };
        let with = |more: Value| {
            let mut value = json!({
                "message_template_id": 594_425_479_261_596_u64, "message_template_name": "order_confirmation", "message_template_language": "en-US",
            });
            value
                .as_object_mut()
                .expect("an object")
                .extend(more.as_object().expect("an object").clone());
            value
        };
        let rejected = with(
            json!({"event": "REJECTED", "reason": "INVALID_FORMAT", "rejection_info": {"reason": "A place\nstands first.", "recommendation": "…"}}),
        );
        assert_eq!(
            news("message_template_status_update", &rejected),
            of(Change::Status {
                event: "REJECTED".to_owned(),
                reason: "INVALID_FORMAT: A place stands first.".to_owned(),
            })
        );
        let paused = with(
            json!({"event": "paused", "reason": "NONE", "other_info": {"title": "FIRST_PAUSE", "description": "For 3 hours."}}),
        );
        assert_eq!(
            news("message_template_status_update", &paused),
            of(Change::Status {
                event: "PAUSED".to_owned(),
                reason: "For 3 hours.".to_owned(),
            })
        );
        assert_eq!(
            news(
                "message_template_quality_update",
                &with(json!({"previous_quality_score": "GREEN", "new_quality_score": "RED"}))
            ),
            of(Change::Quality("RED".to_owned()))
        );
        let changed = with(json!({"previous_category": "UTILITY", "new_category": "MARKETING"}));
        assert_eq!(
            news("template_category_update", &changed),
            of(Change::Category("MARKETING".to_owned()))
        );
        let announced = with(json!({"correct_category": "MARKETING", "new_category": "UTILITY"}));
        assert_eq!(news("template_category_update", &announced), of(Change::Untold));
        assert_eq!(
            news("message_template_components_update", &with(json!({}))),
            of(Change::Untold)
        );
    }

    #[test]
    fn what_names_no_template_is_none() {
        for value in [json!({}), json!(null), json!([]), json!({"message_template_name": "a"})] {
            assert_eq!(news("message_template_status_update", &value), None, "{value}");
        }
        assert_eq!(News::parse("message_template_status_update", b"{"), None);
        assert_eq!(news("account_update", &json!({"message_template_id": 1})), None);
        let least = news("message_template_status_update", &json!({"message_template_id": "1"})).expect("news");
        assert_eq!(
            least.change,
            Change::Status {
                event: String::new(),
                reason: String::new(),
            }
        );
    }

    #[test]
    fn explanations_are_cut_between_characters() {
        let long =
            json!({"message_template_id": 1, "event": "REJECTED", "rejection_info": {"reason": "é".repeat(600)}});
        let Some(Change::Status { reason, .. }) = news("message_template_status_update", &long).map(|news| news.change)
        else {
            panic!("no status")
        };
        assert_eq!(reason.len(), LONGEST_REASON);
    }
}
