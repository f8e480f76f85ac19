mod parameter;

use outeract_domain::content::template::{self, Button, ButtonKind, Card as DomainCard};
use serde::Serialize;

use super::Unresolved;
use super::interactive::{Section, UNUSED};
use super::json::Data;
use parameter::{Act, Parameter};

/// The value of `template`.
#[derive(Serialize)]
pub(super) struct Template<'a> {
    name: &'a str,
    language: Language<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<Component<'a>>,
}

#[derive(Serialize)]
struct Language<'a> {
    code: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Component<'a> {
    Header {
        parameters: [Parameter<'a>; 1],
    },
    Body {
        parameters: Vec<Parameter<'a>>,
    },
    Button {
        sub_type: &'static str,
        index: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        parameters: Option<[Parameter<'a>; 1]>,
    },
    LimitedTimeOffer {
        parameters: [Parameter<'a>; 1],
    },
    Carousel {
        cards: Vec<Card<'a>>,
    },
    TapTargetConfiguration {
        parameters: [Parameter<'a>; 1],
    },
}

#[derive(Serialize)]
struct Card<'a> {
    card_index: usize,
    components: Vec<Component<'a>>,
}

// === impl Template ===

impl<'a> Template<'a> {
    pub(super) fn new(template: &'a template::Template) -> Result<Self, Unresolved> {
        let mut components = Vec::new();
        components.extend(template.header().map(Component::header).transpose()?);
        components.extend(Component::body(template.body()));
        if let Some(at) = template.offer_expires_at() {
            components.push(Component::LimitedTimeOffer {
                parameters: [Parameter::offer(at)],
            });
        }
        components.extend(template.buttons().iter().map(Component::button));
        if let Some(code) = template.one_time_code() {
            components.extend(Component::one_time_code(code));
        }
        if !template.cards().is_empty() {
            let cards = template.cards().iter().enumerate();
            let cards: Result<_, _> = cards.map(|(index, card)| Card::new(index, card)).collect();
            components.push(Component::Carousel { cards: cards? });
        }
        if let Some(target) = template.tap_target() {
            components.push(Component::TapTargetConfiguration {
                parameters: [Parameter::tap_target(target)],
            });
        }
        Ok(Self {
            name: template.name(),
            language: Language {
                code: template.language(),
            },
            components,
        })
    }
}

// === impl Component ===

impl<'a> Component<'a> {
    fn header(header: &'a template::Header) -> Result<Self, Unresolved> {
        Ok(Self::Header {
            parameters: [Parameter::of_header(header)?],
        })
    }

    fn body(parameters: &'a [template::Parameter]) -> Option<Self> {
        (!parameters.is_empty()).then(|| Self::Body {
            parameters: parameters.iter().map(Parameter::new).collect(),
        })
    }

    /// An authentication template's body and its button, whatever the button does: both hold the code.
    fn one_time_code(code: &'a str) -> [Self; 2] {
        let body = Self::Body {
            parameters: vec![Parameter::text(code)],
        };
        let button = Self::Button {
            sub_type: "url",
            index: "0".to_owned(),
            parameters: Some([Parameter::text(code)]),
        };
        [body, button]
    }

    fn button(button: &'a Button) -> Self {
        let (sub_type, parameter) = match button.kind() {
            ButtonKind::QuickReply(payload) => ("quick_reply", Some(Parameter::Payload { payload })),
            ButtonKind::UrlSuffix(suffix) => ("url", Some(Parameter::text(suffix))),
            ButtonKind::CouponCode(code) => ("copy_code", Some(Parameter::CouponCode { coupon_code: code })),
            ButtonKind::Flow(flow) => {
                let action = Act::Flow {
                    flow_token: flow.token().unwrap_or(UNUSED),
                    flow_action_data: flow.data().map(Data),
                };
                ("flow", Some(Parameter::Action { action }))
            }
            ButtonKind::Catalog(catalog) => {
                let thumbnail = catalog.thumbnail_product_retailer_id();
                ("catalog", thumbnail.map(|id| Parameter::products(id, None)))
            }
            ButtonKind::Products(products) => {
                let sections = products.sections().iter().map(Section::new).collect();
                let thumbnail = products.thumbnail_product_retailer_id();
                ("mpm", Some(Parameter::products(thumbnail, Some(sections))))
            }
        };
        Self::Button {
            sub_type,
            index: button.index().to_string(),
            parameters: parameter.map(|parameter| [parameter]),
        }
    }
}

// === impl Card ===

impl<'a> Card<'a> {
    fn new(index: usize, card: &'a DomainCard) -> Result<Self, Unresolved> {
        let mut components = vec![Component::header(card.header())?];
        components.extend(Component::body(card.body()));
        components.extend(card.buttons().iter().map(Component::button));
        Ok(Self {
            card_index: index,
            components,
        })
    }
}
