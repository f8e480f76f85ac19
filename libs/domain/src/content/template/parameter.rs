use crate::content::check::is_within;
use crate::content::part::part;
use crate::content::{Check, Draft, Drafts, Private};

/// What goes into one place of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    name: Option<String>,
    value: Value,
}

/// What goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text; 1 to 1,024 characters, no new lines, tabs or more than four spaces in a row.
    Text(Private),
    /// An amount of money.
    Currency(Currency),
    /// A date, as it is shown.
    DateTime(Private),
}

/// An amount of money.
#[derive(Clone, PartialEq, Eq)]
pub struct Currency {
    fallback: Private,
    code: String,
    amount_1000: i64,
}

part!(struct Parameter { name, value });
part!(
    enum Value {
        Text,
        Currency,
        DateTime,
    }
);
part!(struct Currency { fallback, code, amount_1000 });

/// What a text in a template must be.
pub(super) const PLAIN: &str = "must be without line breaks, tabs and more than four spaces in a row";

const MAX_TEXT: usize = 1_024;
const MAX_NAME: usize = 128;
/// A body of 1,024 characters has no room for more places.
const MAX_PARAMETERS: usize = 204;

// === impl Parameter ===

impl Parameter {
    /// A value for the place with this name; empty: the place is given by the order.
    pub fn new(name: String, value: Draft<Value>, check: &mut Check) -> Draft<Self> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        check.expect(
            name.len() <= MAX_NAME && name.bytes().all(known),
            "name",
            "must be at most 128 of A-Z, a-z, 0-9 and _",
        );
        let name = (!name.is_empty()).then_some(name);
        value.map(|value| Self { name, value })
    }

    /// Name of the place; `None`: it is given by the order.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What goes there.
    pub fn value(&self) -> &Value {
        &self.value
    }
}

// === impl Value ===

impl Value {
    /// Text.
    pub fn text(text: String, check: &mut Check) -> Draft<Self> {
        Draft(Some(Self::Text(plain("text", text, MAX_TEXT, check))))
    }

    /// A date, as it is shown.
    pub fn date_time(shown: String, check: &mut Check) -> Draft<Self> {
        Draft(Some(Self::DateTime(plain("date_time", shown, MAX_TEXT, check))))
    }

    /// No value was given.
    pub fn missing(check: &mut Check) -> Draft<Self> {
        check.refuse("", "must have a text, a currency or a date_time")
    }
}

// === impl Currency ===

impl Currency {
    /// An amount in thousandths of a currency, with how it is shown where the recipient's language has no form for it.
    pub fn new(fallback_value: String, code: String, amount_1000: i64, check: &mut Check) -> Draft<Self> {
        let known = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        check.expect(known, "code", "must be an ISO 4217 code, three letters");
        Draft(Some(Self {
            fallback: plain("fallback_value", fallback_value, MAX_TEXT, check),
            code,
            amount_1000,
        }))
    }

    /// Shown where the recipient's language has no form for it.
    pub fn fallback(&self) -> &str {
        &self.fallback
    }

    /// ISO 4217 code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The amount in thousandths of the currency.
    pub fn amount_1000(&self) -> i64 {
        self.amount_1000
    }
}

impl std::fmt::Debug for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Currency(…)")
    }
}

/// A body's places: all of them by order, or all with names that differ.
pub(super) fn check_all(body: &Drafts<Parameter>, check: &mut Check) {
    check.count("body", body.count(), 0..=MAX_PARAMETERS);
    let named = body.iter().filter(|(_, parameter)| parameter.name.is_some()).count();
    let mixed = named > 0 && named < body.iter().count();
    check.expect(
        !mixed,
        "body",
        "must give all places by their order or all by their names",
    );
    check.different(body.iter().filter_map(|(index, parameter)| {
        let name = parameter.name()?;
        Some((format!("body[{index}].name"), name))
    }));
}

/// A text that may stand in a template.
fn plain(field: &str, text: String, most: usize, check: &mut Check) -> Private {
    if is_within(&text, most) {
        check.expect(is_plain(&text), field, PLAIN);
    }
    check.text(field, text, most)
}

/// Whether a text has no line breaks, tabs or more than four spaces in a row.
pub(super) fn is_plain(text: &str) -> bool {
    !text.contains(['\n', '\r', '\t']) && !text.contains("     ")
}
