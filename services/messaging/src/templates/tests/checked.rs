//! The whole form.

use outeract_proto::messaging::v1::template_button::Kind as Button;
use outeract_proto::messaging::v1::template_header::Kind as Header;
use outeract_proto::messaging::v1::{
    Catalog, LocationContent, Product, ProductSection, TemplateCard, TemplateContent, TemplateDocument, TemplateFlow,
    TemplateProducts,
};
use prost_types::Timestamp;

use super::given::{button, coupon, fits, full, header, named_text, paths, picture, suffix, text, texts};
use super::*;

#[test]
fn numbered_places_are_counted() {
    fits(&positional(), full());
    let payload = button(0, Button::QuickReplyPayload("stop".to_owned()));
    fits(
        &positional(),
        TemplateContent {
            buttons: vec![coupon(2), payload.clone(), suffix(1, "summer")],
            ..full()
        },
    );
    let few = TemplateContent {
        body: texts(&["August"]),
        ..full()
    };
    assert_eq!(paths(&positional(), few), ["body[1]", "body[2]"]);
    let many = TemplateContent {
        body: texts(&["a", "b", "c", "d", "e"]),
        ..full()
    };
    assert_eq!(paths(&positional(), many), ["body[3]", "body[4]"]);
    let names = TemplateContent {
        header: header(Header::Text(named_text("1", "Sale"))),
        body: vec![named_text("a", "a"), named_text("b", "b"), named_text("c", "c")],
        ..full()
    };
    assert_eq!(
        paths(&positional(), names),
        ["header.text.name", "body[0].name", "body[1].name", "body[2].name"]
    );
    // All there is to say, at once.
    let nothing = paths(&positional(), TemplateContent::default());
    assert_eq!(
        nothing,
        ["header", "body[0]", "body[1]", "body[2]", "buttons", "buttons"]
    );
}

#[test]
fn named_places_are_filled_by_name_in_any_order() {
    let good = TemplateContent {
        header: header(Header::Text(named_text("order_id", "7"))),
        body: vec![named_text("order_id", "7"), named_text("first_name", "Ann")],
        ..TemplateContent::default()
    };
    fits(&named(), good.clone());
    let unknown = TemplateContent {
        body: vec![named_text("order", "7"), named_text("first_name", "Ann")],
        ..good.clone()
    };
    assert_eq!(paths(&named(), unknown), ["body[0].name", "body"]);
    let unnamed = TemplateContent {
        header: header(Header::Text(text("7"))),
        body: texts(&["Ann", "7"]),
        ..good
    };
    assert_eq!(
        paths(&named(), unnamed),
        ["header.text.name", "body[0].name", "body[1].name", "body", "body"]
    );
}

#[test]
fn every_header_is_of_its_kind() {
    let location = LocationContent {
        latitude: 1.0,
        longitude: 2.0,
        name: "Here".to_owned(),
        address: "Street".to_owned(),
    };
    let kinds = [
        ("IMAGE", Header::Image(picture())),
        ("VIDEO", Header::Video(picture())),
        (
            "DOCUMENT",
            Header::Document(TemplateDocument {
                media: Some(picture()),
                filename: "a.pdf".to_owned(),
            }),
        ),
        ("LOCATION", Header::Location(location)),
        (
            "PRODUCT",
            Header::Product(Product {
                catalog_id: "1".to_owned(),
                product_retailer_id: "SKU".to_owned(),
            }),
        ),
    ];
    for (format, _) in &kinds {
        let definition = utility(&json!([{"type": "HEADER", "format": format}, {"type": "BODY", "text": "Hi"}]));
        for (given, kind) in &kinds {
            let content = TemplateContent {
                header: header(kind.clone()),
                ..TemplateContent::default()
            };
            let expected: &[&str] = if given == format { &[] } else { &["header"] };
            assert_eq!(paths(&definition, content), expected, "{given} for {format}");
        }
        assert_eq!(paths(&definition, TemplateContent::default()), ["header"], "{format}");
    }
    let none = utility(&json!([{"type": "BODY", "text": "Hi"}]));
    let plain =
        utility(&json!([{"type": "HEADER", "format": "TEXT", "text": "Hello"}, {"type": "BODY", "text": "Hi"}]));
    let unknown = utility(&json!([{"type": "HEADER", "format": "HOLOGRAM"}, {"type": "BODY", "text": "Hi"}]));
    let content = |kind| TemplateContent {
        header: header(kind),
        ..TemplateContent::default()
    };
    for definition in [&none, &plain] {
        fits(definition, TemplateContent::default());
        assert_eq!(paths(definition, content(Header::Text(text("a")))), ["header"]);
        assert_eq!(paths(definition, content(Header::Image(picture()))), ["header"]);
    }
    fits(&unknown, content(Header::Image(picture())));
    fits(&unknown, TemplateContent::default());
}

#[test]
fn every_button_takes_its_own_and_nothing_else() {
    let products = || {
        Button::Products(TemplateProducts {
            thumbnail_product_retailer_id: "SKU".to_owned(),
            sections: vec![ProductSection {
                title: "All".to_owned(),
                product_retailer_ids: vec!["SKU".to_owned()],
            }],
        })
    };
    let kinds = [
        ("QUICK_REPLY", Some(Button::QuickReplyPayload("a".to_owned()))),
        ("URL", Some(Button::UrlSuffix("a".to_owned()))),
        ("COPY_CODE", Some(Button::CouponCode("a".to_owned()))),
        ("FLOW", Some(Button::Flow(TemplateFlow::default()))),
        ("CATALOG", Some(Button::Catalog(Catalog::default()))),
        ("MPM", Some(products())),
        ("PHONE_NUMBER", None),
        ("SPM", None),
        ("VOICE_CALL", None),
    ];
    let required = ["URL", "COPY_CODE", "FLOW", "MPM"];
    for (kind, _) in &kinds {
        let definition = utility(&json!([
            {"type": "BODY", "text": "Hi"},
            {"type": "BUTTONS", "buttons": [{"type": kind, "url": "https://e.example/{{1}}"}]},
        ]));
        for (given, what) in &kinds {
            let Some(what) = what else { continue };
            let content = TemplateContent {
                buttons: vec![button(0, what.clone())],
                ..TemplateContent::default()
            };
            assert_eq!(
                paths(&definition, content).is_empty(),
                kind == given,
                "{given} for {kind}"
            );
        }
        let absent = paths(&definition, TemplateContent::default());
        assert_eq!(absent.is_empty(), !required.contains(kind), "{kind}");
    }
}

#[test]
fn buttons_are_named_by_their_places() {
    let content = TemplateContent {
        buttons: vec![suffix(2, "a"), coupon(1), suffix(3, "a"), suffix(4, "a")],
        ..full()
    };
    assert_eq!(
        paths(&positional(), content),
        [
            "buttons[0].url_suffix",
            "buttons[1].coupon_code",
            "buttons[2].url_suffix",
            "buttons[3].index"
        ]
    );
    let still = utility(&json!([
        {"type": "BODY", "text": "Hi"},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "url": "https://e.example"}, {"type": "HOLOGRAM"}]},
    ]));
    let content = TemplateContent {
        buttons: vec![suffix(0, "a"), coupon(1)],
        ..TemplateContent::default()
    };
    assert_eq!(paths(&still, content), ["buttons[0].url_suffix"]);
    fits(&still, TemplateContent::default());
}

#[test]
fn a_one_time_code_stands_alone() {
    let code = |code: &str| TemplateContent {
        one_time_code: code.to_owned(),
        ..TemplateContent::default()
    };
    fits(&one_time_code(), code("123456"));
    assert!(one_time_code().is_one_time_code() && !positional().is_one_time_code());
    let other = TemplateContent {
        header: header(Header::Image(picture())),
        body: texts(&["123456"]),
        buttons: vec![suffix(0, "123456")],
        ..TemplateContent::default()
    };
    assert_eq!(
        paths(&one_time_code(), other),
        ["one_time_code", "header", "body", "buttons"]
    );
    let wrong = utility(&json!([{"type": "BODY", "text": "Hi"}]));
    assert_eq!(paths(&wrong, code("1")), ["one_time_code"]);
    // Meta may call it something else; the button tells.
    let disguised = utility(&json!([
        {"type": "BODY", "text": "{{1}} is your code."},
        {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "ZERO_TAP"}]},
    ]));
    fits(&disguised, code("123456"));
}

#[test]
fn a_carousel_has_as_many_cards_as_were_approved() {
    let card = |price: &str| TemplateCard {
        header: header(Header::Image(picture())),
        body: texts(&[price]),
        buttons: vec![suffix(1, "a")],
    };
    let content = |cards| TemplateContent {
        body: texts(&["Ann"]),
        cards,
        ..TemplateContent::default()
    };
    fits(&carousel(), content(vec![card("$1"), card("$2")]));
    assert_eq!(paths(&carousel(), content(vec![card("$1")])), ["cards"]);
    assert_eq!(paths(&carousel(), content(vec![])), ["cards"]);
    let odd = TemplateCard {
        header: header(Header::Video(picture())),
        body: vec![],
        buttons: vec![suffix(0, "a")],
    };
    assert_eq!(
        paths(&carousel(), content(vec![card("$1"), odd, card("$3")])),
        [
            "cards",
            "cards[1].header",
            "cards[1].body[0]",
            "cards[1].buttons[0].url_suffix",
            "cards[1].buttons"
        ]
    );
    let none = TemplateContent {
        cards: vec![card("$1")],
        ..full()
    };
    assert_eq!(paths(&positional(), none), ["cards"]);
}

#[test]
fn a_limited_offer_says_when_it_ends() {
    let content = TemplateContent {
        header: header(Header::Image(picture())),
        body: texts(&["Ann", "CARIBE25"]),
        buttons: vec![coupon(0), suffix(1, "a")],
        offer_expire_time: Some(Timestamp {
            seconds: 1_900_000_000,
            nanos: 0,
        }),
        ..TemplateContent::default()
    };
    fits(&limited_time_offer(), content.clone());
    let endless = TemplateContent {
        offer_expire_time: None,
        ..content.clone()
    };
    assert_eq!(paths(&limited_time_offer(), endless), ["offer_expire_time"]);
    let none = TemplateContent {
        offer_expire_time: content.offer_expire_time,
        ..full()
    };
    assert_eq!(paths(&positional(), none), ["offer_expire_time"]);
}

#[test]
fn a_definition_that_cannot_be_read_is_left_to_meta() {
    let unread = utility(&json!({"not": "an array"}));
    assert_eq!(unread.parts(), None);
    fits(&unread, full());
}
