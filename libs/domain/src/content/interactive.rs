//! Buttons, lists and the like.

mod buttons;
mod carousel;
mod flow;
mod header;
mod list;
mod products;

use super::part::part;
use super::{Check, Draft, Private};

pub use buttons::{ReplyButton, ReplyButtons, UrlButton};
pub use carousel::{Carousel, CarouselAction, CarouselCard, CarouselHeader};
pub use flow::{Flow, FlowStart};
pub use header::Header;
pub use list::{ListMenu, ListRow, ListSection};
pub use products::{Catalog, Product, ProductList, ProductSection};

pub(super) use buttons::web_address;
pub(super) use flow::flow_data;
pub(super) use products::sections_of_products;

/// Buttons, lists and the like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interactive {
    header: Option<Header>,
    body: Option<Private>,
    footer: Option<Private>,
    action: Action,
}

/// What the recipient can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Buttons that answer.
    ReplyButtons(ReplyButtons),
    /// A list to choose from.
    List(ListMenu),
    /// A button that opens a web page.
    UrlButton(UrlButton),
    /// A button that shares the recipient's location.
    LocationRequest,
    /// A button that shares the recipient's phone number.
    ContactRequest,
    /// A `WhatsApp` flow.
    Flow(Flow),
    /// One product of a catalog.
    Product(Product),
    /// Several products of a catalog.
    ProductList(ProductList),
    /// The whole catalog.
    Catalog(Catalog),
    /// Cards side by side.
    Carousel(Carousel),
}

part!(struct Interactive { header, body, footer, action });
part!(
    enum Action {
        ReplyButtons,
        List,
        UrlButton,
        Flow,
        Product,
        ProductList,
        Catalog,
        Carousel,
    },
    unit {
        LocationRequest,
        ContactRequest
    }
);

const MAX_BODY: usize = 1_024;
const MAX_LIST_BODY: usize = 4_096;
const MAX_FOOTER: usize = 60;

// === impl Interactive ===

impl Interactive {
    /// An action below a text, with what stands above and below the text; an empty body or footer: none.
    pub fn new(
        header: Option<Draft<Header>>,
        body: String,
        footer: String,
        action: Draft<Action>,
        check: &mut Check,
    ) -> Draft<Self> {
        let known = action.0.as_ref();
        if let Some(action) = known {
            action.check_header(header.as_ref(), check);
        }
        let body = match known {
            Some(Action::Product(_)) => check.optional_text("body", body, MAX_BODY),
            Some(Action::List(_)) | None => Some(check.text("body", body, MAX_LIST_BODY)),
            Some(_) => Some(check.text("body", body, MAX_BODY)),
        };
        let footer = check.optional_text("footer", footer, MAX_FOOTER);
        let fits = footer.is_none() || known.is_none_or(Action::takes_footer);
        check.expect(fits, "footer", "must be empty with this action");
        action.map(|action| Self {
            header: header.and_then(|header| header.0),
            body,
            footer,
            action,
        })
    }

    /// What stands above the body.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The text. Only a product may have none.
    pub fn body(&self) -> Option<&str> {
        self.body.as_deref()
    }

    /// What stands below the body.
    pub fn footer(&self) -> Option<&str> {
        self.footer.as_deref()
    }

    /// What the recipient can do.
    pub fn action(&self) -> &Action {
        &self.action
    }
}

// === impl Action ===

impl Action {
    fn check_header(&self, header: Option<&Draft<Header>>, check: &mut Check) {
        let given = header.is_some();
        let text = matches!(header, None | Some(Draft(None | Some(Header::Text(_)))));
        match self {
            Self::ReplyButtons(_) | Self::UrlButton(_) | Self::Flow(_) => {}
            Self::List(_) => check.expect(text, "header", "must be a text with a list"),
            Self::ProductList(_) => check.expect(given && text, "header", "must be a text with a product list"),
            Self::LocationRequest | Self::ContactRequest | Self::Product(_) | Self::Catalog(_) | Self::Carousel(_) => {
                check.expect(!given, "header", "must be absent with this action");
            }
        }
    }

    fn takes_footer(&self) -> bool {
        match self {
            Self::ReplyButtons(_)
            | Self::List(_)
            | Self::UrlButton(_)
            | Self::Flow(_)
            | Self::Product(_)
            | Self::ProductList(_)
            | Self::Catalog(_) => true,
            Self::LocationRequest | Self::ContactRequest | Self::Carousel(_) => false,
        }
    }
}
