use outeract_domain::content::contacts;
use serde::Serialize;

/// An element of `contacts`.
#[derive(Serialize)]
pub(super) struct Contact<'a> {
    name: Name<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    phones: Vec<Phone<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    emails: Vec<Email<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<Address<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<Url<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<Organization<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    birthday: Option<String>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the keys are Meta's")]
struct Name<'a> {
    formatted_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    middle_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suffix: Option<&'a str>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the keys are Meta's")]
struct Phone<'a> {
    phone: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wa_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Email<'a> {
    email: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
}

#[derive(Serialize)]
struct Address<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    street: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_code: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
}

#[derive(Serialize)]
struct Url<'a> {
    url: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
}

#[derive(Serialize)]
struct Organization<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    department: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
}

// === impl Contact ===

impl<'a> Contact<'a> {
    pub(super) fn new(card: &'a contacts::Card) -> Self {
        Self {
            name: Name::new(card.name()),
            phones: card.phones().iter().map(Phone::new).collect(),
            emails: card.emails().iter().map(Email::new).collect(),
            addresses: card.addresses().iter().map(Address::new).collect(),
            urls: card.urls().iter().map(Url::new).collect(),
            org: card.organization().map(Organization::new),
            birthday: card.birthday(),
        }
    }
}

// === impl Name, Phone, Email, Address, Url, Organization ===

impl<'a> Name<'a> {
    fn new(name: &'a contacts::Name) -> Self {
        Self {
            formatted_name: name.formatted(),
            first_name: name.first(),
            last_name: name.last(),
            middle_name: name.middle(),
            prefix: name.prefix(),
            suffix: name.suffix(),
        }
    }
}

impl<'a> Phone<'a> {
    fn new(phone: &'a contacts::Phone) -> Self {
        Self {
            phone: phone.phone(),
            kind: phone.kind(),
            wa_id: phone.wa_id(),
        }
    }
}

impl<'a> Email<'a> {
    fn new(email: &'a contacts::Email) -> Self {
        Self {
            email: email.email(),
            kind: email.kind(),
        }
    }
}

impl<'a> Address<'a> {
    fn new(address: &'a contacts::Address) -> Self {
        Self {
            street: address.street(),
            city: address.city(),
            state: address.state(),
            zip: address.zip(),
            country: address.country(),
            country_code: address.country_code(),
            kind: address.kind(),
        }
    }
}

impl<'a> Url<'a> {
    fn new(page: &'a contacts::WebPage) -> Self {
        Self {
            url: page.url(),
            kind: page.kind(),
        }
    }
}

impl<'a> Organization<'a> {
    fn new(organization: &'a contacts::Organization) -> Self {
        Self {
            company: organization.company(),
            department: organization.department(),
            title: organization.title(),
        }
    }
}
