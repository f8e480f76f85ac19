use super::MAX_TYPE;
use crate::content::check::is_digits;
use crate::content::part::part;
use crate::content::{Check, Draft, Private};

/// A phone number on an address card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone {
    number: Private,
    kind: Option<Private>,
    wa_id: Option<Private>,
}

/// A mail address on an address card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    email: Private,
    kind: Option<Private>,
}

/// A web address on an address card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebPage {
    url: Private,
    kind: Option<Private>,
}

part!(struct Phone { number, kind, wa_id });
part!(struct Email { email, kind });
part!(struct WebPage { url, kind });

const MAX_PHONE: usize = 64;
/// E.164 allows 15; a WhatsApp id of a Mexican or Argentine number may have one more than its number.
const MAX_WA_ID: usize = 20;
const MAX_EMAIL: usize = 320;
const MAX_URL: usize = 2_048;

// === impl Phone ===

impl Phone {
    /// A number as it is shown, its kind (for example `CELL`) and the WhatsApp id that belongs to it; empty: none.
    pub fn new(phone: String, kind: String, wa_id: String, check: &mut Check) -> Draft<Self> {
        check.expect(
            wa_id.is_empty() || is_digits(&wa_id, MAX_WA_ID),
            "wa_id",
            "must be digits",
        );
        Draft(Some(Self {
            number: check.text("phone", phone, MAX_PHONE),
            kind: check.optional_text("type", kind, MAX_TYPE),
            wa_id: (!wa_id.is_empty()).then(|| Private::from(wa_id)),
        }))
    }

    /// The number as it is shown.
    pub fn phone(&self) -> &str {
        &self.number
    }

    /// For example `CELL`.
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// The WhatsApp id that belongs to it.
    pub fn wa_id(&self) -> Option<&str> {
        self.wa_id.as_deref()
    }
}

// === impl Email ===

impl Email {
    /// An address and its kind (for example `WORK`); empty: none.
    pub fn new(email: String, kind: String, check: &mut Check) -> Draft<Self> {
        Draft(Some(Self {
            email: check.text("email", email, MAX_EMAIL),
            kind: check.optional_text("type", kind, MAX_TYPE),
        }))
    }

    /// The address.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// For example `WORK`.
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }
}

// === impl WebPage ===

impl WebPage {
    /// An address and its kind (for example `WORK`); empty: none.
    pub fn new(url: String, kind: String, check: &mut Check) -> Draft<Self> {
        Draft(Some(Self {
            url: check.text("url", url, MAX_URL),
            kind: check.optional_text("type", kind, MAX_TYPE),
        }))
    }

    /// The address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// For example `WORK`.
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }
}
