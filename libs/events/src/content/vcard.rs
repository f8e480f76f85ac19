//! vCards (RFC 2426, RFC 6350) as address cards. What Meta has no field for is left out.

use calcard::vcard::{
    VCard, VCardEntry, VCardParameterName, VCardParameterValue, VCardProperty, VCardType, VCardValue, VCardVersion,
};
use calcard::{Entry, Parser};
use outeract_domain::content::Contacts;
use outeract_proto::messaging::v1::{
    ContactAddress, ContactCard, ContactEmail, ContactName, ContactOrganization, ContactPhone, ContactUrl,
};

const MAX_BYTES: usize = 64 * 1_024;

/// The cards in a text. The error says what the text must be.
pub(super) fn parse(text: &str) -> Result<Vec<ContactCard>, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("must be at most {MAX_BYTES} bytes"));
    }
    let mut parser = Parser::new(text).strict();
    let mut cards = Vec::new();
    loop {
        match parser.entry() {
            Entry::VCard(card) if !is_known(card.version()) => {
                return Err(format!(
                    "must be of version 3.0 or 4.0; card {} is not",
                    cards.len() + 1
                ));
            }
            Entry::VCard(card) => cards.push(contact(&card)),
            Entry::Eof if cards.is_empty() => return Err("must be one or more vCards".to_owned()),
            Entry::Eof => return Ok(cards),
            _ => {
                return Err(format!(
                    "must be one or more whole vCards; there is something else after card {}",
                    cards.len()
                ));
            }
        }
        if cards.len() > Contacts::MAX_CARDS {
            return Err(format!("must be at most {} vCards", Contacts::MAX_CARDS));
        }
    }
}

fn is_known(version: Option<VCardVersion>) -> bool {
    matches!(version, Some(VCardVersion::V3_0 | VCardVersion::V4_0))
}

fn contact(card: &VCard) -> ContactCard {
    let of = |property| card.entries.iter().filter(move |entry| entry.name == property);
    ContactCard {
        name: Some(name(card)),
        phones: of(VCardProperty::Tel).filter_map(phone).collect(),
        emails: of(VCardProperty::Email).filter_map(email).collect(),
        addresses: of(VCardProperty::Adr).filter_map(address).collect(),
        urls: of(VCardProperty::Url).filter_map(url).collect(),
        organization: organization(card),
        birthday: of(VCardProperty::Bday).find_map(birthday).unwrap_or_default(),
    }
}

fn name(card: &VCard) -> ContactName {
    let whole = card.property(&VCardProperty::Fn).map(|entry| part(entry, 0));
    let formatted_name = whole.unwrap_or_default();
    let mut name = ContactName {
        formatted_name: formatted_name.clone(),
        ..ContactName::default()
    };
    if let Some(entry) = card.property(&VCardProperty::N) {
        name.last_name = part(entry, 0);
        name.first_name = part(entry, 1);
        name.middle_name = part(entry, 2);
        name.prefix = part(entry, 3);
        name.suffix = part(entry, 4);
    }
    let parts = [
        &name.first_name,
        &name.last_name,
        &name.middle_name,
        &name.prefix,
        &name.suffix,
    ];
    if parts.iter().all(|part| part.is_empty()) {
        // Version 4.0 does without N, Meta not without one of its parts.
        name.first_name = formatted_name;
    }
    name
}

fn phone(entry: &VCardEntry) -> Option<ContactPhone> {
    let text = part(entry, 0);
    // `tel:+1-555-555-5555;ext=5555`
    let number = match uri(&text, "tel:") {
        Some(rest) => rest.split(';').next().unwrap_or_default(),
        None => &text,
    };
    let kinds = [
        (VCardType::Cell, "CELL"),
        (VCardType::Home, "HOME"),
        (VCardType::Work, "WORK"),
        (VCardType::MainNumber, "MAIN"),
        (VCardType::Fax, "FAX"),
        (VCardType::Pager, "PAGER"),
    ];
    (!number.trim().is_empty()).then(|| ContactPhone {
        phone: number.trim().to_owned(),
        r#type: kind(entry, &kinds),
        wa_id: wa_id(entry),
    })
}

/// The parameter in which WhatsApp itself writes the id that belongs to a number.
fn wa_id(entry: &VCardEntry) -> String {
    let own = entry
        .params
        .iter()
        .find_map(|parameter| match (&parameter.name, &parameter.value) {
            (VCardParameterName::Other(name), VCardParameterValue::Text(id)) if name.eq_ignore_ascii_case("waid") => {
                Some(id)
            }
            _ => None,
        });
    own.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
        .cloned()
        .unwrap_or_default()
}

fn email(entry: &VCardEntry) -> Option<ContactEmail> {
    let text = part(entry, 0);
    let email = uri(&text, "mailto:").unwrap_or(&text).trim();
    (!email.is_empty()).then(|| ContactEmail {
        email: email.to_owned(),
        r#type: place(entry),
    })
}

fn address(entry: &VCardEntry) -> Option<ContactAddress> {
    // Post office box and extension have no field of their own: they stand behind the street.
    let street: Vec<_> = [2, 1, 0]
        .into_iter()
        .map(|index| part(entry, index))
        .filter(|part| !part.is_empty())
        .collect();
    let code = entry.parameters(&VCardParameterName::Cc).find_map(|code| match code {
        VCardParameterValue::Text(code) => Some(code.as_str()),
        _ => None,
    });
    let code = code.filter(|code| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let address = ContactAddress {
        street: street.join(", "),
        city: part(entry, 3),
        state: part(entry, 4),
        zip: part(entry, 5),
        country: part(entry, 6),
        country_code: code.unwrap_or_default().to_owned(),
        r#type: String::new(),
    };
    (address != ContactAddress::default()).then(|| ContactAddress {
        r#type: place(entry),
        ..address
    })
}

fn url(entry: &VCardEntry) -> Option<ContactUrl> {
    let url = part(entry, 0);
    (!url.is_empty()).then(|| ContactUrl {
        url,
        r#type: place(entry),
    })
}

fn organization(card: &VCard) -> Option<ContactOrganization> {
    let of = |property, index| card.property(property).map(|entry| part(entry, index));
    let organization = ContactOrganization {
        company: of(&VCardProperty::Org, 0).unwrap_or_default(),
        department: of(&VCardProperty::Org, 1).unwrap_or_default(),
        title: of(&VCardProperty::Title, 0).unwrap_or_default(),
    };
    (organization != ContactOrganization::default()).then_some(organization)
}

/// A whole date; birthdays without a year have no form that Meta takes.
fn birthday(entry: &VCardEntry) -> Option<String> {
    let date = entry.values.first()?.as_partial_date_time()?;
    Some(format!("{:04}-{:02}-{:02}", date.year?, date.month?, date.day?))
}

fn place(entry: &VCardEntry) -> String {
    kind(entry, &[(VCardType::Home, "HOME"), (VCardType::Work, "WORK")])
}

/// The first of the entry's types that has a word.
fn kind(entry: &VCardEntry, words: &[(VCardType, &str)]) -> String {
    let word = entry
        .parameters(&VCardParameterName::Type)
        .find_map(|value| match value {
            VCardParameterValue::Type(kind) => words.iter().find(|(known, _)| known == kind),
            _ => None,
        });
    word.map(|(_, word)| (*word).to_owned()).unwrap_or_default()
}

/// A part of a value; several in one part stand side by side.
fn part(entry: &VCardEntry, index: usize) -> String {
    let text = match entry.values.get(index) {
        Some(VCardValue::Text(text)) => text.trim().to_owned(),
        Some(VCardValue::Component(texts)) => texts.join(" ").trim().to_owned(),
        _ => String::new(),
    };
    // No field of Meta's has lines.
    if text.contains(['\n', '\r']) {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    } else {
        text
    }
}

fn uri<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let head = text.get(..scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = include_str!("vcard/three.vcf");
    const FOUR: &str = include_str!("vcard/four.vcf");

    #[test]
    fn a_card_of_version_3_with_folded_lines_and_groups() {
        let cards = parse(THREE).expect("a card");
        let [card] = cards.as_slice() else {
            panic!("{} cards", cards.len())
        };
        let name = card.name.as_ref().expect("a name");
        assert_eq!(
            (name.formatted_name.as_str(), name.prefix.as_str(), name.suffix.as_str()),
            ("Dr. Barbara Joana Johnson Esq.", "Dr. Prof.", "Esq.")
        );
        assert_eq!(
            (name.first_name.as_str(), name.last_name.as_str()),
            ("Barbara", "Johnson")
        );
        let phones: Vec<_> = card
            .phones
            .iter()
            .map(|phone| (phone.phone.as_str(), phone.r#type.as_str(), phone.wa_id.as_str()))
            .collect();
        assert_eq!(
            phones,
            [
                ("+1 (650) 555-9999", "CELL", "16505559999"),
                ("+1 917 555 9999", "", "")
            ]
        );
        assert_eq!(card.emails[0].email, "bjohnson@luckyshrub.com");
        assert_eq!(card.emails[0].r#type, "WORK");
        let address = &card.addresses[0];
        assert_eq!(
            (address.street.as_str(), address.city.as_str(), address.r#type.as_str()),
            ("1 Lucky Shrub Way, Suite 2", "Menlo Park, Center", "WORK")
        );
        let organization = card.organization.as_ref().expect("an organization");
        assert_eq!(
            (
                organization.company.as_str(),
                organization.department.as_str(),
                organization.title.as_str()
            ),
            ("Lucky Shrub", "Legal", "Lead Counsel")
        );
        assert_eq!(card.birthday, "1999-01-23");
        assert_eq!(card.urls[0].url, "https://www.luckyshrub.com/?a=b,c");
    }

    #[test]
    fn cards_of_version_4_one_after_the_other() {
        let cards = parse(FOUR).expect("cards");
        assert_eq!(cards.len(), 2);
        let name = cards[0].name.as_ref().expect("a name");
        // There is no N.
        assert_eq!(
            (name.formatted_name.as_str(), name.first_name.as_str()),
            ("José 😀", "José 😀")
        );
        let phones: Vec<_> = cards[0]
            .phones
            .iter()
            .map(|phone| (phone.phone.as_str(), phone.r#type.as_str()))
            .collect();
        assert_eq!(phones, [("+1-555-555-5555", "HOME")]);
        assert_eq!(cards[0].addresses[0].country_code, "PT");
        // A birthday without a year, a picture, a note and a key are left out.
        assert_eq!(cards[0].birthday, "");
        assert_eq!(cards[1].birthday, "1953-10-15");
        assert_eq!(cards[1].phones.len(), 0, "a number that is blank is none");
    }

    #[test]
    fn what_is_not_whole_cards_of_a_known_version_is_refused() {
        let whole = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:A\r\nN:A\r\nEND:VCARD\r\n";
        assert!(parse(whole).is_ok() && parse(&format!("\u{feff}{whole}\r\n{whole}\r\n\r\n")).is_ok());
        let cases = [
            String::new(),
            " \r\n".to_owned(),
            "hello".to_owned(),
            whole.replace("END:VCARD", ""),
            format!("{whole}junk"),
            format!("junk\r\n{whole}"),
            whole.replace("3.0", "2.1"),
            whole.replace("VERSION:3.0\r\n", ""),
            "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n".to_owned(),
            format!("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:B\r\n{whole}END:VCARD\r\n"),
            whole.replace("N:A\r\n", "no property\r\n"),
            whole.repeat(258),
            whole.replace("FN:A", &format!("NOTE:{}", "x".repeat(MAX_BYTES))),
        ];
        for text in cases {
            assert!(parse(&text).is_err(), "{text:.80}");
        }
    }
}
