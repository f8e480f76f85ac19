use super::{MAX_TYPE, MAX_WORDS};
use crate::content::part::part;
use crate::content::{Check, Draft, Private};

/// A postal address. At least one part is set.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    street: Option<Private>,
    city: Option<Private>,
    state: Option<Private>,
    zip: Option<Private>,
    country: Option<Private>,
    country_code: Option<Private>,
    kind: Option<Private>,
}

/// A postal address's parts, each at most 250 characters; empty: none.
#[derive(Default)]
pub struct AddressParts {
    /// Street and house number.
    pub street: String,
    /// City.
    pub city: String,
    /// State or region.
    pub state: String,
    /// Postal code.
    pub zip: String,
    /// Country.
    pub country: String,
    /// ISO 3166 code of the country, two letters.
    pub country_code: String,
    /// For example `HOME` or `WORK`.
    pub kind: String,
}

part!(struct Address { street, city, state, zip, country, country_code, kind });

// === impl Address ===

impl Address {
    /// An address of these parts.
    pub fn new(parts: AddressParts, check: &mut Check) -> Draft<Self> {
        let code = parts.country_code.as_bytes();
        let coded = code.is_empty() || (code.len() == 2 && code.iter().all(u8::is_ascii_alphabetic));
        check.expect(coded, "country_code", "must be two letters");
        let address = Self {
            street: check.optional_text("street", parts.street, MAX_WORDS),
            city: check.optional_text("city", parts.city, MAX_WORDS),
            state: check.optional_text("state", parts.state, MAX_WORDS),
            zip: check.optional_text("zip", parts.zip, MAX_WORDS),
            country: check.optional_text("country", parts.country, MAX_WORDS),
            country_code: (!parts.country_code.is_empty()).then(|| Private::from(parts.country_code)),
            kind: check.optional_text("type", parts.kind, MAX_TYPE),
        };
        let parts = [
            &address.street,
            &address.city,
            &address.state,
            &address.zip,
            &address.country,
            &address.country_code,
        ];
        let some = parts.iter().any(|part| part.is_some());
        check.expect(some, "", "must have at least one part beside type");
        Draft(Some(address))
    }

    /// Street and house number.
    pub fn street(&self) -> Option<&str> {
        self.street.as_deref()
    }

    /// City.
    pub fn city(&self) -> Option<&str> {
        self.city.as_deref()
    }

    /// State or region.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Postal code.
    pub fn zip(&self) -> Option<&str> {
        self.zip.as_deref()
    }

    /// Country.
    pub fn country(&self) -> Option<&str> {
        self.country.as_deref()
    }

    /// ISO 3166 code of the country.
    pub fn country_code(&self) -> Option<&str> {
        self.country_code.as_deref()
    }

    /// For example `HOME`.
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address(…)")
    }
}

impl std::fmt::Debug for AddressParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AddressParts(…)")
    }
}
