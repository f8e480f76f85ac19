//! Whom an erasure is about, as it is kept while it runs.

use std::collections::BTreeSet;

use outeract_domain::Recipient;

use crate::store::contact::{PARENT, PHONE, USER, WA_ID};
use crate::vault::{Hash, Vault};

/// A user's ids: kinds and values, as in the identity table.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Ids(BTreeSet<(i16, String)>);

/// Digits that the webhook service looks for: shorter ones would be found in what is no phone number.
const DIGITS: std::ops::RangeInclusive<usize> = 5..=20;
/// Bytes of a user id there.
const LONGEST: usize = 256;

// === impl Ids ===

impl Ids {
    /// With the other form of each phone number that has one.
    pub(crate) fn new(ids: impl IntoIterator<Item = (i16, String)>) -> Self {
        let mut all = BTreeSet::new();
        for (kind, value) in ids {
            let other = Recipient::from_stored(&value).ok().and_then(|known| known.other_form());
            all.extend(other.map(|other| (kind, other)));
            all.insert((kind, value));
        }
        Self(all)
    }

    /// These and others.
    pub(crate) fn and(&self, others: &Self) -> Self {
        Self(self.0.union(&others.0).cloned().collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(i16, String)> {
        self.0.iter()
    }

    /// Phone numbers and WhatsApp ids, digits.
    pub(crate) fn digits(&self) -> Vec<String> {
        let phones = self.0.iter().filter(|(kind, _)| matches!(*kind, PHONE | WA_ID));
        let digits: BTreeSet<&str> = phones
            .map(|(_, value)| value.trim_start_matches('+'))
            .filter(|digits| DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .collect();
        digits.into_iter().map(str::to_owned).collect()
    }

    /// User ids and parent ids.
    pub(crate) fn users(&self) -> Vec<String> {
        let users = self.0.iter().filter(|(kind, _)| matches!(*kind, USER | PARENT));
        let users: BTreeSet<&String> = users
            .map(|(_, value)| value)
            .filter(|value| (1..=LONGEST).contains(&value.len()))
            .collect();
        users.into_iter().cloned().collect()
    }

    /// What they are known by when they are gone.
    pub(crate) fn hashes(&self, application: uuid::Uuid, vault: &Vault) -> Vec<Vec<u8>> {
        let hashes: BTreeSet<Hash> = self
            .0
            .iter()
            .filter_map(|(kind, value)| vault.identity_hash(application, *kind, value))
            .collect();
        hashes.into_iter().map(|hash| hash.to_vec()).collect()
    }
}

// Ids of users are private.
impl std::fmt::Debug for Ids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ids").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::contact::USERNAME;
    use crate::vault::tests::vault;

    #[test]
    fn both_forms_of_a_number_are_looked_for_and_names_are_not() {
        let ids = Ids::new([
            (PHONE, "+5511987654321".to_owned()),
            (WA_ID, "+5511987654321".to_owned()),
            (USER, "US.1".to_owned()),
            (PARENT, "US.ENT.2".to_owned()),
            (USERNAME, "ann".to_owned()),
            (PHONE, "+1".to_owned()),
        ]);
        let mut digits = ids.digits();
        digits.sort_by_key(String::len);
        assert_eq!(digits, ["551187654321", "5511987654321"]);
        assert_eq!(ids.users(), ["US.1", "US.ENT.2"]);
        assert!(!format!("{ids:?}").contains("551"));
    }

    #[test]
    fn a_number_is_known_again_whichever_way_it_came_and_by_its_own_application_only() {
        let vault = vault();
        let application = Uuid::from_u128(1);
        let hash = |kind, value: &str| Ids::new([(kind, value.to_owned())]).hashes(application, &vault);
        assert_eq!(hash(PHONE, "+14155551234"), hash(WA_ID, "+14155551234"));
        assert_ne!(hash(USER, "US.1"), hash(PARENT, "US.1"));
        assert_ne!(
            hash(PHONE, "+14155551234"),
            Ids::new([(PHONE, "+14155551234".to_owned())]).hashes(Uuid::from_u128(2), &vault)
        );
        assert!(hash(USERNAME, "ann").is_empty());
    }
}
