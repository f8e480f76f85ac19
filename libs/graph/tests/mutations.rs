//! The corpus, changed at random: nothing panics, and no item harms another.

#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it must be"
)]

use std::path::Path;
use std::sync::LazyLock;
use std::{env, fs};

use outeract_graph::webhook::{Item, Kind, Said, parse};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Later than everything in the corpus.
const RECEIVED: i64 = 1_795_430_000;
/// A key that Meta does not have.
const NEW: &str = "zz_new";

/// What may be done to a value.
#[derive(Debug, Clone, Copy)]
enum Change {
    Remove,
    Null,
    EmptyArray,
    EmptyObject,
    NumberOrString,
    Grow,
}

/// The bodies of the corpus that are JSON throughout.
static CORPUS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("tests/corpus");
    let files = fs::read_dir(folder)
        .expect("corpus")
        .map(|file| file.expect("file").path());
    let mut files: Vec<_> = files
        .filter(|path| !path.to_string_lossy().ends_with(".items.json"))
        .collect();
    files.sort();
    let bodies = files.iter().map(|path| fs::read(path).expect("body"));
    bodies.filter_map(|body| serde_json::from_slice(&body).ok()).collect()
});

/// None: the body is not what Meta sends, and is kept whole.
fn read(body: &Value) -> Option<Vec<Item>> {
    let received = OffsetDateTime::from_unix_timestamp(RECEIVED).expect("time");
    parse(body.to_string().as_bytes(), received).ok()
}

/// Pointers of everything below a value.
fn below(value: &Value, pointer: &str, found: &mut Vec<String>) {
    let mut one = |key: &str, value: &Value| {
        let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
        below(value, &pointer, found);
        found.push(pointer);
    };
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| one(key, value)),
        Value::Array(array) => array
            .iter()
            .enumerate()
            .for_each(|(index, value)| one(&index.to_string(), value)),
        _ => {}
    }
}

fn pointers(body: &Value, under: &str) -> Vec<String> {
    let mut found = Vec::new();
    below(body.pointer(under).expect("a value"), under, &mut found);
    found
}

fn apply(body: &mut Value, pointer: &str, change: Change) {
    let Some(value) = body.pointer_mut(pointer) else { return };
    match change {
        Change::Null => *value = Value::Null,
        Change::EmptyArray => *value = json!([]),
        Change::EmptyObject => *value = json!({}),
        Change::NumberOrString => match value {
            Value::Number(number) => *value = number.to_string().into(),
            Value::String(text) => {
                if let Ok(number) = text.parse::<i64>() {
                    *value = number.into();
                }
            }
            _ => {}
        },
        Change::Grow => {
            if let Value::Object(object) = value {
                object.insert(NEW.to_owned(), json!([{"a": 1}]));
            }
        }
        Change::Remove => {
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
            let key = key.replace("~1", "/").replace("~0", "~");
            match body.pointer_mut(parent) {
                Some(Value::Object(object)) => drop(object.remove(&key)),
                // An element that went would move those after it.
                Some(Value::Array(array)) => {
                    if let Some(element) = key.parse::<usize>().ok().and_then(|index| array.get_mut(index)) {
                        *element = Value::Null;
                    }
                }
                _ => {}
            }
        }
    }
}

/// It is one of a list, and not the whole change.
fn is_listed(item: &Item) -> bool {
    ["messages", "message_echoes", "statuses"]
        .iter()
        .any(|list| item.pointer.contains(&format!("/value/{list}/")))
}

/// It carries Meta's own JSON.
fn carries_json(item: &Item) -> bool {
    match &item.kind {
        Kind::Account(_) | Kind::Unsupported { .. } | Kind::Broken { .. } => true,
        Kind::Message(message) | Kind::Echo(message) => match &message.said {
            Said::Unknown(_) | Said::Flow(_) => true,
            Said::Edit(edit) => matches!(edit.said, Said::Unknown(_)),
            _ => false,
        },
        Kind::Status(_) => false,
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Remove),
        Just(Change::Null),
        Just(Change::EmptyArray),
        Just(Change::EmptyObject),
        Just(Change::NumberOrString),
        Just(Change::Grow),
    ]
}

/// One of the corpus, and one of its items that stands in a list.
fn listed(file: Index, item: Index) -> Option<(Value, Vec<Item>, usize)> {
    let body = file.get(&CORPUS).clone();
    let items = read(&body)?;
    let places: Vec<_> = (0..items.len())
        .filter(|&at| is_listed(&items[at]) && body.pointer(&items[at].pointer).is_some())
        .collect();
    (!places.is_empty()).then(|| (body, items, *item.get(&places)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_nothing_with_items_has_none(file: Index, changes in prop::collection::vec((any::<Index>(), any_change()), 1..6)) {
        let mut body = file.get(&CORPUS).clone();
        for (at, change) in changes {
            let places = pointers(&body, "");
            if places.is_empty() { break; }
            apply(&mut body, at.get::<String>(&places), change);
        }
        prop_assert!(read(&body).is_none_or(|items| !items.is_empty()));
    }

    #[test]
    fn whatever_becomes_of_one_change_the_others_are_the_same(file: Index, change: Index, changes in prop::collection::vec((any::<Index>(), any_change()), 1..6)) {
        let mut body = file.get(&CORPUS).clone();
        let Some(before) = read(&body) else { return Ok(()) };
        let mut ways = pointers(&body, "");
        ways.retain(|way| way.split('/').count() == 5 && way.contains("/changes/"));
        if ways.is_empty() { return Ok(()); }
        let way = change.get::<String>(&ways).clone();
        for (place, change) in changes {
            let places = pointers(&body, &way);
            if places.is_empty() { break; }
            apply(&mut body, place.get::<String>(&places), change);
        }
        let others = |items: Vec<Item>| -> Vec<Item> {
            let inside = format!("{way}/");
            items.into_iter().filter(|item| item.pointer != way && !item.pointer.starts_with(&inside)).collect()
        };
        let after = read(&body).expect("the body is as it was");
        prop_assert!(after.iter().any(|item| item.pointer.starts_with(&way)));
        prop_assert_eq!(others(after), others(before));
    }

    #[test]
    fn whatever_becomes_of_one_item_it_is_told_once_and_its_siblings_are_the_same(file: Index, item: Index, changes in prop::collection::vec((any::<Index>(), any_change()), 1..4)) {
        let Some((mut body, before, at)) = listed(file, item) else { return Ok(()) };
        let pointer = before[at].pointer.clone();
        for (place, change) in changes {
            let places = pointers(&body, &pointer);
            if places.is_empty() { break; }
            apply(&mut body, place.get::<String>(&places), change);
        }
        let after = read(&body).expect("the body is as it was");
        prop_assert_eq!(after.len(), before.len());
        for (index, (after, before)) in after.iter().zip(&before).enumerate() {
            prop_assert_eq!(&after.pointer, &before.pointer);
            prop_assert!(index == at || after == before, "{}", before.pointer);
        }
    }

    #[test]
    fn new_keys_and_numbers_as_strings_change_nothing(file: Index, item: Index, changes in prop::collection::vec((any::<Index>(), any::<bool>()), 1..6)) {
        let Some((mut body, before, at)) = listed(file, item) else { return Ok(()) };
        prop_assume!(!carries_json(&before[at]));
        let pointer = before[at].pointer.clone();
        apply(&mut body, &pointer, Change::Grow);
        for (place, number) in changes {
            let mut places = pointers(&body, &pointer);
            places.retain(|place| !place.contains(NEW));
            let place = place.get::<String>(&places);
            if number && body.pointer(place).is_some_and(Value::is_number) {
                apply(&mut body, place, Change::NumberOrString);
            } else {
                apply(&mut body, place, Change::Grow);
            }
        }
        prop_assert_eq!(read(&body), Some(before));
    }
}

#[test]
fn the_corpus_has_every_kind_of_message() {
    let seen: Vec<String> = CORPUS
        .iter()
        .filter_map(read)
        .flatten()
        .filter_map(|item| match item.kind {
            Kind::Message(message) => Some(format!("{:?}", message.said)),
            _ => None,
        })
        .collect();
    for kind in [
        "Text",
        "Image",
        "Video",
        "Audio",
        "Document",
        "Sticker",
        "Location",
        "Contacts",
        "Reaction",
        "Button",
        "ButtonReply",
        "ListReply",
        "Flow",
        "CallPermission",
        "Order",
        "System",
        "Edit",
        "Revoke",
        "Unsupported",
        "Unknown",
    ] {
        assert!(seen.iter().any(|seen| seen == kind), "{kind}");
    }
}
