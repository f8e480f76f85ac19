//! What the body of a message must look like. A further type is one more [`Kind`] in [`KINDS`].

use serde_json::{Map, Value};

use crate::errors::Refusal;

/// A type of message: the fields of the object that stands under its name.
struct Kind {
    name: &'static str,
    fields: &'static [Field],
}

/// A field of an object.
struct Field {
    name: &'static str,
    required: bool,
    rule: Rule,
}

/// What a field must be.
enum Rule {
    /// A text of 1 to this many characters.
    Text(usize),
    /// True or false.
    Bool,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// An object with these fields.
    Object(&'static [Field]),
    /// Checked by the message's type.
    ByKind,
}

/// A message that may be sent.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) to: String,
    /// Digits with the country code.
    pub(crate) wa_id: String,
    pub(crate) callback: Option<String>,
}

/// Longest number Meta takes before it looks at it.
const TO_CHARACTERS: usize = 256;

const ENVELOPE: &[Field] = &[
    required("messaging_product", Rule::OneOf(&["whatsapp"])),
    optional("recipient_type", Rule::OneOf(&["individual"])),
    required("to", Rule::Text(TO_CHARACTERS)),
    optional("type", Rule::ByKind),
    optional("biz_opaque_callback_data", Rule::Text(512)),
    optional("recipient_identity_key_hash", Rule::Text(128)),
    optional("context", Rule::Object(&[required("message_id", Rule::Text(512))])),
];

const KINDS: &[Kind] = &[Kind {
    name: "text",
    fields: &[required("body", Rule::Text(4_096)), optional("preview_url", Rule::Bool)],
}];

/// Types that Meta has and this simulator does not.
const OTHER_KINDS: &[&str] = &[
    "audio",
    "contacts",
    "document",
    "image",
    "interactive",
    "location",
    "reaction",
    "sticker",
    "template",
    "video",
];

const fn required(name: &'static str, rule: Rule) -> Field {
    Field {
        name,
        required: true,
        rule,
    }
}

const fn optional(name: &'static str, rule: Rule) -> Field {
    Field {
        name,
        required: false,
        rule,
    }
}

/// Checks a body. `country` is the calling code of the business number: it is put before a recipient without `+`.
pub(crate) fn check(body: &[u8], country: &str) -> Result<Checked, Refusal> {
    let Ok(Value::Object(message)) = serde_json::from_slice(body) else {
        return Err(invalid("The request body is not a JSON object"));
    };
    let name = message
        .get("type")
        .map_or(Some("text"), Value::as_str)
        .unwrap_or_default();
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        if OTHER_KINDS.contains(&name) {
            return Err(Refusal::of_code(131_051).details("This simulator knows messages of type text only"));
        }
        return Err(invalid(
            "Param type must be one of {AUDIO, CONTACTS, DOCUMENT, … TEXT, VIDEO}",
        ));
    };
    fields(&message, ENVELOPE, "", &[kind.name])?;
    match message.get(kind.name) {
        Some(Value::Object(content)) => fields(content, kind.fields, kind.name, &[])?,
        Some(_) => return Err(invalid(format!("Param {} must be a JSON object", kind.name))),
        None => return Err(missing(kind.name)),
    }
    let text = |name: &str| message.get(name).and_then(Value::as_str).map(str::to_owned);
    let to = text("to").unwrap_or_default();
    Ok(Checked {
        wa_id: wa_id(&to, country)?,
        to,
        callback: text("biz_opaque_callback_data"),
    })
}

/// Where a number without `+` goes: Meta takes it for one of the business's own country.
fn wa_id(to: &str, country: &str) -> Result<String, Refusal> {
    let digits: String = to.chars().filter(char::is_ascii_digit).collect();
    let tolerated = to
        .chars()
        .all(|character| character.is_ascii_digit() || "+-() ".contains(character));
    if !tolerated || !(7..=15).contains(&digits.len()) {
        return Err(Refusal::of_code(131_009).details("Parameter 'to' is not a valid phone number"));
    }
    Ok(if to.trim_start().starts_with('+') {
        digits
    } else {
        format!("{country}{digits}")
    })
}

fn fields(object: &Map<String, Value>, known: &[Field], path: &str, also: &[&str]) -> Result<(), Refusal> {
    for key in object.keys() {
        if !known.iter().any(|field| field.name == key) && !also.contains(&key.as_str()) {
            let on = if path.is_empty() {
                String::new()
            } else {
                format!(" on param \"{path}\"")
            };
            return Err(invalid(format!("Unexpected key \"{key}\"{on}")));
        }
    }
    for field in known {
        let name = if path.is_empty() {
            field.name.to_owned()
        } else {
            format!("{path}['{}']", field.name)
        };
        match object.get(field.name) {
            None | Some(Value::Null) if field.required => return Err(missing(&name)),
            None | Some(Value::Null) => {}
            Some(value) => field.rule.check(value, &name)?,
        }
    }
    Ok(())
}

impl Rule {
    fn check(&self, value: &Value, name: &str) -> Result<(), Refusal> {
        match (self, value) {
            (Self::Text(_), Value::String(text)) if text.is_empty() => Err(missing(name)),
            (Self::Text(most), Value::String(text)) => {
                if text.chars().count() <= *most {
                    return Ok(());
                }
                Err(invalid(format!("Param {name} must be at most {most} characters long.")))
            }
            (Self::OneOf(words), Value::String(word)) if words.contains(&word.as_str()) => Ok(()),
            (Self::OneOf(words), _) => Err(invalid(format!("Param {name} must be one of {words:?}"))),
            (Self::Object(known), Value::Object(object)) => fields(object, known, name, &[]),
            (Self::Bool, Value::Bool(_)) | (Self::ByKind, Value::String(_)) => Ok(()),
            (Self::Text(_) | Self::ByKind, _) => Err(invalid(format!("Param {name} must be a string."))),
            (Self::Bool, _) => Err(invalid(format!("Param {name} must be a boolean."))),
            (Self::Object(_), _) => Err(invalid(format!("Param {name} must be a JSON object."))),
        }
    }
}

fn invalid(details: impl Into<String>) -> Refusal {
    let details = details.into();
    Refusal::new(400, 100, format!("(#100) {details}")).details(details)
}

fn missing(name: &str) -> Refusal {
    if name == "messaging_product" {
        return invalid("The parameter messaging_product is required.");
    }
    Refusal::of_code(131_008).details(format!("Required parameter is missing: {name}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(body: &Value) -> i32 {
        check(body.to_string().as_bytes(), "1").expect_err("refused").code
    }

    #[test]
    fn a_text_passes() {
        let body = json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": "+1 (650) 555-1234",
            "type": "text", "text": {"body": "hi", "preview_url": false}, "biz_opaque_callback_data": "x.1"});
        let checked = check(body.to_string().as_bytes(), "1").expect("accepted");
        assert_eq!(
            (checked.wa_id.as_str(), checked.callback.as_deref()),
            ("16505551234", Some("x.1"))
        );
    }

    #[test]
    fn without_plus_it_goes_to_the_wrong_country() {
        let body = json!({"messaging_product": "whatsapp", "to": "442071234567", "text": {"body": "hi"}});
        assert_eq!(
            check(body.to_string().as_bytes(), "1").expect("accepted").wa_id,
            "1442071234567"
        );
    }

    #[test]
    fn everything_else_is_refused() {
        let with = |change: &dyn Fn(&mut Value)| {
            let mut body =
                json!({"messaging_product": "whatsapp", "to": "+16505551234", "type": "text", "text": {"body": "hi"}});
            change(&mut body);
            code(&body)
        };
        assert_eq!(with(&|body| body["messaging_product"] = json!("sms")), 100);
        assert_eq!(with(&|body| body["to"] = json!("bob")), 131_009);
        assert_eq!(with(&|body| body["to"] = json!("")), 131_008);
        assert_eq!(with(&|body| body["to"] = json!(16_505_551_234_u64)), 100);
        assert_eq!(with(&|body| body["text"] = json!({})), 131_008);
        assert_eq!(with(&|body| body["text"] = json!({"body": ""})), 131_008);
        assert_eq!(with(&|body| body["text"] = json!({"body": "a".repeat(4_097)})), 100);
        assert_eq!(with(&|body| body["text"] = json!({"body": "a", "preview": true})), 100);
        assert_eq!(with(&|body| body["text"] = json!("hi")), 100);
        assert_eq!(with(&|body| body["type"] = json!("image")), 131_051);
        assert_eq!(with(&|body| body["type"] = json!("telegram")), 100);
        assert_eq!(with(&|body| body["surprise"] = json!(1)), 100);
        assert_eq!(
            with(&|body| body["biz_opaque_callback_data"] = json!("a".repeat(513))),
            100
        );
        assert_eq!(check(b"[]", "1").expect_err("refused").code, 100);
        assert_eq!(check(b"{", "1").expect_err("refused").code, 100);
    }
}
