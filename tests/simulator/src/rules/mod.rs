//! What the body of a `POST /{phone}/messages` must look like: from Meta's published rules, in terms of JSON only.

mod content;
mod fields;
mod interactive;
mod template;

use serde_json::{Map, Value};

use self::fields::{Field, ROOT, Rule, fields, invalid, missing, need, optional, required};
pub(crate) use self::template::{Button, Card, Parameter, Place, TemplateUse};
use crate::errors::Refusal;
use crate::media::Family;

/// What a body asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// A message is to be sent.
    Message(Box<Checked>),
    /// A message of a user's is to be marked as read.
    Receipt(Receipt),
}

/// A message that may be sent.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The recipient as the body wrote it.
    pub(crate) input: String,
    pub(crate) target: Target,
    /// Both a number and a user id were given.
    pub(crate) both: bool,
    pub(crate) callback: Option<String>,
    /// The message's type.
    pub(crate) kind: &'static str,
    pub(crate) media: Vec<MediaUse>,
    /// A voice message.
    pub(crate) voice: bool,
    pub(crate) template: Option<TemplateUse>,
    /// The message that a reaction is to.
    pub(crate) reacts_to: Option<String>,
    /// The message that is answered.
    pub(crate) context: Option<String>,
}

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Digits with the country code.
    Phone(String),
    /// A business-scoped user id, or a parent one.
    UserId(String),
}

/// A medium that a message uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaUse {
    pub(crate) family: Family,
    /// Where it stands in the body.
    pub(crate) path: String,
    pub(crate) source: Source,
}

/// Where a medium comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// It was uploaded.
    Id(String),
    /// Meta fetches it.
    Link(String),
}

/// A receipt for a message of a user's.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) wamid: String,
    /// The user is shown that the business types.
    pub(crate) typing: bool,
}

/// Longest number Meta takes before it looks at it.
const TO_CHARACTERS: usize = 256;
/// Longest part of a user id after its country.
const USER_ID_CHARACTERS: usize = 128;

const ENVELOPE: &[Field] = &[
    required("messaging_product", Rule::OneOf(&["whatsapp"])),
    optional("recipient_type", Rule::OneOf(&["individual", "group"])),
    optional("to", Rule::Text(TO_CHARACTERS)),
    optional("recipient", Rule::Text(TO_CHARACTERS)),
    optional("type", Rule::OneOf(KINDS)),
    optional("biz_opaque_callback_data", Rule::Text(512)),
    optional("recipient_identity_key_hash", Rule::Text(128)),
    optional("context", Rule::Object(&[required("message_id", Rule::Text(512))])),
];

const RECEIPT: &[Field] = &[
    required("messaging_product", Rule::OneOf(&["whatsapp"])),
    required("status", Rule::OneOf(&["read"])),
    required("message_id", Rule::Text(512)),
    optional(
        "typing_indicator",
        Rule::Object(&[required("type", Rule::OneOf(&["text"]))]),
    ),
];

/// The types of messages.
const KINDS: &[&str] = &[
    "text",
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

/// Checks a body. `country` is the calling code of the business number: it is put before a recipient without `+`.
pub(crate) fn check(body: &[u8], country: &str) -> Result<Request, Refusal> {
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
        return Err(invalid("The request body is not a JSON object"));
    };
    if body.contains_key("status") {
        return receipt(&body).map(Request::Receipt);
    }
    let name = body.get("type").map_or(Some("text"), Value::as_str).unwrap_or_default();
    let kind = KINDS.iter().find(|kind| **kind == name);
    // A type that is unknown is told as such by the envelope.
    fields(
        &body,
        ENVELOPE,
        &ROOT,
        kind.map(std::slice::from_ref).unwrap_or_default(),
    )?;
    let kind = kind.copied().unwrap_or("text");
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    if text("recipient_type").as_deref() == Some("group") {
        return Err(Refusal::of_code(131_020).details("The group does not exist"));
    }
    let (input, target) = recipient(text("to"), text("recipient"), country)?;
    let context = body.get("context").and_then(|context| context["message_id"].as_str());
    let mut checked = Checked {
        input,
        target,
        both: text("to").is_some() && text("recipient").is_some(),
        callback: text("biz_opaque_callback_data"),
        kind,
        media: Vec::new(),
        voice: body.get("audio").is_some_and(|audio| audio["voice"] == true),
        template: None,
        reacts_to: None,
        context: context.map(str::to_owned),
    };
    let path = ROOT.key(kind);
    content::check(kind, need(&body, &path)?, &path, &mut checked)?;
    Ok(Request::Message(Box::new(checked)))
}

fn receipt(body: &Map<String, Value>) -> Result<Receipt, Refusal> {
    fields(body, RECEIPT, &ROOT, &[])?;
    let wamid = body.get("message_id").and_then(Value::as_str).unwrap_or_default();
    Ok(Receipt {
        wamid: wamid.to_owned(),
        typing: body.get("typing_indicator").is_some_and(Value::is_object),
    })
}

/// Whom the message is for: `to` wins over `recipient`.
fn recipient(to: Option<String>, recipient: Option<String>, country: &str) -> Result<(String, Target), Refusal> {
    match (to, recipient) {
        (Some(to), _) => {
            let digits = wa_id(&to, country)?;
            Ok((to, Target::Phone(digits)))
        }
        (None, Some(recipient)) if is_user_id(&recipient) => Ok((recipient.clone(), Target::UserId(recipient))),
        (None, Some(_)) => Err(fields::bad("Parameter 'recipient' is not a valid user id")),
        (None, None) => Err(missing(&ROOT.key("to"))),
    }
}

/// Where a number without `+` goes: Meta takes it for one of the business's own country.
fn wa_id(to: &str, country: &str) -> Result<String, Refusal> {
    let digits: String = to.chars().filter(char::is_ascii_digit).collect();
    let tolerated = to
        .chars()
        .all(|character| character.is_ascii_digit() || "+-() ".contains(character));
    let whole = if to.trim_start().starts_with('+') {
        digits
    } else {
        format!("{country}{digits}")
    };
    if tolerated && (7..=15).contains(&whole.len()) {
        return Ok(whole);
    }
    Err(fields::bad("Parameter 'to' is not a valid phone number"))
}

/// `US.…`, or `US.ENT.…` for a parent id.
fn is_user_id(text: &str) -> bool {
    let Some((country, rest)) = text.split_once('.') else {
        return false;
    };
    let id = rest.strip_prefix("ENT.").unwrap_or(rest);
    country.len() == 2
        && country.bytes().all(|byte| byte.is_ascii_uppercase())
        && (1..=USER_ID_CHARACTERS).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(body: &Value) -> Result<Checked, Refusal> {
        match check(body.to_string().as_bytes(), "1")? {
            Request::Message(checked) => Ok(*checked),
            Request::Receipt(receipt) => panic!("{receipt:?}"),
        }
    }

    fn code(body: &Value) -> i32 {
        check(body.to_string().as_bytes(), "1").expect_err("refused").code
    }

    #[test]
    fn a_text_passes() {
        let body = json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": "+1 (650) 555-1234",
            "type": "text", "text": {"body": "hi", "preview_url": false}, "biz_opaque_callback_data": "x.1",
            "context": {"message_id": "wamid.A"}});
        let checked = message(&body).expect("accepted");
        assert_eq!(checked.target, Target::Phone("16505551234".to_owned()));
        assert_eq!(
            (checked.callback.as_deref(), checked.context.as_deref()),
            (Some("x.1"), Some("wamid.A"))
        );
    }

    #[test]
    fn without_plus_it_goes_to_the_wrong_country() {
        let body = json!({"messaging_product": "whatsapp", "to": "442071234567", "text": {"body": "hi"}});
        let target = message(&body).expect("accepted").target;
        assert_eq!(target, Target::Phone("1442071234567".to_owned()));
    }

    #[test]
    fn a_number_wins_over_a_user_id() {
        let mut body =
            json!({"messaging_product": "whatsapp", "recipient": "US.134A", "type": "text", "text": {"body": "hi"}});
        assert_eq!(
            message(&body).expect("accepted").target,
            Target::UserId("US.134A".to_owned())
        );
        body["to"] = json!("+16505551234");
        assert_eq!(
            message(&body).expect("accepted").target,
            Target::Phone("16505551234".to_owned())
        );
        body.as_object_mut().expect("object").remove("to");
        for refused in ["us.1", "US.", "US.1.2", "16505551234", "US.ENT.", "USA.1"] {
            body["recipient"] = json!(refused);
            assert_eq!(code(&body), 131_009, "{refused}");
        }
        body["recipient"] = json!("US.ENT.118");
        assert!(message(&body).is_ok());
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
        assert_eq!(with(&|body| body["to"] = Value::Null), 131_008);
        assert_eq!(with(&|body| body["to"] = json!(16_505_551_234_u64)), 100);
        assert_eq!(with(&|body| body["recipient_type"] = json!("group")), 131_020);
        assert_eq!(with(&|body| body["recipient_type"] = json!("all")), 100);
        assert_eq!(with(&|body| body["text"] = json!({})), 131_008);
        assert_eq!(with(&|body| body["text"] = json!({"body": ""})), 131_008);
        assert_eq!(with(&|body| body["text"] = json!({"body": "a".repeat(4_097)})), 100);
        assert_eq!(with(&|body| body["text"] = json!({"body": "a", "preview": true})), 100);
        assert_eq!(with(&|body| body["text"] = json!("hi")), 100);
        assert_eq!(with(&|body| body["type"] = json!("image")), 100);
        assert_eq!(with(&|body| body["type"] = json!("telegram")), 100);
        assert_eq!(with(&|body| body["surprise"] = json!(1)), 100);
        assert_eq!(with(&|body| body["context"] = json!({})), 131_008);
        assert_eq!(
            with(&|body| body["biz_opaque_callback_data"] = json!("a".repeat(513))),
            100
        );
        assert_eq!(check(b"[]", "1").expect_err("refused").code, 100);
        assert_eq!(check(b"{", "1").expect_err("refused").code, 100);
    }

    #[test]
    fn receipts_are_told_from_messages() {
        let mut body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A"});
        let read = |body: &Value| match check(body.to_string().as_bytes(), "1") {
            Ok(Request::Receipt(receipt)) => Ok((receipt.wamid, receipt.typing)),
            Ok(Request::Message(checked)) => panic!("{checked:?}"),
            Err(refusal) => Err(refusal.code),
        };
        assert_eq!(read(&body), Ok(("wamid.A".to_owned(), false)));
        body["typing_indicator"] = json!({"type": "text"});
        assert_eq!(read(&body), Ok(("wamid.A".to_owned(), true)));
        body["typing_indicator"] = json!({"type": "audio"});
        assert_eq!(read(&body), Err(100));
        body["typing_indicator"] = json!({"type": "text"});
        body["to"] = json!("+16505551234");
        assert_eq!(read(&body), Err(100), "there is no typing to a number");
    }
}
