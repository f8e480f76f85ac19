//! What a caller sends beside what Meta reads: `wire/<name>.content.json` (a `SendMessageRequest`) and `wire/<name>.json`.

#![expect(clippy::expect_used, reason = "what is not as expected fails the test")]

mod golden;

use std::collections::BTreeSet;

use golden::pairs;

#[test]
fn meta_reads_what_a_caller_sends() {
    for pair in pairs() {
        assert_eq!(pair.written(), pair.expected, "{}", pair.name);
    }
}

#[test]
fn every_kind_and_every_action_has_a_pair() {
    let pairs = pairs();
    let kinds: BTreeSet<_> = pairs.iter().map(|pair| pair.content.kind()).collect();
    let all = [
        "audio",
        "contacts",
        "document",
        "image",
        "interactive",
        "location",
        "reaction",
        "sticker",
        "template",
        "text",
        "video",
    ];
    assert_eq!(kinds, BTreeSet::from(all));
    let actions: BTreeSet<_> = pairs
        .iter()
        .filter_map(|pair| pair.expected["interactive"]["type"].as_str())
        .collect();
    let all = [
        "button",
        "carousel",
        "catalog_message",
        "contact_request",
        "cta_url",
        "flow",
        "list",
        "location_request_message",
        "product",
        "product_list",
    ];
    assert_eq!(actions, BTreeSet::from(all));
}
