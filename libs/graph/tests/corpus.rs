//! Webhooks of every shape beside the items they hold: `corpus/<name>.json` and `corpus/<name>.items.json`.

#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it must be"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use outeract_graph::webhook::{Account, Item, Kind, Message, Sender, moved, parse, preferences};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Later than everything in the corpus: no time is held against it.
const RECEIVED: i64 = 1_795_430_000;

fn describe(item: &Item) -> Value {
    let mut value = json!({
        "pointer": item.pointer,
        "waba_id": item.waba_id,
        "phone_number_id": item.phone_number_id,
        "field": item.field,
    });
    let (key, what) = match &item.kind {
        Kind::Message(message) => ("message", written(message)),
        Kind::Echo(message) => ("echo", written(message)),
        Kind::Status(status) => (
            "status",
            json!({
                "wamid": status.wamid.as_str(), "word": status.word, "recipient": status.recipient,
                "recipient_user_id": status.recipient_user_id, "recipient_parent_user_id": status.recipient_parent_user_id,
                "callback": status.callback, "error_code": status.error_code, "at": status.occurred.unix_timestamp(),
                "pricing": status.pricing, "conversation": status.conversation, "group": status.group,
            }),
        ),
        Kind::Account(account) => ("account", told(account)),
        Kind::Unsupported { what } => ("unsupported", json!(what)),
        Kind::Broken { reason } => ("broken", json!(reason)),
    };
    value[key] = what;
    value
}

/// A message, as far as it says anything.
fn written(message: &Message) -> Value {
    json!({
        "what": message.what, "wamid": message.wamid.as_str(), "user": sender(&message.user), "at": message.occurred.unix_timestamp(),
        "opens_window": message.opens_window(), "context": message.context, "referral": message.referral, "group": message.group,
        "identity": message.identity, "said": message.said,
    })
}

fn sender(sender: &Sender) -> Value {
    json!({
        "wa_id": sender.wa_id, "user_id": sender.user_id, "parent_user_id": sender.parent_user_id, "username": sender.username,
        "name": sender.name,
    })
}

/// The field, and what is read of it where its value is read here.
fn told(account: &Account) -> Value {
    let received = OffsetDateTime::from_unix_timestamp(RECEIVED).expect("time");
    let value = account.value.as_bytes();
    let mut told = json!({"field": account.field});
    match account.field.as_str() {
        "user_preferences" => {
            let read = preferences(value, received).expect("readable").into_iter().map(|one| {
                one.map_or(Value::Null, |one| {
                    json!({"wa_id": one.wa_id, "user_id": one.user_id, "switch": format!("{:?}", one.switch), "at": one.occurred.unix_timestamp()})
                })
            });
            told["preferences"] = read.collect();
        }
        "user_id_update" | "system" => {
            let read = moved(&account.field, value, received).expect("readable").into_iter().map(|one| {
                one.map_or(Value::Null, |one| {
                    json!({
                        "wa_id": [one.wa_id_before, one.wa_id], "user_id": [one.user_id_before, one.user_id],
                        "parent": [one.parent_before, one.parent], "at": one.occurred.map(OffsetDateTime::unix_timestamp),
                    })
                })
            });
            told["moved"] = read.collect();
        }
        _ => told["value"] = serde_json::from_str(&account.value).expect("JSON"),
    }
    told
}

#[test]
fn every_webhook_holds_its_items() {
    let received = OffsetDateTime::from_unix_timestamp(RECEIVED).expect("time");
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("tests/corpus");
    let files = fs::read_dir(&folder)
        .expect("corpus")
        .map(|file| file.expect("file").file_name());
    let files: BTreeSet<_> = files.map(|name| name.into_string().expect("name")).collect();
    let mut seen = 0;
    for name in files.iter().filter(|name| !name.ends_with(".items.json")) {
        let stem = name.strip_suffix(".json").expect("JSON");
        let body = fs::read(folder.join(name)).expect("body");
        let items = parse(&body, received).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found = Value::Array(items.iter().map(describe).collect());
        let expected = fs::read(folder.join(format!("{stem}.items.json"))).expect("items");
        let expected: Value = serde_json::from_slice(&expected).expect("JSON");

        assert_eq!(found, expected, "{name}");
        seen += 1;
    }
    assert!(seen >= 15 && seen * 2 == files.len(), "each body has its items");
}
