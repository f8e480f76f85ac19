//! Message templates: Meta's lists of them, what they are made of, and what webhooks tell of them.

mod news;
mod parts;
mod pattern;

use outeract_domain::WabaId;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::account::{self, Data};
use crate::{CallError, Client, Token, Usage};

pub use self::news::{Change, News};
pub use self::parts::{Button, Card, Header, Offer, Parts};
pub use self::pattern::{Pattern, Place};

/// A template as Meta lists it. Words are Meta's, also those that are not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Meta's id of it.
    pub id: String,
    /// Its name, at most 512 bytes.
    pub name: String,
    /// Its language, for example `en_US`.
    pub language: String,
    /// `APPROVED`, `PENDING`, ….
    pub status: String,
    /// `MARKETING`, `UTILITY`, `AUTHENTICATION`.
    pub category: String,
    /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    pub quality: String,
    /// Why it was rejected; empty: it was not, or Meta does not say.
    pub reason: String,
    /// Its places have names; `None`: Meta does not say.
    pub named: Option<bool>,
    /// The JSON array of its parts, as it came.
    pub components: String,
}

/// A page of an account's templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplatePage {
    /// In Meta's order.
    pub templates: Vec<Template>,
    /// Entries that are not what Meta documents; left out.
    pub unreadable: usize,
    /// What the next page is asked for with. `None`: this was the last.
    pub after: Option<String>,
}

/// A template on the wire. Words may be numbers, null or absent.
#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    name: Value,
    #[serde(default)]
    language: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    category: Value,
    #[serde(default)]
    quality_score: Value,
    #[serde(default)]
    rejected_reason: Value,
    #[serde(default)]
    parameter_format: Value,
    #[serde(default)]
    components: Option<Box<RawValue>>,
}

/// Longest name; Meta's limit.
const LONGEST_NAME: usize = 512;
/// Longest language code that is read.
const LONGEST_LANGUAGE: usize = 32;
/// Longest word or id that is read.
const LONGEST_WORD: usize = 64;
/// Longest description of a template's parts: ten cards with everything on them, escaped, take less.
const LONGEST_COMPONENTS: usize = 256 * 1024;
const FIELDS: &str = "id,name,status,category,language,quality_score,components,parameter_format,rejected_reason";

impl Client {
    /// One page of at most `limit` of the account's templates, after the cursor of the page before; and what Meta says of the calls used up, also when it refuses.
    pub async fn list_templates(
        &self,
        token: &Token,
        waba: &WabaId,
        after: Option<&str>,
        limit: usize,
    ) -> (Result<TemplatePage, CallError>, Usage) {
        let limit = limit.to_string();
        let mut query = vec![("fields", FIELDS), ("limit", limit.as_str())];
        if let Some(after) = after {
            query.push(("after", after));
        }
        let (reply, usage) = self
            .get_measured(token, &format!("{waba}/message_templates"), &query)
            .await;
        let page = reply.and_then(|reply| {
            let data: Data<Vec<Box<RawValue>>> = account::read(&reply)?;
            let after = data.next().filter(|next| Some(next.as_str()) != after);
            let entries = data.data.len();
            let templates: Vec<_> = data
                .data
                .iter()
                .filter_map(|entry| Template::parse(entry.get()))
                .collect();
            Ok(TemplatePage {
                unreadable: entries - templates.len(),
                templates,
                after,
            })
        });
        (page, usage)
    }
}

// === impl Template ===

impl Template {
    /// Reads one entry of a list. `None`: it has no usable name, language or parts.
    fn parse(entry: &str) -> Option<Self> {
        let wire: Wire = serde_json::from_str(entry).ok()?;
        let components = wire
            .components
            .map_or_else(|| "[]".to_owned(), |raw| raw.get().to_owned());
        let quality = match &wire.quality_score {
            Value::Object(score) => score
                .get("score")
                .map_or_else(String::new, |score| word(score, LONGEST_WORD)),
            other => word(other, LONGEST_WORD),
        };
        let template = Self {
            id: word(&wire.id, LONGEST_WORD),
            name: word(&wire.name, LONGEST_NAME),
            language: word(&wire.language, LONGEST_LANGUAGE),
            status: word(&wire.status, LONGEST_WORD),
            category: word(&wire.category, LONGEST_WORD),
            quality: if quality.is_empty() {
                "UNKNOWN".to_owned()
            } else {
                quality
            },
            reason: reason(&wire.rejected_reason),
            named: match wire.parameter_format.as_str() {
                Some(format) if format.eq_ignore_ascii_case("NAMED") => Some(true),
                Some(format) if format.eq_ignore_ascii_case("POSITIONAL") => Some(false),
                _ => None,
            },
            components,
        };
        let usable = !template.name.is_empty()
            && !template.language.is_empty()
            && template.components.len() <= LONGEST_COMPONENTS
            && template.components.starts_with('[');
        usable.then_some(template)
    }
}

/// A word of Meta's, which may have come as a number. Empty when it is none, too long to be one, or holds what no word holds.
fn word(value: &Value, longest: usize) -> String {
    let word = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    if word.len() > longest || word.chars().any(char::is_control) {
        String::new()
    } else {
        word
    }
}

/// Meta writes `NONE` where there is no reason.
fn reason(value: &Value) -> String {
    let mut word = word(value, LONGEST_WORD);
    if word.eq_ignore_ascii_case("NONE") {
        word.clear();
    }
    word
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_as_meta_lists_it() {
        let entry = json!({
            "id": 1_192_339_204_654_487_u64, "name": "hello_world", "language": "en_US", "status": "APPROVED", "category": "MARKETING",
            "previous_category": "ACCOUNT_UPDATE", "quality_score": {"score": "GREEN", "date": 1_700_000_000},
            "rejected_reason": "NONE", "parameter_format": "POSITIONAL", "components": [{"type": "BODY", "text": "Hi {{1}}"}],
        });
        let template = Template::parse(&entry.to_string()).expect("readable");
        assert_eq!(
            template,
            Template {
                id: "1192339204654487".to_owned(),
                name: "hello_world".to_owned(),
                language: "en_US".to_owned(),
                status: "APPROVED".to_owned(),
                category: "MARKETING".to_owned(),
                quality: "GREEN".to_owned(),
                reason: String::new(),
                named: Some(false),
                components: r#"[{"text":"Hi {{1}}","type":"BODY"}]"#.to_owned(),
            }
        );
    }

    #[test]
    fn unknown_words_are_kept_and_missing_ones_are_empty() {
        let least = Template::parse(r#"{"name":"a","language":"en"}"#).expect("readable");
        assert_eq!(
            (
                least.status.as_str(),
                least.quality.as_str(),
                least.components.as_str(),
                least.named
            ),
            ("", "UNKNOWN", "[]", None)
        );
        let odd = r#"{"name":"a","language":"en","status":"SOMETHING_NEW","category":"ALSO_NEW","quality_score":"RED",
            "rejected_reason":"SCAM","parameter_format":"named","components":null,"more":[1]}"#;
        let odd = Template::parse(odd).expect("readable");
        assert_eq!(
            (odd.status.as_str(), odd.category.as_str(), odd.quality.as_str()),
            ("SOMETHING_NEW", "ALSO_NEW", "RED")
        );
        assert_eq!((odd.reason.as_str(), odd.named), ("SCAM", Some(true)));
    }

    #[test]
    fn what_has_no_usable_name_language_or_parts_is_left_out() {
        let long = format!(r#"{{"name":"{}","language":"en"}}"#, "a".repeat(513));
        let large = format!(
            r#"{{"name":"a","language":"en","components":["{}"]}}"#,
            "a".repeat(LONGEST_COMPONENTS)
        );
        for bad in [
            "7",
            "{}",
            "[]",
            r#"{"name":"a"}"#,
            r#"{"language":"en"}"#,
            r#"{"name":{},"language":"en"}"#,
            r#"{"name":"a\u0000","language":"en"}"#,
            r#"{"name":"a","language":"en","components":{}}"#,
            &long,
            &large,
        ] {
            assert_eq!(Template::parse(bad), None, "{bad:.60}");
        }
    }
}
