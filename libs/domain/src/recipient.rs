use std::fmt;
use std::str::FromStr;

use crate::E164;
use crate::plan::{self, Impossible};

/// Whom a message goes to: a phone number, or a user whose number Meta may withhold. Personal data: `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Recipient {
    /// A phone number.
    Phone(E164),
    /// A business-scoped user id.
    User(UserId),
}

/// A user as one business portfolio knows them (`US.13491208655302741918`), or as several linked portfolios do (`US.ENT.11815799212886844830`): a two-letter country code, a dot, for a
/// parent id `ENT` and another dot, and 1 to 128 ASCII letters and digits. Case counts. Source: Meta, "Business-scoped user IDs".
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(String);

/// The text names no recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecipient {
    /// It is neither a phone number nor a user id.
    #[error(
        "must be a phone number in E.164 form (`+`, country code, digits, no spaces) or a business-scoped user id (`US.1349…`)"
    )]
    Unknown,
    /// It is a phone number without its `+`.
    #[error("must begin with `+` and the country code; without them it could be a number of any country")]
    NoPlus,
    /// It is a phone number with spaces or other marks between the digits.
    #[error("must be `+` and digits, without spaces, brackets, dots or dashes")]
    Marks,
    /// It has the form of a phone number, and no country has its calling code.
    #[error("must be a phone number that begins with a country's calling code")]
    Country,
    /// It has the form of a phone number, and no number of its country has so many digits.
    #[error("must be a phone number with as many digits as its country's numbering plan allows")]
    Length,
    /// It names a group.
    #[error("must be a user; messages to groups are not sent")]
    Group,
}

/// How the ids of groups begin: the base64 of `capi_group:`.
const GROUP: &str = "Y2FwaV9ncm91cD";

// === impl UserId ===

impl UserId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It holds for several linked portfolios.
    pub fn is_parent(&self) -> bool {
        self.0[2..].starts_with(".ENT.")
    }
}

impl FromStr for UserId {
    type Err = InvalidRecipient;

    fn from_str(text: &str) -> Result<Self, InvalidRecipient> {
        let (country, rest) = text.split_once('.').ok_or(InvalidRecipient::Unknown)?;
        let id = rest.strip_prefix("ENT.").unwrap_or(rest);
        let valid = country.len() == 2
            && country.bytes().all(|byte| byte.is_ascii_uppercase())
            && (1..=128).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRecipient::Unknown)
        }
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserId(…)")
    }
}

// === impl Recipient ===

impl Recipient {
    /// The text, as the caller writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Phone(number) => number.as_str(),
            Self::User(user) => user.as_str(),
        }
    }

    /// The other form in which WhatsApp may know the number, where there is one.
    pub fn other_form(&self) -> Option<String> {
        match self {
            Self::Phone(number) => number.variants().pop().map(|other| other.as_str().to_owned()),
            Self::User(_) => None,
        }
    }

    /// Reads what was checked when it was stored, or what Meta wrote: numbering plans change.
    pub fn from_stored(text: &str) -> Result<Self, InvalidRecipient> {
        if text.starts_with('+') {
            text.parse().map(Self::Phone).map_err(|_| InvalidRecipient::Unknown)
        } else {
            text.parse().map(Self::User)
        }
    }
}

impl FromStr for Recipient {
    type Err = InvalidRecipient;

    /// Reads what a caller wrote.
    fn from_str(text: &str) -> Result<Self, InvalidRecipient> {
        if let Some(rest) = text.strip_prefix('+') {
            let number: E164 = text.parse().map_err(|_| of_number(rest))?;
            plan::check(&number)?;
            Ok(Self::Phone(number))
        } else if text.ends_with("@g.us") || text.starts_with(GROUP) {
            Err(InvalidRecipient::Group)
        } else {
            text.parse().map(Self::User).map_err(|_| of_other(text))
        }
    }
}

/// What is wrong with a text that begins with `+`.
fn of_number(rest: &str) -> InvalidRecipient {
    if !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        if is_dialled(rest) {
            InvalidRecipient::Marks
        } else {
            InvalidRecipient::Unknown
        }
    } else if rest.starts_with('0') {
        InvalidRecipient::Country
    } else {
        InvalidRecipient::Length
    }
}

/// What is wrong with a text that neither begins with `+` nor is a user id.
fn of_other(text: &str) -> InvalidRecipient {
    let trimmed = text.trim_start();
    if trimmed.len() < text.len() && trimmed.starts_with('+') {
        InvalidRecipient::Marks
    } else if is_dialled(text) {
        InvalidRecipient::NoPlus
    } else {
        InvalidRecipient::Unknown
    }
}

/// As people write phone numbers.
fn is_dialled(text: &str) -> bool {
    let marks = |character: char| character.is_whitespace() || "()[].-–/".contains(character);
    text.chars()
        .all(|character| character.is_ascii_digit() || marks(character))
        && text.chars().any(|character| character.is_ascii_digit())
}

impl From<Impossible> for InvalidRecipient {
    fn from(impossible: Impossible) -> Self {
        match impossible {
            Impossible::Country => Self::Country,
            Impossible::Length => Self::Length,
        }
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(number) => number.fmt(f),
            Self::User(user) => user.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_users_are_recipients_and_groups_are_told_apart() {
        let of = |text: &str| text.parse::<Recipient>();
        assert!(matches!(of("+14155551234"), Ok(Recipient::Phone(_))));
        assert!(matches!(of("US.13491208655302741918"), Ok(Recipient::User(user)) if !user.is_parent()));
        assert!(matches!(of("US.ENT.11815799212886844830"), Ok(Recipient::User(user)) if user.is_parent()));
        for group in [
            "120363041234567890@g.us",
            "Y2FwaV9ncm91cDoxOTUwNTU1MDA3OToxMjAzNjMzOTQzMjAdOTY0MTUZD",
        ] {
            assert_eq!(of(group), Err(InvalidRecipient::Group), "{group}");
        }
        for text in [
            "",
            "hello",
            "us.1",
            "USA.1",
            "US.",
            "US.ENT.",
            "US.1-2",
            "US.é",
            "+1a",
            "--",
            "evt_1",
            "+١٢٣٤٥٦٧٨٩",
        ] {
            assert_eq!(of(text), Err(InvalidRecipient::Unknown), "{text}");
        }
        assert!(of(&format!("US.{}", "a".repeat(128))).is_ok() && of(&format!("US.{}", "a".repeat(129))).is_err());
    }

    #[test]
    fn each_common_mistake_with_a_number_is_told_apart() {
        let mistakes = [
            ("14155551234", InvalidRecipient::NoPlus),
            ("0014155551234", InvalidRecipient::NoPlus),
            ("(415) 555-1234", InvalidRecipient::NoPlus),
            ("+1 415 555 1234", InvalidRecipient::Marks),
            ("+1 (415) 555-1234", InvalidRecipient::Marks),
            ("+1415555\u{a0}1234", InvalidRecipient::Marks),
            (" +14155551234", InvalidRecipient::Marks),
            ("+14155551234\n", InvalidRecipient::Marks),
            ("+0014155551234", InvalidRecipient::Country),
            ("+9991234567", InvalidRecipient::Country),
            ("+1415555123", InvalidRecipient::Length),
            ("+141555512345", InvalidRecipient::Length),
            ("+", InvalidRecipient::Length),
            ("+1415", InvalidRecipient::Length),
            ("+1234567890123456", InvalidRecipient::Length),
        ];
        for (text, mistake) in mistakes {
            assert_eq!(text.parse::<Recipient>(), Err(mistake), "{text}");
        }
    }

    #[test]
    fn what_was_stored_is_read_whatever_the_numbering_plan_says_today() {
        for text in ["+14155551234", "+9991234567", "+1415555123", "US.1"] {
            assert_eq!(Recipient::from_stored(text).expect(text).as_str(), text);
        }
        for text in ["", "14155551234", "+1 4", "120363041234567890@g.us"] {
            assert!(Recipient::from_stored(text).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_hides_them() {
        let user: Recipient = "US.13491208655302741918".parse().expect("valid");
        assert_eq!(format!("{user:?}"), "UserId(…)");
    }
}
