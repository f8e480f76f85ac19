//! The short form.

use outeract_proto::messaging::v1::PositionalParameter;

use super::*;
use crate::templates::{Filled, fill};

fn parameters(given: &[(&str, i32, &str)]) -> Vec<PositionalParameter> {
    let parameter = |(r#type, index, text): &(&str, i32, &str)| PositionalParameter {
        r#type: (*r#type).to_owned(),
        index: *index,
        text: (*text).to_owned(),
    };
    given.iter().map(parameter).collect()
}

fn filled(definition: &Definition, given: &[(&str, i32, &str)]) -> Filled {
    fill(definition, "name", "en_US", parameters(given)).expect("fits")
}

fn refused(definition: &Definition, given: &[(&str, i32, &str)]) -> Vec<String> {
    let violations = fill(definition, "name", "en_US", parameters(given)).expect_err("does not fit");
    violations.into_iter().map(|violation| violation.path).collect()
}

/// Fits the definition.
fn whole(definition: &Definition, filled: &Filled) {
    let template = outeract_events::content::template_from_proto(filled.content.clone()).expect("within the limits");
    assert_eq!(definition.check(&template), []);
}

#[test]
fn places_are_filled_by_their_numbers_in_any_order() {
    let seed = filled(
        &positional(),
        &[
            ("body", 2, "25OFF"),
            ("button", 1, "summer"),
            ("BODY", 1, "August"),
            ("header", 1, "Sale"),
            ("body", 3, "25%"),
            ("button", 2, "25OFF"),
            ("button", 0, "stop"),
        ],
    );
    whole(&positional(), &seed);
    let body = seed.content.body.iter().map(|parameter| parameter.value.clone());
    let texts: Vec<_> = body.map(|value| format!("{value:?}")).collect();
    assert!(
        texts[0].contains("August") && texts[1].contains("25OFF") && texts[2].contains("25%"),
        "{texts:?}"
    );
    let paths = [
        ("content.template.body[0].text", "parameters[2].text"),
        ("content.template.body[1]", "parameters[0].text"),
        ("content.template.header.text.text", "parameters[3].text"),
        ("content.template.buttons[0].quick_reply_payload", "parameters[6].text"),
        ("content.template.buttons[1].url_suffix", "parameters[1].text"),
        ("content.template.body[9]", "parameters"),
        ("content.template.cards", "parameters"),
        ("content.template.name", "template_name"),
        ("content.template.language_code", "language_code"),
        ("to_external_id", "to_external_id"),
    ];
    for (path, short) in paths {
        assert_eq!(seed.path(path), short, "{path}");
    }
}

#[test]
fn places_with_names_are_filled_in_the_order_of_the_text() {
    let seed = filled(&named(), &[("header", 1, "7"), ("body", 1, "Ann"), ("body", 2, "7")]);
    whole(&named(), &seed);
    let names: Vec<_> = seed
        .content
        .body
        .iter()
        .map(|parameter| parameter.name.as_str())
        .collect();
    assert_eq!(names, ["first_name", "order_id"]);
}

#[test]
fn a_one_time_code_is_given_once_or_twice_alike() {
    let definition = one_time_code();
    for given in [
        &[("body", 1, "123456")][..],
        &[("button", 0, "123456")],
        &[("button", 0, "123456"), ("body", 1, "123456")],
    ] {
        let seed = filled(&definition, given);
        whole(&definition, &seed);
        assert_eq!(seed.content.one_time_code, "123456");
    }
    let both = filled(&definition, &[("button", 0, "123456"), ("body", 1, "123456")]);
    assert_eq!(both.path("content.template.one_time_code"), "parameters[1].text");
    assert_eq!(refused(&definition, &[]), ["parameters"]);
    assert_eq!(
        refused(&definition, &[("body", 1, "1"), ("button", 0, "2")]),
        ["parameters[1].text"]
    );
    assert_eq!(
        refused(&definition, &[("header", 1, "a"), ("body", 2, "1"), ("button", 1, "2")]),
        [
            "parameters[0].type",
            "parameters[1].index",
            "parameters[2].index",
            "parameters"
        ]
    );
}

#[test]
fn a_flow_is_named_without_a_parameter() {
    let flow = utility(&json!([
        {"type": "BODY", "text": "Book"},
        {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY"}, {"type": "FLOW", "flow_id": 1}, {"type": "CATALOG"}]},
    ]));
    let seed = filled(&flow, &[]);
    whole(&flow, &seed);
    assert_eq!(seed.content.buttons.len(), 1);
    assert_eq!(seed.path("content.template.buttons[0]"), "parameters");
    let seed = filled(&flow, &[("button", 1, "token"), ("button", 2, "SKU1")]);
    whole(&flow, &seed);
    assert_eq!(seed.content.buttons.len(), 2);
}

#[test]
fn everything_wrong_is_told_at_once() {
    assert_eq!(
        refused(
            &positional(),
            &[
                ("footer", 1, "a"),
                ("body", 0, "a"),
                ("body", 2, "a"),
                ("body", 2, "b"),
                ("body", 4, "c"),
                ("header", 2, "d"),
                ("button", 9, "e"),
                ("button", -1, "f"),
            ]
        ),
        [
            "parameters[0].type",
            "parameters[1].index",
            "parameters[3].index",
            "parameters[7].index",
            "parameters[5].index",
            "parameters",
            "parameters",
            "parameters[4].index",
            "parameters",
            "parameters[6].index",
        ]
    );
    let media = utility(&json!([{"type": "HEADER", "format": "DOCUMENT"}, {"type": "BODY", "text": "a"}]));
    assert_eq!(refused(&media, &[]), ["parameters"]);
    let plain = utility(&json!([{"type": "HEADER", "format": "TEXT", "text": "a"}, {"type": "BODY", "text": "a"}]));
    assert_eq!(
        refused(&plain, &[("header", 1, "b"), ("body", 1, "b")]),
        ["parameters[0].type", "parameters[1].index"]
    );
    let many = vec![("body", 1, "a"); 257];
    assert_eq!(refused(&plain, &many), ["parameters"]);
    assert!(refused(&plain, &vec![("x", 1, "a"); 256]).len() == 32);
}

#[test]
fn a_definition_that_cannot_be_read_takes_parameters_as_they_come() {
    let unread = utility(&json!({}));
    let seed = filled(
        &unread,
        &[
            ("body", 1, "a"),
            ("body", 2, "b"),
            ("header", 1, "c"),
            ("button", 0, "d"),
        ],
    );
    assert_eq!((seed.content.body.len(), seed.content.buttons.len()), (2, 1));
    whole(&unread, &seed);
    assert_eq!(refused(&unread, &[("body", 2, "b")]), ["parameters[0].index"]);
}
