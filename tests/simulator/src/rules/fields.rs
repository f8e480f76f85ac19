//! What fields must be, and how Meta says that they are not: 100 where the Graph API itself checks a parameter, 131008 for what is missing, 131009 for what WhatsApp does not take.

use std::fmt;

use serde_json::{Map, Value};

use crate::errors::Refusal;

/// A field of an object.
pub(super) struct Field {
    pub(super) name: &'static str,
    required: bool,
    rule: Rule,
}

/// What a field must be.
pub(super) enum Rule {
    /// A text of 1 to this many characters; the Graph API checks it: 100.
    Text(usize),
    /// A text of 1 to this many characters; WhatsApp checks it: 131009.
    Short(usize),
    /// A text of at most this many characters, or an empty one.
    Any(usize),
    /// An id: digits.
    Digits,
    /// True or false.
    Bool,
    /// A number, or a text that is one, within these bounds.
    Number(f64, f64),
    /// A whole number.
    Integer,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// An object with these fields.
    Object(&'static [Field]),
    /// A list of this many of those.
    List(&'static Rule, usize, usize),
    /// Any object.
    AnyObject,
}

/// Where a value stands.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// The body itself.
pub(super) const ROOT: Path<'static> = Path {
    parent: None,
    step: Step::Key(""),
};

/// Addresses that anyone can reach.
pub(super) const HTTPS: &[&str] = &["https://"];
/// Addresses that a button may open.
pub(super) const WEB: &[&str] = &["https://", "http://"];
/// Longest address of a button.
pub(super) const ADDRESS: usize = 2_000;
/// Longest address of a medium. Meta names none; this is what servers commonly take.
pub(super) const MEDIA_ADDRESS: usize = 8_000;

pub(super) const fn required(name: &'static str, rule: Rule) -> Field {
    Field {
        name,
        required: true,
        rule,
    }
}

pub(super) const fn optional(name: &'static str, rule: Rule) -> Field {
    Field {
        name,
        required: false,
        rule,
    }
}

/// A parameter that the Graph API does not take.
pub(super) fn invalid(details: impl Into<String>) -> Refusal {
    let details = details.into();
    Refusal::new(400, 100, format!("(#100) {details}")).details(details)
}

/// A parameter whose value `WhatsApp` does not take.
pub(super) fn bad(details: impl Into<String>) -> Refusal {
    Refusal::of_code(131_009).details(details)
}

/// A parameter that is not there.
pub(super) fn missing(path: &Path<'_>) -> Refusal {
    let name = path.to_string();
    if name == "messaging_product" {
        return invalid("The parameter messaging_product is required.");
    }
    Refusal::of_code(131_008).details(format!("Required parameter is missing: {name}"))
}

/// The value as an object.
pub(super) fn object<'v>(value: &'v Value, path: &Path<'_>) -> Result<&'v Map<String, Value>, Refusal> {
    value
        .as_object()
        .ok_or_else(|| invalid(format!("Param {path} must be a JSON object.")))
}

/// A field that must be there.
pub(super) fn need<'v>(object: &'v Map<String, Value>, path: &Path<'_>) -> Result<&'v Value, Refusal> {
    let Step::Key(key) = path.step else {
        return Err(missing(path));
    };
    object
        .get(key)
        .filter(|value| !value.is_null())
        .ok_or_else(|| missing(path))
}

/// Holds an object against its fields; keys of `also` are checked elsewhere.
pub(super) fn fields(
    object: &Map<String, Value>,
    known: &[Field],
    path: &Path<'_>,
    also: &[&str],
) -> Result<(), Refusal> {
    for key in object.keys() {
        if !known.iter().any(|field| field.name == key) && !also.contains(&key.as_str()) {
            let on = path.parent.map(|_| format!(" on param \"{path}\"")).unwrap_or_default();
            return Err(invalid(format!("Unexpected key \"{key}\"{on}")));
        }
    }
    for field in known {
        let path = path.key(field.name);
        match object.get(field.name) {
            None | Some(Value::Null) if field.required => return Err(missing(&path)),
            None | Some(Value::Null) => {}
            Some(value) => field.rule.check(value, &path)?,
        }
    }
    Ok(())
}

/// The length of a text, in Unicode scalar values.
pub(super) fn length(text: &str) -> usize {
    text.chars().count()
}

// === impl Rule ===

impl Rule {
    pub(super) fn check(&self, value: &Value, path: &Path<'_>) -> Result<(), Refusal> {
        match self {
            Self::Text(most) => match text(value, path)? {
                "" => Err(missing(path)),
                text if length(text) > *most => {
                    Err(invalid(format!("Param {path} must be at most {most} characters long.")))
                }
                _ => Ok(()),
            },
            Self::Short(most) => match length(text(value, path)?) {
                found if (1..=*most).contains(&found) => Ok(()),
                _ => Err(bad(format!(
                    "{path}: length invalid. Min length: 1, Max length: {most}"
                ))),
            },
            Self::Any(most) => match length(text(value, path)?) {
                found if found <= *most => Ok(()),
                _ => Err(invalid(format!("Param {path} must be at most {most} characters long."))),
            },
            Self::Digits => match text(value, path)? {
                id if !id.is_empty() && id.len() <= 32 && id.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
                _ => Err(bad(format!("{path}: is not an id"))),
            },
            Self::Bool if value.is_boolean() => Ok(()),
            Self::Bool => Err(invalid(format!("Param {path} must be a boolean."))),
            Self::Number(low, high) => number(value, path, (*low, *high)),
            Self::Integer if value.is_i64() || value.is_u64() => Ok(()),
            Self::Integer => Err(invalid(format!("Param {path} must be an integer."))),
            Self::OneOf(words) => match value.as_str() {
                Some(word) if words.contains(&word) => Ok(()),
                _ => Err(invalid(format!("Param {path} must be one of {words:?}"))),
            },
            Self::Object(known) => fields(object(value, path)?, known, path, &[]),
            Self::List(rule, least, most) => {
                let elements = list(value, path, (*least, *most))?;
                let mut each = elements.iter().enumerate();
                each.try_for_each(|(index, element)| rule.check(element, &path.index(index)))
            }
            Self::AnyObject => object(value, path).map(drop),
        }
    }
}

/// The value as a text.
pub(super) fn text<'v>(value: &'v Value, path: &Path<'_>) -> Result<&'v str, Refusal> {
    value
        .as_str()
        .ok_or_else(|| invalid(format!("Param {path} must be a string.")))
}

/// The value as a list with so many elements.
pub(super) fn list<'v>(
    value: &'v Value,
    path: &Path<'_>,
    (least, most): (usize, usize),
) -> Result<&'v [Value], Refusal> {
    let elements = value
        .as_array()
        .ok_or_else(|| invalid(format!("Param {path} must be an array.")))?;
    if (least..=most).contains(&elements.len()) {
        return Ok(elements);
    }
    Err(bad(format!(
        "{path}: count invalid. Min allowed count: {least}, Max allowed count: {most}"
    )))
}

/// An address of one of these schemes, with a host, and without white space.
pub(super) fn link(text: &str, schemes: &[&str], most: usize, path: &Path<'_>) -> Result<(), Refusal> {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    let good = rest.is_some_and(|rest| {
        rest.starts_with(|first: char| first.is_alphanumeric() || first == '[') && !rest.contains(char::is_whitespace)
    });
    if good && length(text) <= most {
        return Ok(());
    }
    Err(bad(format!("{path}: is not a valid URI")))
}

fn number(value: &Value, path: &Path<'_>, (low, high): (f64, f64)) -> Result<(), Refusal> {
    let found = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match found {
        None => Err(invalid(format!("Param {path} must be a number."))),
        Some(number) if (low..=high).contains(&number) => Ok(()),
        Some(_) => Err(bad(format!("{path}: must be between {low} and {high}"))),
    }
}

// === impl Path ===

impl<'a> Path<'a> {
    pub(super) fn key(&'a self, key: &'a str) -> Self {
        Self {
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    pub(super) fn index(&'a self, index: usize) -> Self {
        Self {
            parent: Some(self),
            step: Step::Index(index),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else {
            return Ok(());
        };
        parent.fmt(formatter)?;
        match self.step {
            Step::Key(key) if parent.parent.is_none() => formatter.write_str(key),
            Step::Key(key) => write!(formatter, "['{key}']"),
            Step::Index(index) => write!(formatter, "[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(rule: &Rule, value: &Value) -> i32 {
        rule.check(value, &ROOT.key("it"))
            .map_or_else(|refusal| refusal.code, |()| 0)
    }

    #[test]
    fn paths_read_as_metas() {
        let (interactive, action) = (ROOT.key("interactive"), "action");
        let action = interactive.key(action);
        let buttons = action.key("buttons");
        let button = buttons.index(2);
        assert_eq!(
            button.key("reply").to_string(),
            "interactive['action']['buttons'][2]['reply']"
        );
    }

    #[test]
    fn each_rule_takes_what_it_should() {
        for (rule, value, expected) in [
            (Rule::Text(2), json!("äö"), 0),
            (Rule::Text(2), json!(""), 131_008),
            (Rule::Text(2), json!("abc"), 100),
            (Rule::Text(2), json!(1), 100),
            (Rule::Short(2), json!(""), 131_009),
            (Rule::Short(2), json!("abc"), 131_009),
            (Rule::Any(2), json!(""), 0),
            (Rule::Digits, json!("12"), 0),
            (Rule::Digits, json!("1x"), 131_009),
            (Rule::Number(-1.0, 1.0), json!("0.5"), 0),
            (Rule::Number(-1.0, 1.0), json!(1.5), 131_009),
            (Rule::Number(-1.0, 1.0), json!("NaN"), 131_009),
            (Rule::Number(-1.0, 1.0), json!([]), 100),
            (Rule::Integer, json!(1.5), 100),
            (Rule::List(&Rule::Bool, 1, 2), json!([true]), 0),
            (Rule::List(&Rule::Bool, 1, 2), json!([]), 131_009),
            (Rule::List(&Rule::Bool, 1, 2), json!([1]), 100),
        ] {
            assert_eq!(code(&rule, &value), expected, "{value}");
        }
    }

    #[test]
    fn links_have_a_scheme_and_a_host() {
        let taken = |text: &str, schemes: &[&str]| link(text, schemes, ADDRESS, &ROOT.key("it")).is_ok();
        assert!(taken("https://a.b/c", HTTPS) && taken("http://a.b/c", WEB));
        for refused in [
            "http://a.b/c",
            "https://a b",
            "https://",
            "a.b",
            &format!("https://{}", "a".repeat(2_048)),
        ] {
            assert!(!taken(refused, HTTPS), "{refused}");
        }
    }
}
