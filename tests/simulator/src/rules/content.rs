//! What stands under the name of a message's type.

use serde_json::{Map, Value};

use super::fields::{
    Field, HTTPS, MEDIA_ADDRESS, Path, Rule, bad, fields, invalid, link, list, missing, need, object, optional,
    required,
};
use super::{Checked, MediaUse, Source, interactive, template};
use crate::errors::Refusal;
use crate::media::Family;

const CAPTION: usize = 1_024;
const FILENAME: usize = 240;

const TEXT: &[Field] = &[required("body", Rule::Text(4_096)), optional("preview_url", Rule::Bool)];

pub(super) const LOCATION: &[Field] = &[
    required("latitude", Rule::Number(-90.0, 90.0)),
    required("longitude", Rule::Number(-180.0, 180.0)),
    optional("name", Rule::Any(1_000)),
    optional("address", Rule::Any(1_000)),
];

const REACTION: &[Field] = &[
    required("message_id", Rule::Text(512)),
    required("emoji", Rule::Any(64)),
];

/// Cards in one message.
const CARDS: usize = 257;
/// Entries of one kind on a card.
const ENTRIES: usize = 100;

/// Meta names no length of what stands on a card.
const WORD: Rule = Rule::Any(4_096);

const CARD: &[Field] = &[
    required("name", Rule::Object(NAME)),
    optional("phones", Rule::List(&Rule::Object(PHONE), 0, ENTRIES)),
    optional("emails", Rule::List(&Rule::Object(EMAIL), 0, ENTRIES)),
    optional("addresses", Rule::List(&Rule::Object(ADDRESS), 0, ENTRIES)),
    optional("urls", Rule::List(&Rule::Object(URL), 0, ENTRIES)),
    optional("org", Rule::Object(ORGANISATION)),
    optional("birthday", Rule::Text(10)),
];
const NAME: &[Field] = &[
    required("formatted_name", Rule::Text(1_024)),
    optional("first_name", WORD),
    optional("last_name", WORD),
    optional("middle_name", WORD),
    optional("prefix", WORD),
    optional("suffix", WORD),
];
const PHONE: &[Field] = &[
    optional("phone", WORD),
    optional("type", WORD),
    optional("wa_id", Rule::Digits),
];
const EMAIL: &[Field] = &[optional("email", WORD), optional("type", WORD)];
const URL: &[Field] = &[optional("url", Rule::Any(2_048)), optional("type", WORD)];
const ORGANISATION: &[Field] = &[
    optional("company", WORD),
    optional("department", WORD),
    optional("title", WORD),
];
const ADDRESS: &[Field] = &[
    optional("street", WORD),
    optional("city", WORD),
    optional("state", WORD),
    optional("zip", WORD),
    optional("country", WORD),
    optional("country_code", WORD),
    optional("type", WORD),
];

/// Checks what stands under the type's name, and notes what it uses.
pub(super) fn check(kind: &str, value: &Value, path: &Path<'_>, checked: &mut Checked) -> Result<(), Refusal> {
    match kind {
        "text" => fields(object(value, path)?, TEXT, path, &[]),
        "image" => medium(value, path, Family::Image, checked),
        "video" => medium(value, path, Family::Video, checked),
        "audio" => medium(value, path, Family::Audio, checked),
        "document" => medium(value, path, Family::Document, checked),
        "sticker" => medium(value, path, Family::Sticker, checked),
        "location" => fields(object(value, path)?, LOCATION, path, &[]),
        "contacts" => cards(value, path),
        "reaction" => reaction(object(value, path)?, path, checked),
        "interactive" => interactive::check(object(value, path)?, path, checked),
        _ => template::check(object(value, path)?, path, checked),
    }
}

/// A medium with what may stand beside it in a message of its own.
fn medium(value: &Value, path: &Path<'_>, family: Family, checked: &mut Checked) -> Result<(), Refusal> {
    let beside: &[Field] = match family {
        Family::Image | Family::Video => &[optional("caption", Rule::Any(CAPTION))],
        Family::Document => &[
            optional("caption", Rule::Any(CAPTION)),
            optional("filename", Rule::Any(FILENAME)),
        ],
        Family::Audio => &[optional("voice", Rule::Bool)],
        Family::Sticker => &[],
    };
    media_object(value, path, family, beside, checked)
}

/// An uploaded medium or a link to one: exactly one of the two, and what may stand beside it.
pub(super) fn media_object(
    value: &Value,
    path: &Path<'_>,
    family: Family,
    beside: &[Field],
    checked: &mut Checked,
) -> Result<(), Refusal> {
    let medium = object(value, path)?;
    fields(medium, beside, path, &["id", "link"])?;
    let text = |key: &str| {
        let value = medium.get(key).filter(|value| !value.is_null());
        value
            .map(|value| super::fields::text(value, &path.key(key)))
            .transpose()
    };
    let (place, source) = match (text("id")?, text("link")?) {
        (Some(_), Some(_)) => return Err(invalid(format!("Param {path} must have exactly one of id and link."))),
        (None, None) => return Err(missing(&path.key("id"))),
        (Some(id), None) => {
            Rule::Text(64).check(&medium["id"], &path.key("id"))?;
            (path.key("id"), Source::Id(id.to_owned()))
        }
        (None, Some(address)) => {
            // Meta fetches from the public web only; what it cannot fetch is its 131053.
            link(address, HTTPS, MEDIA_ADDRESS, &path.key("link")).map_err(|refusal| {
                let details = refusal.details.unwrap_or_default();
                Refusal::of_code(131_053).details(details)
            })?;
            (path.key("link"), Source::Link(address.to_owned()))
        }
    };
    checked.media.push(MediaUse {
        family,
        path: place.to_string(),
        source,
    });
    Ok(())
}

fn cards(value: &Value, path: &Path<'_>) -> Result<(), Refusal> {
    for (index, card) in list(value, path, (1, CARDS))?.iter().enumerate() {
        let path = path.index(index);
        let card = object(card, &path)?;
        fields(card, CARD, &path, &[])?;
        let name = object(need(card, &path.key("name"))?, &path)?;
        if name.len() < 2 {
            return Err(bad(format!(
                "{}: at least one part of the name must stand beside formatted_name",
                path.key("name")
            )));
        }
        let birthday = card.get("birthday").and_then(Value::as_str);
        if birthday.is_some_and(|day| !is_date(day)) {
            return Err(bad(format!("{}: is not YYYY-MM-DD", path.key("birthday"))));
        }
    }
    Ok(())
}

fn is_date(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>, low: u32, high: u32| {
        let digits = text
            .get(range)
            .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        digits
            .and_then(|digits| digits.parse().ok())
            .is_some_and(|number: u32| (low..=high).contains(&number))
    };
    text.len() == 10
        && text.get(4..5) == Some("-")
        && text.get(7..8) == Some("-")
        && number(0..4, 0, 9_999)
        && number(5..7, 1, 12)
        && number(8..10, 1, 31)
}

fn reaction(reaction: &Map<String, Value>, path: &Path<'_>, checked: &mut Checked) -> Result<(), Refusal> {
    fields(reaction, REACTION, path, &[])?;
    let emoji = reaction.get("emoji").and_then(Value::as_str).unwrap_or_default();
    // Whether it is one emoji only Meta's tables can tell; letters and punctuation are none. Keycaps begin with a digit.
    let keycap = emoji.ends_with('\u{20e3}');
    if !keycap
        && emoji
            .chars()
            .any(|character| character.is_ascii() || character.is_alphabetic())
    {
        return Err(bad(format!("{}: is not an emoji", path.key("emoji"))));
    }
    if checked.context.is_some() {
        return Err(bad("context: a reaction cannot be a contextual reply"));
    }
    let target = reaction.get("message_id").and_then(Value::as_str);
    checked.reacts_to = target.map(str::to_owned);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Request, check};
    use super::*;

    fn message(kind: &str, content: &Value) -> Result<Checked, Refusal> {
        let mut body = json!({"messaging_product": "whatsapp", "to": "+16505551234", "type": kind});
        body[kind] = content.clone();
        match check(body.to_string().as_bytes(), "1")? {
            Request::Message(checked) => Ok(*checked),
            Request::Receipt(receipt) => panic!("{receipt:?}"),
        }
    }

    fn code(kind: &str, content: &Value) -> i32 {
        message(kind, content).map_or_else(|refusal| refusal.code, |_| 0)
    }

    #[test]
    fn media_come_by_id_or_by_link() {
        let checked = message("image", &json!({"id": "123", "caption": "a"})).expect("taken");
        let [used] = checked.media.as_slice() else {
            panic!("one medium")
        };
        assert_eq!(
            (used.family, used.path.as_str(), &used.source),
            (Family::Image, "image['id']", &Source::Id("123".to_owned()))
        );
        for (kind, content, expected) in [
            ("video", json!({"link": "https://example.com/v.mp4", "caption": "a"}), 0),
            ("audio", json!({"id": "1", "voice": true}), 0),
            ("audio", json!({"id": "1", "caption": "a"}), 100),
            (
                "document",
                json!({"link": "https://example.com", "filename": "a.pdf", "caption": "b"}),
                0,
            ),
            ("sticker", json!({"id": "1"}), 0),
            ("sticker", json!({"id": "1", "caption": "a"}), 100),
            ("image", json!({"id": "1", "filename": "a"}), 100),
            ("image", json!({"id": "1", "link": "https://example.com"}), 100),
            ("image", json!({"caption": "a"}), 131_008),
            ("image", json!({"id": ""}), 131_008),
            ("image", json!({"link": "http://example.com/a.jpg"}), 131_053),
            ("image", json!({"id": "1", "caption": "a".repeat(1_025)}), 100),
            ("image", json!("1"), 100),
        ] {
            assert_eq!(code(kind, &content), expected, "{kind} {content}");
        }
    }

    #[test]
    fn locations_contacts_and_reactions_keep_to_their_bounds() {
        let ann = json!({"name": {"formatted_name": "Ann B", "first_name": "Ann"}, "birthday": "1990-02-28",
            "phones": [{"phone": "+1 650", "type": "CELL", "wa_id": "1650"}]});
        let bare = json!({"name": {"formatted_name": "Ann"}});
        let mut wrong_day = ann.clone();
        wrong_day["birthday"] = json!("1990-13-01");
        for (kind, content, expected) in [
            (
                "location",
                json!({"latitude": 37.4, "longitude": "-122.1", "name": "HQ", "address": ""}),
                0,
            ),
            ("location", json!({"latitude": 91, "longitude": 0}), 131_009),
            ("location", json!({"latitude": 1}), 131_008),
            ("contacts", json!([ann]), 0),
            ("contacts", json!(vec![ann.clone(); 258]), 131_009),
            ("contacts", json!([]), 131_009),
            ("contacts", json!([bare]), 131_009),
            ("contacts", json!([wrong_day]), 131_009),
            ("contacts", json!([{"phones": []}]), 131_008),
            ("contacts", json!({}), 100),
            ("reaction", json!({"message_id": "wamid.A", "emoji": "👍🏽"}), 0),
            ("reaction", json!({"message_id": "wamid.A", "emoji": "3️⃣"}), 0),
            ("reaction", json!({"message_id": "wamid.A", "emoji": ""}), 0),
            ("reaction", json!({"message_id": "wamid.A", "emoji": "ok"}), 131_009),
            ("reaction", json!({"message_id": "wamid.A"}), 131_008),
        ] {
            assert_eq!(code(kind, &content), expected, "{kind} {content}");
        }
    }
}
