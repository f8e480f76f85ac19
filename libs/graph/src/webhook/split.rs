use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::account;
use super::item::{Account, Item, Kind, MAX_VALUE, word_of};
use super::lenient;
use super::message::{By, Contact};

/// The body is no JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a JSON object")]
pub struct Malformed;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    object: Option<String>,
    #[serde(default, borrow)]
    entry: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    id: Option<String>,
    #[serde(default, borrow)]
    time: Option<&'a RawValue>,
    #[serde(default, borrow)]
    changes: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    field: Option<String>,
    #[serde(default, borrow)]
    value: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Value<'a> {
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default, borrow)]
    contacts: Option<&'a RawValue>,
    #[serde(default, borrow)]
    messages: Option<&'a RawValue>,
    #[serde(default, borrow)]
    message_echoes: Option<&'a RawValue>,
    #[serde(default, borrow)]
    statuses: Option<&'a RawValue>,
    #[serde(default, borrow)]
    errors: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    phone_number_id: Option<String>,
}

/// Times of an entry.
#[derive(Clone, Copy)]
struct When {
    received: OffsetDateTime,
    at: Option<OffsetDateTime>,
}

/// What the items of one change share.
struct Place<'a> {
    pointer: &'a str,
    waba_id: &'a str,
    field: &'a str,
    phone_number_id: Option<&'a str>,
}

/// Fields that hold messages and statuses.
const MESSAGES: &[&str] = &["messages", "smb_message_echoes", "message_echoes"];

/// Most items that are read of one webhook; Meta batches at most 1,000. What is beyond is one broken item, so that it is seen and the webhook stays for a replay.
const MAX_ITEMS: usize = 10_000;

/// Reads a body into its items, in Meta's order. Every part of a well-formed body ends in at least one item: what cannot be read becomes a broken one, so that nothing goes missing.
pub fn parse(raw: &[u8], received: OffsetDateTime) -> Result<Vec<Item>, Malformed> {
    // A struct is read from an array too: insist on an object.
    let object = raw.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let body: Body<'_> = serde_json::from_slice(raw).ok().filter(|_| object).ok_or(Malformed)?;
    let mut items = Vec::new();
    let whole = Place {
        pointer: "",
        waba_id: "",
        field: "",
        phone_number_id: None,
    };
    match body.object.as_deref() {
        Some("whatsapp_business_account") => match elements(body.entry) {
            Some(entries) if !entries.is_empty() => {
                for (index, entry) in entries.into_iter().enumerate().take(MAX_ITEMS) {
                    read_entry(entry, &format!("/entry/{index}"), received, &mut items);
                }
            }
            _ => items.push(whole.item(Kind::Broken {
                reason: "ENTRIES_MISSING",
            })),
        },
        other => items.push(whole.item(Kind::Unsupported {
            what: format!("object.{}", word_of(other.unwrap_or(""))),
        })),
    }
    if items.len() > MAX_ITEMS {
        items.truncate(MAX_ITEMS);
        items.push(whole.item(Kind::Broken {
            reason: "ITEMS_TOO_MANY",
        }));
    }
    Ok(items)
}

fn read_entry(raw: &RawValue, pointer: &str, received: OffsetDateTime, items: &mut Vec<Item>) {
    let entry: Option<Entry<'_>> = serde_json::from_str(raw.get()).ok();
    let waba_id = entry.as_ref().and_then(|entry| entry.id.as_deref()).unwrap_or_default();
    let place = Place {
        pointer,
        waba_id,
        field: "",
        phone_number_id: None,
    };
    let at = entry.as_ref().and_then(|entry| entry.time);
    let at = at.and_then(|raw| lenient::time_of(raw.get().trim_matches('"').parse().ok()?, received));
    let when = When { received, at };
    match elements(entry.as_ref().and_then(|entry| entry.changes)) {
        Some(changes) if !changes.is_empty() => {
            for (index, change) in changes.into_iter().enumerate().take(room(items)) {
                read_change(change, &format!("{pointer}/changes/{index}"), waba_id, when, items);
            }
        }
        _ => items.push(place.item(Kind::Broken {
            reason: "CHANGES_MISSING",
        })),
    }
}

fn read_change(raw: &RawValue, pointer: &str, waba_id: &str, when: When, items: &mut Vec<Item>) {
    let change: Option<Change<'_>> = serde_json::from_str(raw.get()).ok();
    let field = change
        .as_ref()
        .and_then(|change| change.field.as_deref())
        .map_or("", word_of);
    let place = Place {
        pointer,
        waba_id,
        field,
        phone_number_id: None,
    };
    let Some(raw_value) = change.as_ref().and_then(|change| change.value) else {
        return items.push(place.item(Kind::Broken {
            reason: "VALUE_MISSING",
        }));
    };
    let Ok(value) = serde_json::from_str::<Value<'_>>(raw_value.get()) else {
        return items.push(place.item(Kind::Broken {
            reason: "VALUE_UNREADABLE",
        }));
    };
    let phone_number_id = value
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.phone_number_id.as_deref());
    let place = Place {
        phone_number_id,
        ..place
    };
    if MESSAGES.contains(&field) {
        read_messages(&value, &place, when.received, items);
    } else if account::understood(field) {
        let named = account::waba_of(field, raw_value.get());
        let place = Place {
            waba_id: named.as_deref().unwrap_or(waba_id),
            ..place
        };
        items.push(place.item(news(field, raw_value.get(), when.at)));
    } else {
        items.push(place.item(Kind::Unsupported {
            what: format!("field.{}", word_of(field)),
        }));
    }
}

/// The value is passed on as it came: whoever acts on it reads it.
fn news(field: &str, value: &str, occurred: Option<OffsetDateTime>) -> Kind {
    // Of what nobody acts on, the event says that its value was too long; it stays in the stored webhook.
    if value.len() > MAX_VALUE && account::acts(field) {
        return Kind::Broken {
            reason: "VALUE_TOO_LONG",
        };
    }
    // A struct is read from an array too: insist on an object.
    if !value.starts_with('{') {
        return Kind::Broken {
            reason: "VALUE_UNREADABLE",
        };
    }
    Kind::Account(Box::new(Account {
        field: field.to_owned(),
        value: value.to_owned(),
        occurred,
    }))
}

fn read_messages(value: &Value<'_>, place: &Place<'_>, received: OffsetDateTime, items: &mut Vec<Item>) {
    let before = items.len();
    let contacts = contacts(value);
    let pointer = |list: &str, index: usize| format!("{}/value/{list}/{index}", place.pointer);
    let lists = [
        ("messages", value.messages),
        ("message_echoes", value.message_echoes),
        ("statuses", value.statuses),
        ("errors", value.errors),
    ];
    for (list, raw) in lists {
        let Some(raw) = raw.filter(|raw| raw.get() != "null") else {
            continue;
        };
        let Some(elements) = elements(Some(raw)) else {
            let at = format!("{}/value/{list}", place.pointer);
            items.push(Place { pointer: &at, ..*place }.item(Kind::Broken {
                reason: "LIST_UNREADABLE",
            }));
            continue;
        };
        for (index, element) in elements.into_iter().enumerate().take(room(items)) {
            let kind = match list {
                "messages" => Kind::of_message(element.get(), By::User, received, &contacts),
                "message_echoes" => Kind::of_message(element.get(), By::Business, received, &contacts),
                "statuses" => Kind::of_status(element.get(), received),
                _ => Kind::Unsupported {
                    what: "errors".to_owned(),
                },
            };
            items.push(
                Place {
                    pointer: &pointer(list, index),
                    ..*place
                }
                .item(kind),
            );
        }
    }
    if items.len() == before {
        items.push(place.item(Kind::Unsupported {
            what: format!("field.{}", place.field),
        }));
    }
}

fn contacts(value: &Value<'_>) -> Vec<Contact> {
    let contacts = value
        .messages
        .or(value.message_echoes)
        .and_then(|_| elements(value.contacts))
        .unwrap_or_default();
    let contacts = contacts.into_iter().take(MAX_ITEMS);
    contacts
        .filter_map(|raw| serde_json::from_str(raw.get()).ok())
        .collect()
}

/// How many items more are read: one beyond the most, so that a longer list is noticed.
fn room(items: &[Item]) -> usize {
    (MAX_ITEMS + 1).saturating_sub(items.len())
}

fn elements(list: Option<&RawValue>) -> Option<Vec<&RawValue>> {
    serde_json::from_str(list?.get()).ok()
}

impl Place<'_> {
    fn item(&self, kind: Kind) -> Item {
        Item {
            pointer: self.pointer.to_owned(),
            waba_id: self.waba_id.to_owned(),
            field: self.field.to_owned(),
            phone_number_id: self.phone_number_id.map(str::to_owned),
            kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const RECEIVED: OffsetDateTime = datetime!(2026-11-23 10:00 UTC);

    fn read(body: &serde_json::Value) -> Vec<Item> {
        parse(body.to_string().as_bytes(), RECEIVED).expect("JSON object")
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers write `json!` in place")]
    fn messages(value: serde_json::Value) -> serde_json::Value {
        json!({"object": "whatsapp_business_account", "entry": [{"id": "77", "changes": [{"field": "messages", "value": value}]}]})
    }

    #[test]
    fn a_text_message_with_name_and_reply() {
        let items = read(&messages(json!({
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550783881", "phone_number_id": "1065"},
            "contacts": [{"profile": {"name": "Bob"}, "wa_id": "1"}, {"profile": {"name": "Ann"}, "wa_id": "16505551234", "user_id": "US.1"}],
            "messages": [{"from": "16505551234", "from_user_id": "US.1", "id": "wamid.A", "timestamp": "1795428000", "type": "text",
                "text": {"body": "gr\u{fc}\u{df}e"}, "context": {"from": "15550783881", "id": "wamid.B"}, "new_key": {"deep": [1]}}],
        })));
        assert_eq!(items.len(), 1);
        assert_eq!(
            (items[0].pointer.as_str(), items[0].waba_id.as_str()),
            ("/entry/0/changes/0/value/messages/0", "77")
        );
        assert_eq!(items[0].phone_number_id.as_deref(), Some("1065"));
        let Kind::Message(text) = &items[0].kind else {
            panic!("{items:?}")
        };
        assert_eq!(
            (text.said.words(), text.user.name.as_deref()),
            (Some("grüße"), Some("Ann"))
        );
        assert_eq!(
            (text.user.wa_id.as_deref(), text.user.user_id.as_deref()),
            (Some("16505551234"), Some("US.1"))
        );
        assert_eq!(text.context.reply_to.as_deref(), Some("wamid.B"));
        assert_eq!(text.occurred, datetime!(2026-11-23 10:00 UTC));
        assert!(!format!("{items:?}").contains("1650555"), "personal data is not shown");
    }

    #[test]
    fn statuses_with_numbers_as_strings_and_back() {
        let items = read(&messages(json!({
            "metadata": {"phone_number_id": 1065},
            "statuses": [
                {"id": "wamid.A", "status": "delivered", "timestamp": "1795428000", "recipient_id": "16505551234", "biz_opaque_callback_data": "evt_x.1"},
                {"id": "wamid.A", "status": "failed", "timestamp": 1_795_428_000_123_i64, "errors": [{"code": "131026", "title": "x"}]},
                {"id": "wamid.A", "status": "deleted", "timestamp": "1795428000"},
            ],
        })));
        let Kind::Status(first) = &items[0].kind else {
            panic!("{items:?}")
        };
        assert_eq!(
            (first.word.as_str(), first.callback.as_deref(), first.error_code),
            ("delivered", Some("evt_x.1"), 0)
        );
        let Kind::Status(second) = &items[1].kind else {
            panic!("{items:?}")
        };
        assert_eq!(
            (second.error_code, second.occurred),
            (131_026, datetime!(2026-11-23 10:00 UTC))
        );
        assert_eq!(
            items[2].kind,
            Kind::Unsupported {
                what: "status.deleted".to_owned()
            }
        );
        assert_eq!(items[1].phone_number_id.as_deref(), Some("1065"));
    }

    #[test]
    fn one_broken_item_harms_no_other() {
        let status = |id: &str| json!({"id": id, "status": "sent", "timestamp": "1795428000"});
        let body = json!({"object": "whatsapp_business_account", "entry": [
            {"id": "77", "changes": [
                {"field": "messages", "value": {"metadata": {"phone_number_id": "1"}, "statuses": [status("wamid.A"), {"id": []}, 7, status("wamid.B")]}},
                {"field": "messages", "value": "text"},
                {"field": "account_update", "value": {"event": "DISABLED_UPDATE"}},
                17,
            ]},
            {"changes": "none"},
            {"id": "78", "changes": [{"field": "messages", "value": {"metadata": {"phone_number_id": "2"}, "messages": {}, "statuses": [status("wamid.C")]}}]},
        ]});
        let items = read(&body);
        let kinds: Vec<_> = items
            .iter()
            .map(|item| match &item.kind {
                Kind::Message(_) => "message",
                Kind::Echo(_) => "echo",
                Kind::Status(_) => "status",
                Kind::Account(_) => "account",
                Kind::Unsupported { what } => what.as_str(),
                Kind::Broken { reason } => reason,
            })
            .collect();
        let expected = [
            "status",
            "STATUS_UNREADABLE",
            "STATUS_UNREADABLE",
            "status",
            "VALUE_UNREADABLE",
            "account",
            "VALUE_MISSING",
            "CHANGES_MISSING",
            "LIST_UNREADABLE",
            "status",
        ];
        assert_eq!(kinds, expected);
        assert_eq!(items[1].pointer, "/entry/0/changes/0/value/statuses/1");
        assert_eq!(items[9].waba_id, "78");
    }

    #[test]
    fn what_is_not_understood_is_kept() {
        let poll =
            json!({"id": "wamid.A", "from": "1650", "timestamp": "1795428000", "type": "poll", "poll": {"id": "5"}});
        let items = read(&messages(
            json!({"metadata": {"phone_number_id": "1"}, "messages": [poll], "errors": [{"code": 131_051}]}),
        ));
        assert!(
            matches!(&items[0].kind, Kind::Message(poll) if poll.what == "message.poll" && !poll.opens_window()),
            "{items:?}"
        );
        assert_eq!(
            items[1].kind,
            Kind::Unsupported {
                what: "errors".to_owned()
            }
        );
        assert_eq!(
            read(&json!({"object": "page"}))[0].kind,
            Kind::Unsupported {
                what: "object.page".to_owned()
            }
        );
        assert_eq!(
            read(&json!({"object": "whatsapp_business_account", "entry": []}))[0].kind,
            Kind::Broken {
                reason: "ENTRIES_MISSING"
            }
        );
        assert_eq!(
            read(&messages(json!({})))[0].kind,
            Kind::Unsupported {
                what: "field.messages".to_owned()
            }
        );
    }

    #[test]
    fn endless_lists_are_cut_off_and_seen() {
        let list = "1,".repeat(200_000) + "1";
        let value = format!(r#"{{"metadata":{{"phone_number_id":"1"}},"statuses":[{list}],"messages":[{list}]}}"#);
        let change = format!(r#"{{"field":"messages","value":{value}}}"#);
        let body =
            format!(r#"{{"object":"whatsapp_business_account","entry":[{{"id":"7","changes":[{change},{change}]}}]}}"#);
        let items = parse(body.as_bytes(), RECEIVED).expect("JSON object");
        assert_eq!(items.len(), MAX_ITEMS + 1);
        assert_eq!(
            items[MAX_ITEMS].kind,
            Kind::Broken {
                reason: "ITEMS_TOO_MANY"
            }
        );
    }

    #[test]
    fn only_json_objects_are_bodies() {
        for bad in [&b""[..], b"[]", b"7", b"{", b"\xff", b"{}{}"] {
            assert_eq!(parse(bad, RECEIVED), Err(Malformed));
        }
        let deep = format!(
            "{{\"object\":\"whatsapp_business_account\",\"entry\":{}{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(
            parse(deep.as_bytes(), RECEIVED).is_ok(),
            "depth is bounded where values are read"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes, RECEIVED);
        }

        #[test]
        fn damaged_bodies_never_panic(at in 0_usize..400, byte: u8) {
            let body = messages(json!({"metadata": {"phone_number_id": "1"}, "statuses": [{"id": "wamid.A", "status": "sent", "timestamp": "1795428000"}],
                "messages": [{"id": "wamid.B", "from": "1650", "timestamp": "1795428000", "type": "text", "text": {"body": "hi"}}]}));
            let mut bytes = body.to_string().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(items) = parse(&bytes, RECEIVED) {
                prop_assert!(!items.is_empty());
            }
        }
    }
}
