use crate::content::interactive::{Catalog, ProductSection, flow_data, sections_of_products};
use crate::content::part::part;
use crate::content::{Check, Draft, Drafts, Json, Private};

/// What goes into one button of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    index: u8,
    kind: ButtonKind,
}

/// What goes there, by the button's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ButtonKind {
    /// For a quick reply: what comes back with the answer.
    QuickReply(Private),
    /// For a URL with a place in it: what goes there.
    UrlSuffix(Private),
    /// For a copy-code button: the coupon code.
    CouponCode(Private),
    /// For a flow.
    Flow(FlowButton),
    /// For a catalog.
    Catalog(Catalog),
    /// For several products.
    Products(ProductsButton),
}

/// What goes into a flow button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowButton {
    token: Option<Private>,
    data: Option<Json>,
}

/// What goes into a button for several products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductsButton {
    thumbnail_product_retailer_id: Private,
    sections: Vec<ProductSection>,
}

part!(struct Button { index, kind });
part!(
    enum ButtonKind {
        QuickReply,
        UrlSuffix,
        CouponCode,
        Flow,
        Catalog,
        Products,
    }
);
part!(struct FlowButton { token, data });
part!(struct ProductsButton { thumbnail_product_retailer_id, sections });

const MAX_BUTTONS: usize = 10;
const MAX_PAYLOAD: usize = 256;
const MAX_URL_SUFFIX: usize = 2_000;
const MAX_COUPON_CODE: usize = 20;
const MAX_TOKEN: usize = 256;
/// Most characters of a product's id. Meta states none.
const MAX_ID: usize = 256;

// === impl Button ===

impl Button {
    /// What goes into the button at this place, counted from 0.
    pub fn new(index: i32, kind: Draft<ButtonKind>, check: &mut Check) -> Draft<Self> {
        let index = u8::try_from(index)
            .ok()
            .filter(|index| usize::from(*index) < MAX_BUTTONS);
        check.expect(index.is_some(), "index", "must be 0 to 9");
        kind.map(|kind| Self {
            index: index.unwrap_or_default(),
            kind,
        })
    }

    /// The button's place among the template's buttons, from 0.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// What goes there.
    pub fn kind(&self) -> &ButtonKind {
        &self.kind
    }
}

// === impl ButtonKind ===

impl ButtonKind {
    /// For a quick reply: what comes back with the answer, 1 to 256 characters.
    pub fn quick_reply(payload: String, check: &mut Check) -> Draft<Self> {
        let payload = check.text("quick_reply_payload", payload, MAX_PAYLOAD);
        Draft(Some(Self::QuickReply(payload)))
    }

    /// For a URL with a place in it: what goes there, 1 to 2,000 characters.
    pub fn url_suffix(suffix: String, check: &mut Check) -> Draft<Self> {
        let suffix = check.text("url_suffix", suffix, MAX_URL_SUFFIX);
        Draft(Some(Self::UrlSuffix(suffix)))
    }

    /// For a copy-code button: the coupon code, 1 to 20 characters.
    pub fn coupon_code(code: String, check: &mut Check) -> Draft<Self> {
        let code = check.text("coupon_code", code, MAX_COUPON_CODE);
        Draft(Some(Self::CouponCode(code)))
    }

    /// No kind was given.
    pub fn missing(check: &mut Check) -> Draft<Self> {
        check.refuse("", "must say what goes into the button")
    }
}

// === impl FlowButton ===

impl FlowButton {
    /// What comes back with the answer (at most 256 characters; empty: none) and data for the first screen.
    pub fn new(token: String, data: Option<Json>, check: &mut Check) -> Draft<Self> {
        Draft(Some(Self {
            token: check.optional_text("flow_token", token, MAX_TOKEN),
            data: flow_data("data", data, check),
        }))
    }

    /// Comes back with the answer.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Data for the first screen.
    pub fn data(&self) -> Option<&Json> {
        self.data.as_ref()
    }
}

// === impl ProductsButton ===

impl ProductsButton {
    /// The product whose picture is shown, and 1 to 10 sections with at most 30 products in all.
    pub fn new(
        thumbnail_product_retailer_id: String,
        sections: Drafts<ProductSection>,
        check: &mut Check,
    ) -> Draft<Self> {
        let thumbnail = "thumbnail_product_retailer_id";
        Draft(Some(Self {
            thumbnail_product_retailer_id: check.text(thumbnail, thumbnail_product_retailer_id, MAX_ID),
            sections: sections_of_products(sections, check),
        }))
    }

    /// The product whose picture is shown.
    pub fn thumbnail_product_retailer_id(&self) -> &str {
        &self.thumbnail_product_retailer_id
    }

    /// The sections.
    pub fn sections(&self) -> &[ProductSection] {
        &self.sections
    }
}

/// A template's buttons: each place once.
pub(super) fn check_all(buttons: &Drafts<Button>, check: &mut Check) {
    check.count("buttons", buttons.count(), 0..=MAX_BUTTONS);
    let mut taken = [false; MAX_BUTTONS];
    for (at, button) in buttons.iter() {
        if let Some(taken) = taken.get_mut(usize::from(button.index)) {
            check.expect(
                !*taken,
                &format!("buttons[{at}].index"),
                "must differ from that of the others",
            );
            *taken = true;
        }
    }
}
