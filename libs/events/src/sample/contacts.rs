use outeract_proto::messaging::v1::{
    ContactAddress, ContactCard, ContactEmail, ContactName, ContactOrganization, ContactPhone, ContactUrl,
    ContactsContent,
};

use super::Sampler;

const PLACES: &[&str] = &["", "HOME", "WORK"];
const DATES: &[&str] = &["", "1999-01-23", "2000-02-29"];
const BAD_DATES: &[&str] = &["1999-02-29", "23.01.1999", "1999-1-23", "--01-23"];

// === impl Sampler ===

impl Sampler {
    pub(super) fn contacts(&mut self) -> ContactsContent {
        let vcard = if self.slips() {
            self.one_of(&["hello", "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:A\r\n"])
                .to_owned()
        } else {
            String::new()
        };
        let contacts = if self.below(30) == 0 {
            // The limit is far: it is broken more often than by one decision of many.
            let over = self.slip.is_some() && self.below(2) == 0;
            vec![self.card(); 257 + usize::from(over)]
        } else {
            self.many(1, 4, Self::card)
        };
        ContactsContent { contacts, vcard }
    }

    fn card(&mut self) -> ContactCard {
        let dates = if self.slips() { BAD_DATES } else { DATES };
        ContactCard {
            name: self.required(Self::name),
            phones: self.few(|sampler| ContactPhone {
                phone: sampler.text(64),
                r#type: sampler.one_of(PLACES).to_owned(),
                wa_id: if sampler.slips() {
                    "+1"
                } else {
                    sampler.one_of(&["", "16505551234"])
                }
                .to_owned(),
            }),
            emails: self.few(|sampler| ContactEmail {
                email: sampler.text(320),
                r#type: sampler.one_of(PLACES).to_owned(),
            }),
            addresses: self.few(Self::postal_address),
            urls: self.few(|sampler| ContactUrl {
                url: sampler.text(2_048),
                r#type: sampler.one_of(PLACES).to_owned(),
            }),
            organization: self.maybe(|sampler| ContactOrganization {
                company: if sampler.slips() {
                    String::new()
                } else {
                    "Lucky Shrub".to_owned()
                },
                ..ContactOrganization::default()
            }),
            birthday: self.one_of(dates).to_owned(),
        }
    }

    fn name(&mut self) -> ContactName {
        ContactName {
            formatted_name: self.text(250),
            first_name: if self.slips() {
                String::new()
            } else {
                "Barbara".to_owned()
            },
            ..ContactName::default()
        }
    }

    fn postal_address(&mut self) -> ContactAddress {
        ContactAddress {
            street: self.optional_text(250),
            city: if self.slips() {
                String::new()
            } else {
                "Menlo Park".to_owned()
            },
            country_code: if self.slips() { "USA" } else { "us" }.to_owned(),
            r#type: self.one_of(PLACES).to_owned(),
            ..ContactAddress::default()
        }
    }

    /// Up to three of what a card may have twenty of, or all of them, or one more.
    fn few<T>(&mut self, draw: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let most = if self.below(20) == 0 { 20 } else { 2 };
        let mut few = self.many(0, most, draw);
        // Three are fine: only what is beyond twenty slips.
        if most == 2 {
            few.truncate(2);
        }
        few
    }
}
