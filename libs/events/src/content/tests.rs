use outeract_domain::content::Check;
use outeract_domain::{Content, Violation};
use outeract_proto::messaging::v1::interactive_content::Action;
use outeract_proto::messaging::v1::media::Source;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::template_parameter::Value;
use outeract_proto::messaging::v1::*;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::sample::Sampler;

fn of(kind: Kind) -> Result<Content, Vec<Violation>> {
    from_proto(Some(MessageContent { kind: Some(kind) }))
}

fn paths(kind: Kind) -> Vec<String> {
    let violations = of(kind).expect_err("broken");
    violations.into_iter().map(|violation| violation.path).collect()
}

fn row(id: &str, title: &str) -> ListRow {
    ListRow {
        id: id.to_owned(),
        title: title.to_owned(),
        description: String::new(),
    }
}

fn text_parameter(name: &str, text: &str) -> TemplateParameter {
    TemplateParameter {
        name: name.to_owned(),
        value: Some(Value::Text(text.to_owned())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn valid_contents_round_trip_and_equal_ones_have_equal_bytes(seed: u64) {
        let given = Sampler::valid(seed).content();
        let content = from_proto(Some(given)).expect("valid");
        let written = to_proto(&content);
        let bytes = written.encode_to_vec();
        let read = MessageContent::decode(bytes.as_slice()).expect("decodes");
        let again = from_proto(Some(read)).expect("still valid");
        prop_assert_eq!(&again, &content);
        prop_assert_eq!(to_proto(&again).encode_to_vec(), bytes);
        prop_assert!(content.bytes() > 0);
    }

    #[test]
    fn whatever_is_given_is_accepted_or_told_where_it_breaks(seed: u64) {
        let given = Sampler::any(seed).content();
        if let Err(violations) = from_proto(Some(given)) {
            prop_assert!((1..=32).contains(&violations.len()));
            prop_assert!(violations.iter().all(|violation| !violation.path.is_empty() && !violation.description.is_empty()));
        }
    }

    #[test]
    fn whatever_stands_in_a_vcard_there_is_no_panic(
        lines in prop::collection::vec(
            prop_oneof![
                Just("BEGIN:VCARD".to_owned()), Just("END:VCARD".to_owned()), Just("VERSION:4.0".to_owned()),
                Just("BEGIN:VEVENT".to_owned()), "(FN|N|TEL|ADR|BDAY|URL|ORG)(;TYPE=[a-z,\"]{0,9})?:.{0,20}", ".{0,30}",
            ],
            0..30,
        ),
    ) {
        let vcard = lines.join("\r\n");
        let _ = of(Kind::Contacts(ContactsContent { vcard, ..ContactsContent::default() }));
    }
}

#[test]
fn missing_kinds_and_broken_limits_name_their_field() {
    assert_eq!(from_proto(None).expect_err("none")[0].path, "kind");
    let unset = MessageContent { kind: None };
    assert_eq!(from_proto(Some(unset)).expect_err("unknown kind")[0].path, "kind");
    let long = Kind::Text(TextContent {
        body: "a".repeat(4_097),
        preview_url: None,
    });
    assert_eq!(paths(long), ["text.body"]);
    let unset = Kind::Image(ImageContent {
        media: Some(Media { source: None }),
        caption: "a".repeat(1_025),
    });
    assert_eq!(paths(unset), ["image.media", "image.caption"]);
    let link = Some(Source::Link("http://example.com".to_owned()));
    let plain = Kind::Sticker(StickerContent {
        media: Some(Media { source: link }),
    });
    assert_eq!(paths(plain), ["sticker.media.link"]);
    assert_eq!(paths(Kind::Video(VideoContent::default())), ["video.media"]);
}

#[test]
fn everything_that_breaks_a_limit_in_a_list_is_told_at_once() {
    let section = |title: &str, rows: Vec<ListRow>| ListSection {
        title: title.to_owned(),
        rows,
    };
    let list = ListMenu {
        button: String::new(),
        sections: vec![
            section("One", vec![row("a", "A"), row("b", "")]),
            section("", vec![row("a", &"x".repeat(25)), row("", "D")]),
            section("Three", vec![]),
        ],
    };
    let broken = Kind::Interactive(InteractiveContent {
        header: Some(InteractiveHeader {
            kind: Some(interactive_header::Kind::Image(Media { source: None })),
        }),
        body: "a".repeat(4_097),
        footer: "f".repeat(61),
        action: Some(Action::List(list)),
    });
    assert_eq!(
        paths(broken),
        [
            "interactive.header.image",
            "interactive.list.sections[0].rows[1].title",
            "interactive.list.sections[1].rows[0].title",
            "interactive.list.sections[1].rows[1].id",
            "interactive.list.sections[2].rows",
            "interactive.list.button",
            "interactive.list.sections[1].title",
            "interactive.list.sections[1].rows[0].id",
            "interactive.body",
            "interactive.footer",
        ]
    );
}

#[test]
fn everything_that_breaks_a_limit_in_a_template_is_told_at_once() {
    let broken = Kind::Template(TemplateContent {
        name: "Order".to_owned(),
        language_code: "en-US".to_owned(),
        header: Some(TemplateHeader {
            kind: Some(template_header::Kind::Text(text_parameter("", &"x".repeat(61)))),
        }),
        body: vec![
            text_parameter("a", "John"),
            text_parameter("", "two\nlines"),
            text_parameter("a", ""),
        ],
        buttons: vec![
            TemplateButton {
                index: 10,
                kind: Some(template_button::Kind::CouponCode("x".repeat(21))),
            },
            TemplateButton { index: 1, kind: None },
        ],
        cards: vec![TemplateCard::default()],
        one_time_code: "1".repeat(16),
        tap_target: Some(TapTarget::default()),
        ..TemplateContent::default()
    });
    assert_eq!(
        paths(broken),
        [
            "template.header.text.text",
            "template.body[1].text",
            "template.body[2].text",
            "template.buttons[0].coupon_code",
            "template.buttons[0].index",
            "template.buttons[1]",
            "template.cards[0].header",
            "template.tap_target.url",
            "template.tap_target.title",
            "template.name",
            "template.language_code",
            "template.body",
            "template.body[2].name",
            "template.one_time_code",
            "template.body",
            "template.buttons",
        ]
    );
}

#[test]
fn cards_come_structured_or_as_vcards_never_both() {
    let vcard = include_str!("vcard/four.vcf");
    let both = Kind::Contacts(ContactsContent {
        contacts: vec![ContactCard::default()],
        vcard: vcard.to_owned(),
    });
    assert_eq!(paths(both), ["contacts"]);
    assert_eq!(paths(Kind::Contacts(ContactsContent::default())), ["contacts.contacts"]);
    let of_vcard = |vcard: String| {
        Kind::Contacts(ContactsContent {
            vcard,
            ..ContactsContent::default()
        })
    };
    assert_eq!(paths(of_vcard("hello".to_owned())), ["contacts.vcard"]);
    let content = of(of_vcard(vcard.to_owned())).expect("valid");
    let Content::Contacts(contacts) = &content else {
        panic!("{content:?}")
    };
    assert_eq!(contacts.cards()[1].name().formatted(), "Ana Silva");
    // What is stored is the structured form.
    assert_eq!(from_proto(Some(to_proto(&content))), Ok(content));
    let long = vcard
        .replace("Ana Silva", &"x".repeat(251))
        .replace("Lisboa", &"y".repeat(251));
    assert_eq!(
        paths(of_vcard(long)),
        [
            "contacts.vcard[0].addresses[0].city",
            "contacts.vcard[1].name.formatted_name"
        ]
    );
}

#[test]
fn a_template_by_itself_has_paths_of_its_own() {
    let given = TemplateContent {
        name: "order".to_owned(),
        ..TemplateContent::default()
    };
    let violations = template_from_proto(given.clone()).expect_err("no language");
    assert_eq!(violations[0].path, "language_code");
    let given = TemplateContent {
        language_code: "de".to_owned(),
        ..given
    };
    let template = template_from_proto(given.clone()).expect("valid");
    assert_eq!(template_to_proto(&template), given);
}

#[test]
fn data_of_a_flow_is_finite_and_not_too_deep() {
    let flow = |data: prost_types::Struct| {
        Kind::Interactive(InteractiveContent {
            body: "Book".to_owned(),
            action: Some(Action::Flow(Flow {
                flow_id: "1".to_owned(),
                call_to_action: "Book".to_owned(),
                screen: "FIRST".to_owned(),
                data: Some(data),
                ..Flow::default()
            })),
            ..InteractiveContent::default()
        })
    };
    let value = |kind| prost_types::Value { kind: Some(kind) };
    let of_value = |inner: prost_types::Value| prost_types::Struct {
        fields: [("key".to_owned(), inner)].into(),
    };
    let nested = |levels: usize| {
        let inner = value(prost_types::value::Kind::BoolValue(true));
        (1..levels).fold(of_value(inner), |inner, _| {
            of_value(value(prost_types::value::Kind::StructValue(inner)))
        })
    };
    assert!(of(flow(nested(16))).is_ok());
    assert_eq!(paths(flow(nested(17))), ["interactive.flow.data"]);
    let odd = of_value(value(prost_types::value::Kind::NumberValue(f64::NAN)));
    assert_eq!(paths(flow(odd)), ["interactive.flow.data"]);
    let empty = of(flow(prost_types::Struct::default())).expect("as good as none");
    assert_eq!(to_proto(&empty), to_proto(&of(flow_without_data()).expect("valid")));
}

fn flow_without_data() -> Kind {
    Kind::Interactive(InteractiveContent {
        body: "Book".to_owned(),
        action: Some(Action::Flow(Flow {
            flow_id: "1".to_owned(),
            call_to_action: "Book".to_owned(),
            screen: "FIRST".to_owned(),
            ..Flow::default()
        })),
        ..InteractiveContent::default()
    })
}

#[test]
fn a_check_that_makes_nothing_says_so() {
    let made = Check::of(|check| check.refuse::<()>("a", "is odd"));
    assert_eq!(made, Err(vec![Violation::new("a", "is odd")]));
}
