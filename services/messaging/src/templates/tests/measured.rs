//! Lengths with everything filled in.

use outeract_proto::messaging::v1::template_header::Kind as Header;
use outeract_proto::messaging::v1::template_parameter::Value as Parameter;
use outeract_proto::messaging::v1::{TemplateCard, TemplateContent, TemplateCurrency, TemplateParameter};

use super::given::{fits, full, header, paths, picture, suffix, text, texts};
use super::*;

#[test]
fn texts_are_measured_with_everything_filled_in() {
    let body = |fixed: usize, length: usize| {
        let definition =
            utility(&json!([{"type": "BODY", "text": format!("{}{{{{1}}}}{{{{1}}}}", "é".repeat(fixed))}]));
        paths(
            &definition,
            TemplateContent {
                body: texts(&[&"😀".repeat(length)]),
                ..TemplateContent::default()
            },
        )
    };
    assert_eq!(body(24, 500), [""; 0]);
    assert_eq!(body(25, 500), ["body"]);

    let head = |length: usize| {
        paths(
            &positional(),
            TemplateContent {
                header: header(Header::Text(text(&"a".repeat(length)))),
                ..full()
            },
        )
    };
    assert_eq!(head(60 - "Our  is on!".len()), [""; 0]);
    assert_eq!(head(61 - "Our  is on!".len()), ["header.text"]);

    let card = |length: usize| TemplateCard {
        header: header(Header::Image(picture())),
        body: texts(&[&"a".repeat(length)]),
        buttons: vec![suffix(1, "a")],
    };
    let content = TemplateContent {
        body: texts(&["Ann"]),
        cards: vec![card(160 - "Only !".len()), card(200)],
        ..TemplateContent::default()
    };
    assert_eq!(paths(&carousel(), content), ["cards[1].body"]);

    // Amounts and dates count as they are shown.
    let amounts = utility(&json!([{"type": "BODY", "text": format!("{}{{{{1}}}} {{{{2}}}}", "a".repeat(1_013))}]));
    let shown = |amount: &str| TemplateContent {
        body: vec![
            TemplateParameter {
                name: String::new(),
                value: Some(Parameter::Currency(TemplateCurrency {
                    fallback_value: amount.to_owned(),
                    code: "USD".to_owned(),
                    amount_1000: 1_000,
                })),
            },
            TemplateParameter {
                name: String::new(),
                value: Some(Parameter::DateTime("today".to_owned())),
            },
        ],
        ..TemplateContent::default()
    };
    fits(&amounts, shown("$1.00"));
    assert_eq!(paths(&amounts, shown("$10.00")), ["body"]);
}
