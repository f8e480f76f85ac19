//! What is refused here Meta refuses, and what is taken here Meta takes: by the simulator's rules, which know nothing of ours.

use outeract_clock::{Random as _, SeededRandom};
use outeract_domain::{Content, PhoneNumberId, Recipient};
use outeract_events::content::template_from_proto;
use outeract_graph::{Client, Outcome, Token, wire};
use outeract_proto::messaging::v1::template_button::Kind as Button;
use outeract_proto::messaging::v1::template_header::Kind as Header;
use outeract_proto::messaging::v1::{
    Catalog, LocationContent, SendMessageRequest, TemplateButton, TemplateCard, TemplateContent, TemplateDocument,
    TemplateFlow, TemplateHeader, TemplateParameter, ValidateMessageRequest,
};
use prost_types::Timestamp;

use super::given::{button, named, picture, spring_offer, texts, whole};
use super::*;

/// Chooses at random, always the same.
struct Chance(SeededRandom);

impl Chance {
    /// Below `bound`.
    fn below(&self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % bound as u64) as usize
    }

    fn text(&self) -> String {
        let length = match self.below(12) {
            0 => 45 + self.below(20),
            1 => 140 + self.below(40),
            2 => 900 + self.below(124),
            _ => 1 + self.below(8),
        };
        "é".repeat(length)
    }

    fn parameter(&self) -> TemplateParameter {
        let mut parameter = named(
            ["", "", "order_id", "customer_name", "delivery_date"][self.below(5)],
            &self.text(),
        );
        if self.below(20) == 0 {
            parameter.value = None;
        }
        parameter
    }

    fn header(&self) -> Option<TemplateHeader> {
        let kind = match self.below(7) {
            0 => return None,
            1 => Header::Video(picture()),
            2 => Header::Document(TemplateDocument {
                media: Some(picture()),
                filename: String::new(),
            }),
            3 => Header::Location(LocationContent {
                latitude: 1.0,
                longitude: 1.0,
                name: "Here".to_owned(),
                address: "Street".to_owned(),
            }),
            4 => Header::Image(picture()),
            _ => Header::Text(self.parameter()),
        };
        Some(TemplateHeader { kind: Some(kind) })
    }

    fn button(&self) -> TemplateButton {
        let kind = match self.below(5) {
            0 => Button::QuickReplyPayload("a".to_owned()),
            1 => Button::CouponCode("CODE".to_owned()),
            2 => Button::Flow(TemplateFlow::default()),
            3 => Button::Catalog(Catalog::default()),
            _ => Button::UrlSuffix("a".repeat([1, 1, 1_980, 2_000][self.below(4)])),
        };
        button(self.below(5) as i32, kind)
    }

    fn card(&self) -> TemplateCard {
        TemplateCard {
            header: self.header(),
            body: (0..self.below(4)).map(|_| self.parameter()).collect(),
            buttons: (0..self.below(3)).map(|_| self.button()).collect(),
        }
    }

    /// Changes something.
    fn spoil(&self, content: &mut TemplateContent) {
        match self.below(12) {
            0 => content.header = self.header(),
            1 => content.body.push(self.parameter()),
            2 => drop(content.body.pop()),
            3 | 4 if !content.body.is_empty() => {
                let place = self.below(content.body.len());
                content.body[place] = named(&content.body[place].name.clone(), &self.text());
            }
            5 => content.body.reverse(),
            6 => content.buttons.push(self.button()),
            7 => drop(content.buttons.pop()),
            8 if !content.buttons.is_empty() => {
                let place = self.below(content.buttons.len());
                content.buttons[place] = self.button();
            }
            9 if !content.cards.is_empty() => {
                let place = self.below(content.cards.len());
                content.cards[place] = self.card();
            }
            9 => content.cards.push(self.card()),
            10 => drop(content.cards.pop()),
            11 => ["", "123456"][self.below(2)].clone_into(&mut content.one_time_code),
            _ => {
                let time = Timestamp {
                    seconds: 4_000_000_000,
                    nanos: 0,
                };
                content.offer_expire_time = [None, Some(time)][self.below(2)];
            }
        }
    }
}

/// One that fits for each of the account's templates.
fn fitting() -> [TemplateContent; DEFAULTS] {
    let of = |name: &str, body: Vec<TemplateParameter>| TemplateContent {
        name: name.to_owned(),
        language_code: "en_US".to_owned(),
        body,
        ..TemplateContent::default()
    };
    let header = |kind| Some(TemplateHeader { kind: Some(kind) });
    let card = || TemplateCard {
        header: header(Header::Image(picture())),
        body: texts(&["Lemons", "$1"]),
        buttons: vec![button(1, Button::UrlSuffix("lemons".to_owned()))],
    };
    [
        of("hello_world", vec![]),
        of("order_confirmation", texts(&["John", "#1"])),
        TemplateContent {
            one_time_code: "123456".to_owned(),
            ..of("verification_code", vec![])
        },
        spring_offer(),
        TemplateContent {
            cards: vec![card(), card()],
            ..of("new_arrivals", texts(&["Ann"]))
        },
        TemplateContent {
            header: header(Header::Text(named("order_id", "7"))),
            ..of(
                "delivery_update",
                vec![named("customer_name", "Ann"), named("delivery_date", "Monday")],
            )
        },
        TemplateContent {
            header: header(Header::Image(picture())),
            buttons: vec![
                button(0, Button::CouponCode("SALE25".to_owned())),
                button(1, Button::UrlSuffix("SALE25".to_owned())),
            ],
            offer_expire_time: Some(Timestamp {
                seconds: 4_000_000_000,
                nanos: 0,
            }),
            ..of("flash_sale", texts(&["Ann", "SALE25"]))
        },
    ]
}

#[tokio::test]
async fn what_is_taken_here_meta_takes_and_what_is_refused_here_meta_refuses() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    suite.templates_known().await;
    let number = &suite.numbers[0];
    let (token, proof) = suite.siblings.state.tokens.lock().expect("tokens")[&number.connection.uuid()].clone();
    let token = Token::with_proof(token.into(), proof);
    let http = outeract_egress::Client::new(&outeract_egress::Config::default()).expect("a client");
    let meta = Client::new(http, &format!("http://{}", suite.meta_address()), "v25.0");
    let from: PhoneNumberId = number.id.parse().expect("an id");
    let to: Recipient = "+14155551234".parse().expect("a recipient");

    let chance = Chance(SeededRandom::new(3));
    let (mut taken, mut refused) = (0, 0);
    for case in 0..700 {
        let mut content = fitting()[case % DEFAULTS].clone();
        for _ in 0..case / DEFAULTS % 4 {
            chance.spoil(&mut content);
        }
        // Those that break the limits of any template are not meant here.
        let Ok(template) = template_from_proto(content.clone()) else {
            continue;
        };
        let message = SendMessageRequest {
            idempotency_key: String::new(),
            ..whole(number, content.clone())
        };
        let validate = ValidateMessageRequest { message: Some(message) };
        let ours = client.validate_message(validate).await.expect("an answer").into_inner();
        let template = Content::Template(Box::new(template));
        let body = wire::Message::new(&to, &template, None, "agree")
            .expect("no files")
            .to_json();
        let theirs = meta.send_message(&token, &from, body).await;
        match theirs {
            Outcome::Accepted { .. } => taken += 1,
            Outcome::Rejected(_) => refused += 1,
            Outcome::NeverSent(_) | Outcome::Unknown { .. } => panic!("no clear answer"),
        }
        let theirs = match theirs {
            Outcome::Rejected(error) => Some((error.code, error.details)),
            _ => None,
        };
        let paths: Vec<_> = ours.field_violations.iter().map(|violation| &violation.field).collect();
        assert_eq!(
            ours.storable,
            theirs.is_none(),
            "case {case}: here {paths:?}, at Meta {theirs:?}: {content:#?}"
        );
    }
    assert!(taken > 150 && refused > 150, "{taken} taken, {refused} refused");
}
