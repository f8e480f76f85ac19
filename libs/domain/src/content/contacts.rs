//! Address cards.

mod address;
mod name;
mod ways;

use time::Date;
use time::macros::format_description;

use super::part::part;
use super::{Check, Draft, Drafts, Private};

pub use address::{Address, AddressParts};
pub use name::{Name, NameParts};
pub use ways::{Email, Phone, WebPage};

/// Address cards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contacts {
    cards: Vec<Card>,
}

/// An address card.
#[derive(Clone, PartialEq, Eq)]
pub struct Card {
    name: Name,
    phones: Vec<Phone>,
    emails: Vec<Email>,
    addresses: Vec<Address>,
    urls: Vec<WebPage>,
    organization: Option<Organization>,
    birthday: Option<Date>,
}

/// An address card's parts.
#[derive(Debug)]
pub struct CardParts {
    /// The person's name. Required.
    pub name: Draft<Name>,
    /// Phone numbers, at most 20.
    pub phones: Drafts<Phone>,
    /// Mail addresses, at most 20.
    pub emails: Drafts<Email>,
    /// Postal addresses, at most 20.
    pub addresses: Drafts<Address>,
    /// Web addresses, at most 20.
    pub urls: Drafts<WebPage>,
    /// Where the person works.
    pub organization: Option<Draft<Organization>>,
    /// Date of birth, `YYYY-MM-DD`. Empty: none.
    pub birthday: String,
}

/// Where a person works. At least one part is set.
#[derive(Clone, PartialEq, Eq)]
pub struct Organization {
    company: Option<Private>,
    department: Option<Private>,
    title: Option<Private>,
}

part!(struct Contacts { cards });
part!(struct Card { name, phones, emails, addresses, urls, organization, birthday });
part!(struct Organization { company, department, title });

/// Most characters of what has no limit of its own.
const MAX_WORDS: usize = 250;
const MAX_TYPE: usize = 64;
const MAX_CARDS: usize = 257;
const MAX_ENTRIES: usize = 20;

// === impl Contacts ===

impl Contacts {
    /// Most cards in one message.
    pub const MAX_CARDS: usize = MAX_CARDS;

    /// 1 to 257 cards.
    pub fn new(cards: Drafts<Card>, check: &mut Check) -> Draft<Self> {
        check.count("contacts", cards.count(), 1..=MAX_CARDS);
        Draft(Some(Self {
            cards: cards.into_vec(),
        }))
    }

    /// The cards.
    pub fn cards(&self) -> &[Card] {
        &self.cards
    }
}

// === impl Card ===

impl Card {
    /// A card of these parts.
    pub fn new(parts: CardParts, check: &mut Check) -> Draft<Self> {
        check.count("phones", parts.phones.count(), 0..=MAX_ENTRIES);
        check.count("emails", parts.emails.count(), 0..=MAX_ENTRIES);
        check.count("addresses", parts.addresses.count(), 0..=MAX_ENTRIES);
        check.count("urls", parts.urls.count(), 0..=MAX_ENTRIES);
        let birthday = birthday(&parts.birthday, check);
        parts.name.map(|name| Self {
            name,
            phones: parts.phones.into_vec(),
            emails: parts.emails.into_vec(),
            addresses: parts.addresses.into_vec(),
            urls: parts.urls.into_vec(),
            organization: parts.organization.and_then(|organization| organization.0),
            birthday,
        })
    }

    /// The person's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Phone numbers.
    pub fn phones(&self) -> &[Phone] {
        &self.phones
    }

    /// Mail addresses.
    pub fn emails(&self) -> &[Email] {
        &self.emails
    }

    /// Postal addresses.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Web addresses.
    pub fn urls(&self) -> &[WebPage] {
        &self.urls
    }

    /// Where the person works.
    pub fn organization(&self) -> Option<&Organization> {
        self.organization.as_ref()
    }

    /// Date of birth, `YYYY-MM-DD`.
    pub fn birthday(&self) -> Option<String> {
        // A date always has this form.
        self.birthday
            .and_then(|date| date.format(format_description!("[year]-[month]-[day]")).ok())
    }
}

impl std::fmt::Debug for Card {
    // Whom it is of is private, and so is how many ways there are to reach them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Card(…)")
    }
}

// === impl Organization ===

impl Organization {
    /// A company, a department, a title; empty: none.
    pub fn new(company: String, department: String, title: String, check: &mut Check) -> Draft<Self> {
        let organization = Self {
            company: check.optional_text("company", company, MAX_WORDS),
            department: check.optional_text("department", department, MAX_WORDS),
            title: check.optional_text("title", title, MAX_WORDS),
        };
        let Self {
            company,
            department,
            title,
        } = &organization;
        let some = company.is_some() || department.is_some() || title.is_some();
        check.expect(some, "", "must have at least one of its parts");
        Draft(Some(organization))
    }

    /// The company.
    pub fn company(&self) -> Option<&str> {
        self.company.as_deref()
    }

    /// The department.
    pub fn department(&self) -> Option<&str> {
        self.department.as_deref()
    }

    /// The person's title.
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }
}

impl std::fmt::Debug for Organization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Organization(…)")
    }
}

fn birthday(text: &str, check: &mut Check) -> Option<Date> {
    if text.is_empty() {
        return None;
    }
    let date = Date::parse(text, format_description!("[year]-[month]-[day]"));
    // The format takes a sign before the year as well.
    let date = date.ok().filter(|_| text.len() == 10 && text.is_ascii());
    check.expect(date.is_some(), "birthday", "must be a date, YYYY-MM-DD");
    date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn birthdays_are_dates() {
        let of = |text: &str| Check::of(|check| Draft(Some(birthday(text, check))));
        assert_eq!(of("").expect("none"), None);
        assert!(of("1999-02-28").expect("a date").is_some());
        for bad in [
            "1999-02-29",
            "1999-2-28",
            "28.02.1999",
            "+1999-02-2",
            "1999-02-28T00:00",
            "x",
        ] {
            assert_eq!(of(bad).expect_err(bad)[0].path, "birthday");
        }
    }
}
