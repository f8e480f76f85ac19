//! Webhooks of every shape beside the items they hold: `corpus/<name>.json` and `corpus/<name>.items.json`.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use outeract_graph::webhook::{Item, Kind, parse};
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
        Kind::Text(text) => (
            "text",
            json!({
                "wamid": text.wamid.as_str(), "wa_id": text.wa_id, "user_id": text.user_id, "name": text.name,
                "body": text.body, "reply_to": text.reply_to, "at": text.occurred.unix_timestamp(),
            }),
        ),
        Kind::Status(status) => (
            "status",
            json!({
                "wamid": status.wamid.as_str(), "word": status.word, "recipient": status.recipient,
                "callback": status.callback, "error_code": status.error_code, "at": status.occurred.unix_timestamp(),
            }),
        ),
        Kind::Unsupported { what } => ("unsupported", json!(what)),
        Kind::Broken { reason } => ("broken", json!(reason)),
    };
    value[key] = what;
    value
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
