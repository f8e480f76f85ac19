//! Whether what a message brings fits what its template demands.

use super::definition::{Button, Definition, Face, Header, Text};
use crate::errors::Refusal;
use crate::media::Family;
use crate::rules::{self, Parameter, Place, TemplateUse};

/// Longest body with everything in it.
const BODY: usize = 1_024;
/// Longest text header with everything in it.
const HEADER: usize = 60;
/// Longest one-time code.
const CODE: usize = 15;
/// Longest end of a button's address.
const URL: usize = 2_000;

impl Definition {
    /// Refuses what does not fit.
    pub(crate) fn fit(&self, used: &TemplateUse, now_ms: i64) -> Result<(), Refusal> {
        self.face.fit(&used.card, "", self.named)?;
        if self.authentication {
            one_time_code(&used.card)?;
        }
        match (self.offer_ends, used.offer_ends_ms) {
            (true, None) => return Err(missing("limited_time_offer: expiration_time_ms is required")),
            (false, Some(_)) => return Err(count("limited_time_offer", 1, 0)),
            (true, Some(ends_ms)) if ends_ms <= now_ms => {
                let details = "limited_time_offer: expiration_time_ms must be in the future";
                return Err(Refusal::of_code(131_009).details(details));
            }
            _ => {}
        }
        self.cards(used)
    }

    fn cards(&self, used: &TemplateUse) -> Result<(), Refusal> {
        let none = Vec::new();
        let wanted = self.cards.as_ref().unwrap_or(&none);
        let given = used.cards.as_ref().map_or(&[][..], Vec::as_slice);
        if given.len() != wanted.len() {
            return Err(count("carousel cards", given.len(), wanted.len()));
        }
        for (place, face) in wanted.iter().enumerate() {
            let mut cards = given.iter().filter(|(index, _)| *index == place as u64);
            let Some((_, card)) = cards.next() else {
                return Err(missing(&format!("carousel: there is no card with card_index {place}")));
            };
            face.fit(card, &format!("carousel card {place} "), self.named)?;
        }
        Ok(())
    }
}

impl Face {
    fn fit(&self, card: &rules::Card, at: &str, named: bool) -> Result<(), Refusal> {
        self.header(card, at, named)?;
        let given = card.body.as_ref().map_or(&[][..], Vec::as_slice);
        self.body.fit(given, &format!("{at}body"), named, BODY)?;
        for button in &card.buttons {
            let known = usize::try_from(button.index)
                .ok()
                .and_then(|index| self.buttons.get(index));
            let fits = known.is_some_and(|known| known.sub_type() == button.sub_type);
            if !fits {
                let details = format!(
                    "{at}buttons: there is no button of type {} at index {}",
                    button.sub_type, button.index
                );
                return Err(Refusal::of_code(132_018).details(details));
            }
        }
        for (index, wanted) in self.buttons.iter().enumerate() {
            let mut given = card.buttons.iter().filter(|button| button.index == index as u64);
            wanted.fit(given.next(), &format!("{at}buttons: Button at index {index}"))?;
            if given.next().is_some() {
                return Err(count(&format!("{at}buttons at index {index}"), 2, 1));
            }
        }
        Ok(())
    }

    fn header(&self, card: &rules::Card, at: &str, named: bool) -> Result<(), Refusal> {
        let given = card.header.as_ref().map_or(&[][..], Vec::as_slice);
        let expected = match &self.header {
            Header::None if given.is_empty() => return Ok(()),
            Header::None => return Err(count(&format!("{at}header"), given.len(), 0)),
            Header::Text(text) => return text.fit(given, &format!("{at}header"), named, HEADER),
            Header::Media(Family::Image) => "IMAGE",
            Header::Media(Family::Video) => "VIDEO",
            Header::Media(_) => "DOCUMENT",
            Header::Location => "LOCATION",
            Header::Product => "PRODUCT",
        };
        let fits = match (given, &self.header) {
            ([one], Header::Media(family)) => one.place == Place::Media(*family),
            ([one], Header::Location) => one.place == Place::Location,
            ([one], Header::Product) => one.place == Place::Product,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let received = given.first().map_or("UNKNOWN", |one| one.place.word());
        let details = format!("{at}header: Format mismatch, expected {expected}, received {received}");
        Err(Refusal::of_code(132_012).details(details))
    }
}

impl Text {
    fn fit(&self, given: &[Parameter], at: &str, named: bool, most: usize) -> Result<(), Refusal> {
        if given.len() != self.places.len() {
            return Err(count(at, given.len(), self.places.len()));
        }
        let mut whole = self.text.clone();
        for (index, place) in self.places.iter().enumerate() {
            let parameter = if named {
                let found = given.iter().find(|one| one.name.as_deref() == Some(place));
                found.ok_or_else(|| format_mismatch(at, &format!("parameter_name {place} is missing or empty")))?
            } else if given[index].name.is_some() {
                return Err(format_mismatch(at, "the template's parameters have no names"));
            } else {
                &given[index]
            };
            let Place::Text(text) = &parameter.place else {
                let received = parameter.place.word();
                return Err(format_mismatch(at, &format!("expected TEXT, received {received}")));
            };
            plain(text, at)?;
            whole = whole.replace(&format!("{{{{{place}}}}}"), text);
        }
        if whole.chars().count() > most {
            return Err(Refusal::of_code(132_005).details(format!("{at}: Translated text too long")));
        }
        Ok(())
    }
}

impl Button {
    fn fit(self, given: Option<&rules::Button>, at: &str) -> Result<(), Refusal> {
        let needs = match self {
            Self::Url { place } => place,
            Self::CopyCode | Self::Flow | Self::Products => true,
            Self::QuickReply | Self::Catalog | Self::Fixed => false,
        };
        let parameters = given.map_or(&[][..], |given| given.parameters.as_slice());
        let ill = |what: &str| Err(Refusal::of_code(132_018).details(format!("{at}: {what}")));
        match (parameters, self) {
            ([], _) if needs => Err(missing(&format!(
                "{at} of type {} requires a parameter",
                self.sub_type()
            ))),
            ([], _) => Ok(()),
            ([_, _, ..], _) => Err(count(at, parameters.len(), 1)),
            ([_], Self::Url { place: false } | Self::Fixed) => ill("takes no parameter"),
            ([one], Self::Url { place: true }) => match &one.place {
                Place::Text(text) if text.chars().count() > URL => ill("the address is too long"),
                Place::Text(text) => plain(text, at),
                _ => ill("needs a text"),
            },
            ([one], Self::QuickReply) if one.place == Place::Payload => Ok(()),
            ([one], Self::CopyCode) => match &one.place {
                Place::CouponCode(code) if code.chars().all(char::is_alphanumeric) => Ok(()),
                _ => ill("needs a coupon_code of letters and digits"),
            },
            ([one], Self::Flow | Self::Catalog) if matches!(one.place, Place::Action { .. }) => Ok(()),
            ([one], Self::Products) => match one.place {
                Place::Action {
                    thumbnail: true,
                    sections: true,
                } => Ok(()),
                _ => ill("needs a thumbnail and sections"),
            },
            _ => ill("the parameter has another type"),
        }
    }
}

impl Place {
    /// The word of Meta's texts.
    fn word(&self) -> &'static str {
        match self {
            Self::Text(_) => "TEXT",
            Self::Media(Family::Image) => "IMAGE",
            Self::Media(Family::Video) => "VIDEO",
            Self::Media(_) => "DOCUMENT",
            Self::Location => "LOCATION",
            Self::Product => "PRODUCT",
            _ => "UNKNOWN",
        }
    }
}

/// Body and button hold the same short code.
fn one_time_code(card: &rules::Card) -> Result<(), Refusal> {
    let text = |parameters: &[Parameter]| match parameters.first().map(|one| &one.place) {
        Some(Place::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let code = text(card.body.as_deref().unwrap_or_default());
    if code.chars().count() > CODE {
        let details = format!("body: a one-time code has at most {CODE} characters");
        return Err(Refusal::of_code(132_018).details(details));
    }
    let other = card.buttons.iter().any(|button| text(&button.parameters) != code);
    if other {
        return Err(Refusal::of_code(132_018).details("buttons: the code is not that of the body"));
    }
    Ok(())
}

/// What Meta takes in no place.
fn plain(text: &str, at: &str) -> Result<(), Refusal> {
    if text.contains(['\n', '\r', '\t']) || text.contains("     ") {
        let details = format!("{at}: Param text cannot have new-line/tab characters or more than 4 consecutive spaces");
        return Err(Refusal::of_code(132_018).details(details));
    }
    Ok(())
}

fn count(at: &str, given: usize, wanted: usize) -> Refusal {
    Refusal::of_code(132_000).details(format!(
        "{at}: number of localizable_params ({given}) does not match the expected number of params ({wanted})"
    ))
}

fn format_mismatch(at: &str, what: &str) -> Refusal {
    Refusal::of_code(132_012).details(format!("{at}: Format mismatch, {what}"))
}

fn missing(what: &str) -> Refusal {
    Refusal::of_code(131_008).details(what)
}

#[cfg(test)]
mod tests;
