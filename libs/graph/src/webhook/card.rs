//! Address cards.

use serde::{Deserialize, Serialize};

use super::lenient;

/// An address card.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Card {
    /// The person's name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub name: CardName,
    /// Phone numbers.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub phones: Vec<CardPhone>,
    /// Mail addresses.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub emails: Vec<CardEmail>,
    /// Postal addresses.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub addresses: Vec<CardAddress>,
    /// Web addresses.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub urls: Vec<CardUrl>,
    /// Where the person works.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub org: Option<CardOrganization>,
    /// Date of birth.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub birthday: Option<String>,
    /// The card as a vCard.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub vcard: Option<String>,
}

/// A person's name on an address card.
#[derive(Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct CardName {
    /// The whole name.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub formatted_name: Option<String>,
    /// First name.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub last_name: Option<String>,
    /// Middle name.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub middle_name: Option<String>,
    /// For example `Dr.`.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub prefix: Option<String>,
    /// For example `Jr.`.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub suffix: Option<String>,
}

/// A phone number on an address card.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CardPhone {
    /// The number as it is shown.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub phone: Option<String>,
    /// For example `CELL`.
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    pub kind: Option<String>,
    /// The WhatsApp id that belongs to it.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub wa_id: Option<String>,
}

/// A mail address on an address card.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CardEmail {
    /// The address.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub email: Option<String>,
    /// For example `WORK`.
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    pub kind: Option<String>,
}

/// A postal address on an address card.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CardAddress {
    /// Street and house number.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub street: Option<String>,
    /// City.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub city: Option<String>,
    /// State or region.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub state: Option<String>,
    /// Postal code.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub zip: Option<String>,
    /// Country.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub country: Option<String>,
    /// ISO 3166 code of the country.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub country_code: Option<String>,
    /// For example `HOME`.
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    pub kind: Option<String>,
}

/// A web address on an address card.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CardUrl {
    /// The address.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub url: Option<String>,
    /// For example `WORK`.
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    pub kind: Option<String>,
}

/// Where a person works.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CardOrganization {
    /// The company.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub company: Option<String>,
    /// The department.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub department: Option<String>,
    /// The person's title.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub title: Option<String>,
}
