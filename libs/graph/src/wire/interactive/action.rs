use outeract_domain::content::interactive::{
    self, Catalog, Flow, FlowStart, ListMenu, ListRow, ListSection, Product, ProductSection, ReplyButton, UrlButton,
};
use serde::Serialize;

use super::carousel::Card;
use crate::wire::Unresolved;
use crate::wire::json::Data;

/// What Meta takes for a flow's token where a caller gives none.
pub(in crate::wire) const UNUSED: &str = "unused";

/// The value of `action`: which keys it has tells what it is.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Action<'a> {
    Replies {
        buttons: Vec<Reply<'a>>,
    },
    List {
        button: &'a str,
        sections: Vec<Rows<'a>>,
    },
    Named {
        name: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        parameters: Option<Parameters<'a>>,
    },
    Product {
        catalog_id: &'a str,
        product_retailer_id: &'a str,
    },
    Products {
        catalog_id: &'a str,
        sections: Vec<Section<'a>>,
    },
    Cards {
        cards: Vec<Card<'a>>,
    },
}

#[derive(Serialize)]
pub(super) struct Reply<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    reply: IdAndTitle<'a>,
}

#[derive(Serialize)]
pub(super) struct IdAndTitle<'a> {
    id: &'a str,
    title: &'a str,
}

#[derive(Serialize)]
pub(super) struct Rows<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    rows: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

/// A section of products, here and in templates.
#[derive(Serialize)]
pub(in crate::wire) struct Section<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    product_items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    product_retailer_id: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Parameters<'a> {
    Url {
        display_text: &'a str,
        url: &'a str,
    },
    Catalog {
        thumbnail_product_retailer_id: &'a str,
    },
    Flow {
        flow_message_version: &'static str,
        flow_token: &'a str,
        flow_id: &'a str,
        flow_cta: &'a str,
        flow_action: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        flow_action_payload: Option<Payload<'a>>,
        mode: &'static str,
    },
}

#[derive(Serialize)]
pub(super) struct Payload<'a> {
    screen: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

// === impl Action ===

impl<'a> Action<'a> {
    pub(super) fn new(action: &'a interactive::Action) -> Result<Self, Unresolved> {
        Ok(match action {
            interactive::Action::ReplyButtons(replies) => Self::Replies {
                buttons: replies.buttons().iter().map(Reply::new).collect(),
            },
            interactive::Action::List(list) => Self::list(list),
            interactive::Action::UrlButton(button) => Self::url(button),
            interactive::Action::LocationRequest => Self::named("send_location", None),
            interactive::Action::ContactRequest => Self::named("request_contact_info", None),
            interactive::Action::Flow(flow) => Self::named("flow", Some(Parameters::flow(flow))),
            interactive::Action::Product(product) => Self::product(product),
            interactive::Action::ProductList(list) => Self::Products {
                catalog_id: list.catalog_id(),
                sections: list.sections().iter().map(Section::new).collect(),
            },
            interactive::Action::Catalog(catalog) => Self::named("catalog_message", Parameters::catalog(catalog)),
            interactive::Action::Carousel(carousel) => {
                let cards = carousel.cards().iter().enumerate();
                let cards: Result<_, _> = cards.map(|(index, card)| Card::new(index, card)).collect();
                Self::Cards { cards: cards? }
            }
        })
    }

    /// A button that opens a web page, here and on a card.
    pub(super) fn url(button: &'a UrlButton) -> Self {
        let parameters = Parameters::Url {
            display_text: button.display_text(),
            url: button.url(),
        };
        Self::named("cta_url", Some(parameters))
    }

    fn list(list: &'a ListMenu) -> Self {
        Self::List {
            button: list.button(),
            sections: list.sections().iter().map(Rows::new).collect(),
        }
    }

    fn product(product: &'a Product) -> Self {
        Self::Product {
            catalog_id: product.catalog_id(),
            product_retailer_id: product.product_retailer_id(),
        }
    }

    fn named(name: &'static str, parameters: Option<Parameters<'a>>) -> Self {
        Self::Named { name, parameters }
    }
}

// === impl Reply, IdAndTitle, Rows, Row, Section ===

impl<'a> Reply<'a> {
    fn new(button: &'a ReplyButton) -> Self {
        Self {
            kind: "reply",
            reply: IdAndTitle::new(button),
        }
    }
}

impl<'a> IdAndTitle<'a> {
    pub(super) fn new(button: &'a ReplyButton) -> Self {
        Self {
            id: button.id(),
            title: button.title(),
        }
    }
}

impl<'a> Rows<'a> {
    fn new(section: &'a ListSection) -> Self {
        Self {
            title: section.title(),
            rows: section.rows().iter().map(Row::new).collect(),
        }
    }
}

impl<'a> Row<'a> {
    fn new(row: &'a ListRow) -> Self {
        Self {
            id: row.id(),
            title: row.title(),
            description: row.description(),
        }
    }
}

impl<'a> Section<'a> {
    pub(in crate::wire) fn new(section: &'a ProductSection) -> Self {
        let items = section.product_retailer_ids().map(|id| Item {
            product_retailer_id: id,
        });
        Self {
            title: section.title(),
            product_items: items.collect(),
        }
    }
}

// === impl Parameters ===

impl<'a> Parameters<'a> {
    fn catalog(catalog: &'a Catalog) -> Option<Self> {
        catalog.thumbnail_product_retailer_id().map(|id| Self::Catalog {
            thumbnail_product_retailer_id: id,
        })
    }

    fn flow(flow: &'a Flow) -> Self {
        let (flow_action, flow_action_payload) = match flow.start() {
            FlowStart::Navigate { screen, data } => {
                let data = data.as_ref().map(Data);
                ("navigate", Some(Payload { screen, data }))
            }
            FlowStart::DataExchange => ("data_exchange", None),
        };
        Self::Flow {
            flow_message_version: "3",
            flow_token: flow.token().unwrap_or(UNUSED),
            flow_id: flow.flow_id(),
            flow_cta: flow.call_to_action(),
            flow_action,
            flow_action_payload,
            mode: if flow.is_draft() { "draft" } else { "published" },
        }
    }
}
