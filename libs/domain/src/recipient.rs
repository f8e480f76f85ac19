use std::fmt;
use std::str::FromStr;

use crate::E164;

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
    /// It has the form of a phone number, and no such number can exist.
    #[error("must be a phone number that its country's numbering plan allows")]
    Impossible,
    /// It names a group.
    #[error("must be a user; messages to groups are not sent")]
    Group,
}

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
}

impl FromStr for Recipient {
    type Err = InvalidRecipient;

    fn from_str(text: &str) -> Result<Self, InvalidRecipient> {
        if text.starts_with('+') {
            text.parse().map(Self::Phone).map_err(|_| InvalidRecipient::Unknown)
        } else if text.ends_with("@g.us") {
            Err(InvalidRecipient::Group)
        } else {
            text.parse().map(Self::User)
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
        assert_eq!(of("120363041234567890@g.us"), Err(InvalidRecipient::Group));
        for text in [
            "",
            "14155551234",
            "+1 415",
            "us.1",
            "USA.1",
            "US.",
            "US.ENT.",
            "US.1-2",
            "US.é",
        ] {
            assert_eq!(of(text), Err(InvalidRecipient::Unknown), "{text}");
        }
        assert!(of(&format!("US.{}", "a".repeat(128))).is_ok() && of(&format!("US.{}", "a".repeat(129))).is_err());
    }

    #[test]
    fn debug_hides_them() {
        let user: Recipient = "US.13491208655302741918".parse().expect("valid");
        assert_eq!(format!("{user:?}"), "UserId(…)");
    }
}
