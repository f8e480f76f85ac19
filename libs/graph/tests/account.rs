//! Webhooks of accounts beside what is read of them, one file each: `webhooks/account/<variant>.json` holds `body` and `expected`.

#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it must be"
)]

use std::path::{Path, PathBuf};
use std::{env, fs};

use outeract_graph::webhook::{Kind, News, acts, parse};
use proptest::prelude::*;
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Later than everything in the corpus.
const RECEIVED: i64 = 1_795_430_000;

fn received() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(RECEIVED).expect("time")
}

fn files() -> Vec<(PathBuf, Value)> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("tests/webhooks/account");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("corpus")
        .map(|file| {
            let path = file.expect("file").path();
            let file = fs::read(&path).expect("readable");
            (path, serde_json::from_slice(&file).expect("JSON"))
        })
        .collect();
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    files
}

fn describe(body: &Value) -> Value {
    let items = parse(body.to_string().as_bytes(), received()).expect("a body");
    let describe = |item: &outeract_graph::webhook::Item| {
        let told = match &item.kind {
            Kind::Account(account) => json!({
                "at": account.occurred.map(OffsetDateTime::unix_timestamp),
                "acts": acts(&account.field),
                "news": News::read(&account.field, &account.value, received()).expect("readable"),
            }),
            Kind::Unsupported { what } => json!({ "unsupported": what }),
            other => json!({"other": format!("{other:?}")}),
        };
        json!({"waba_id": item.waba_id, "phone_number_id": item.phone_number_id, "field": item.field, "told": told})
    };
    items.iter().map(describe).collect()
}

#[test]
fn every_variant_is_read_as_its_file_says() {
    let files = files();
    assert!(files.len() >= 40, "the corpus is there");
    for (path, file) in files {
        let found = describe(&file["body"]);
        if env::var_os("WRITE_EXPECTED").is_some() {
            let file = json!({"body": file["body"], "expected": found});
            let text = serde_json::to_string_pretty(&file).expect("JSON");
            fs::write(&path, text + "\n").expect("written");
            continue;
        }
        assert_eq!(found, file["expected"], "{}", path.display());
    }
}

/// Changes one place of a value to something of another form.
fn mutate(value: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *value = with.clone();
    }
    *at = at.wrapping_sub(1);
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|value| mutate(value, at, with)),
        Value::Array(values) => values.iter_mut().for_each(|value| mutate(value, at, with)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn whatever_stands_in_a_value_it_is_one_item_that_says_what_it_is(
        which in 0_usize..40, at in 0_usize..30,
        with in prop_oneof![
            Just(Value::Null), Just(json!([])), Just(json!({})), Just(json!(-1)), Just(json!(1e300)), Just(json!(true)), Just(json!([[{}]])),
            ".{0,8}".prop_map(Value::String), Just(Value::String("é".repeat(2_000))),
        ],
    ) {
        let (_, file) = files().swap_remove(which);
        let mut body = file["body"].clone();
        let mut at = at;
        mutate(&mut body["entry"][0]["changes"][0]["value"], &mut at, &with);
        let items = parse(body.to_string().as_bytes(), received()).expect("a body");
        prop_assert_eq!(items.len(), 1);
        if let Kind::Account(account) = &items[0].kind {
            let shown = format!("{account:?}");
            prop_assert!(!shown.contains("1650"));
            let news = News::read(&account.field, &account.value, received()).expect("an object");
            if let Some(news) = news {
                prop_assert!(news.event_type.contains('.') && news.reason.len() <= 512 && news.event.len() <= 512);
                prop_assert!(news.number.bytes().all(|byte| byte.is_ascii_digit()));
            }
        }
    }

    #[test]
    fn arbitrary_values_never_panic(field in "[a-z_]{0,40}", value in ".{0,200}") {
        let _ = News::read(&field, &value, received());
        let _ = News::read("account_update", &value, received());
    }
}
