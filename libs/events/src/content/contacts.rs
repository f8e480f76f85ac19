//! Address cards.

use outeract_domain::content::contacts::{
    Address, AddressParts, Card, CardParts, Contacts, Email, Name, NameParts, Organization, Phone, WebPage,
};
use outeract_domain::content::{Check, Draft, Drafts};
use outeract_proto::messaging::v1 as proto;

use super::{given, vcard};

pub(super) fn contacts(given: proto::ContactsContent, check: &mut Check) -> Draft<Contacts> {
    let cards = match (given.contacts.is_empty(), given.vcard.is_empty()) {
        (_, true) => check.each("contacts", given.contacts, card),
        (true, false) => match vcard::parse(&given.vcard) {
            Ok(cards) => check.each("vcard", cards, card),
            Err(description) => return check.refuse("vcard", description),
        },
        (false, false) => return check.refuse("", "must have either contacts or vcard"),
    };
    Contacts::new(cards, check)
}

pub(super) fn to_proto(contacts: &Contacts) -> proto::ContactsContent {
    proto::ContactsContent {
        contacts: contacts.cards().iter().map(card_to_proto).collect(),
        vcard: String::new(),
    }
}

fn card(given: proto::ContactCard, check: &mut Check) -> Draft<Card> {
    let parts = CardParts {
        name: check.required("name", given.name, |given, check| {
            let parts = NameParts {
                formatted: given.formatted_name,
                first: given.first_name,
                last: given.last_name,
                middle: given.middle_name,
                prefix: given.prefix,
                suffix: given.suffix,
            };
            Name::new(parts, check)
        }),
        phones: check.each("phones", given.phones, |given, check| {
            Phone::new(given.phone, given.r#type, given.wa_id, check)
        }),
        emails: check.each("emails", given.emails, |given, check| {
            Email::new(given.email, given.r#type, check)
        }),
        addresses: addresses(given.addresses, check),
        urls: check.each("urls", given.urls, |given, check| {
            WebPage::new(given.url, given.r#type, check)
        }),
        organization: check.optional("organization", given.organization, |given, check| {
            Organization::new(given.company, given.department, given.title, check)
        }),
        birthday: given.birthday,
    };
    Card::new(parts, check)
}

fn addresses(given: Vec<proto::ContactAddress>, check: &mut Check) -> Drafts<Address> {
    check.each("addresses", given, |given, check| {
        let parts = AddressParts {
            street: given.street,
            city: given.city,
            state: given.state,
            zip: given.zip,
            country: given.country,
            country_code: given.country_code,
            kind: given.r#type,
        };
        Address::new(parts, check)
    })
}

fn card_to_proto(card: &Card) -> proto::ContactCard {
    let phones = card.phones().iter().map(|phone| proto::ContactPhone {
        phone: phone.phone().to_owned(),
        r#type: given(phone.kind()),
        wa_id: given(phone.wa_id()),
    });
    let emails = card.emails().iter().map(|email| proto::ContactEmail {
        email: email.email().to_owned(),
        r#type: given(email.kind()),
    });
    let urls = card.urls().iter().map(|page| proto::ContactUrl {
        url: page.url().to_owned(),
        r#type: given(page.kind()),
    });
    proto::ContactCard {
        name: Some(name_to_proto(card.name())),
        phones: phones.collect(),
        emails: emails.collect(),
        addresses: card.addresses().iter().map(address_to_proto).collect(),
        urls: urls.collect(),
        organization: card.organization().map(|organization| proto::ContactOrganization {
            company: given(organization.company()),
            department: given(organization.department()),
            title: given(organization.title()),
        }),
        birthday: card.birthday().unwrap_or_default(),
    }
}

fn name_to_proto(name: &Name) -> proto::ContactName {
    proto::ContactName {
        formatted_name: name.formatted().to_owned(),
        first_name: given(name.first()),
        last_name: given(name.last()),
        middle_name: given(name.middle()),
        prefix: given(name.prefix()),
        suffix: given(name.suffix()),
    }
}

fn address_to_proto(address: &Address) -> proto::ContactAddress {
    proto::ContactAddress {
        street: given(address.street()),
        city: given(address.city()),
        state: given(address.state()),
        zip: given(address.zip()),
        country: given(address.country()),
        country_code: given(address.country_code()),
        r#type: given(address.kind()),
    }
}
