//! Users who have new ids in place of old ones.

use std::collections::{BTreeSet, HashMap};

use outeract_domain::{E164, Recipient};
use outeract_graph::webhook::Moved;
use uuid::Uuid;

use super::meet::Registry;
use super::sighting::{Directory, Key, Sighting, directory};
use crate::store::contact::{self as store, Gone, PARENT, PHONE, USER, WA_ID};
use crate::store::{DbError, run};

/// A user of an application has new ids.
#[derive(Debug)]
pub(crate) struct Move {
    pub application: Uuid,
    pub moved: Moved,
}

// === impl Registry ===

impl Registry {
    /// Gives users their new ids, and takes the old ones from them. The new ones first: what is done again after a failure finds the user by the old ones. A move older than the user's last
    /// one, or of a user nobody knows, changes nothing.
    pub(crate) async fn move_ids(&self, moves: &[Move]) -> Result<(), DbError> {
        if moves.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = moves.iter().flat_map(Move::before).collect();
        let asked: Vec<_> = keys
            .iter()
            .map(|(application, kind, value)| (*application, *kind, value.as_str()))
            .collect();
        let known = run!(self.db, "contact.known", |conn| store::known(conn, &asked))?;
        let known = directory(known);
        let found: Vec<Option<Uuid>> = moves.iter().map(|one| one.contact(&known)).collect();
        let contacts: Vec<Uuid> = found.iter().flatten().copied().collect();
        let moved = run!(self.db, "contact.moved", |conn| store::moved(conn, &contacts))?;
        let moved: HashMap<Uuid, _> = moved.into_iter().collect();
        let current =
            |one: &Move, contact: &Uuid| moved.get(contact).is_none_or(|last| one.moved.occurred >= Some(*last));
        let due: Vec<(&Move, Option<Uuid>)> = moves
            .iter()
            .zip(found)
            .filter(|(one, contact)| contact.is_none_or(|contact| current(one, &contact)))
            .collect();
        let sightings: Vec<_> = due.iter().map(|(one, contact)| one.sighting(*contact)).collect();
        let contacts = self.meet(&sightings).await?;
        self.retire(due.iter().map(|(one, _)| *one).zip(contacts)).await
    }

    async fn retire(&self, moves: impl Iterator<Item = (&Move, Option<Uuid>)>) -> Result<(), DbError> {
        let mut gone = BTreeSet::new();
        let mut times = HashMap::new();
        for (one, contact) in moves {
            let Some(contact) = contact else { continue };
            gone.extend(one.gone(contact));
            let last = times.entry(contact).or_insert(one.moved.occurred);
            *last = (*last).max(one.moved.occurred);
        }
        for gone in gone.iter().filter(|gone| gone.kind != WA_ID) {
            if let Ok(recipient) = Recipient::from_stored(&gone.value) {
                self.contacts.forget(gone.application, recipient).await;
            }
        }
        let gone: Vec<_> = gone.into_iter().collect();
        let mut times: Vec<_> = times
            .into_iter()
            .filter_map(|(contact, at)| Some((contact, at?)))
            .collect();
        times.sort_unstable();
        run!(self.db, "contact.retire", |conn| store::retire(conn, &gone, &times))
    }
}

// === impl Move ===

impl Move {
    /// The ids before.
    fn before(&self) -> Vec<Key> {
        let moved = &self.moved;
        let number = moved.wa_id_before.as_ref().map(|id| (PHONE, format!("+{id}")));
        let ids = [(USER, &moved.user_id_before), (PARENT, &moved.parent_before)];
        let ids = ids.into_iter().filter_map(|(kind, id)| Some((kind, id.clone()?)));
        ids.chain(number)
            .map(|(kind, value)| (self.application, kind, value))
            .collect()
    }

    /// The user, by the id that is theirs alone first.
    fn contact(&self, known: &Directory) -> Option<Uuid> {
        self.before()
            .iter()
            .find_map(|key| known.get(key))
            .map(|(contact, _)| *contact)
    }

    /// The ids now.
    fn sighting(&self, contact: Option<Uuid>) -> Sighting<'_> {
        Sighting {
            application: self.application,
            contact,
            wa_id: self.moved.wa_id.as_deref(),
            user: self.moved.user_id.as_deref(),
            parent: self.moved.parent.as_deref(),
            ..Sighting::default()
        }
    }

    /// The ids that the user has no more: those that others stand in place of.
    fn gone(&self, contact: Uuid) -> Vec<Gone> {
        let moved = &self.moved;
        let mut gone = Vec::new();
        let mut take = |kind: i16, value: String| {
            gone.push(Gone {
                application: self.application,
                kind,
                value,
                contact,
            });
        };
        let ids = [
            (USER, &moved.user_id_before, &moved.user_id),
            (PARENT, &moved.parent_before, &moved.parent),
        ];
        for (kind, before, now) in ids {
            if let (Some(before), Some(now)) = (before, now)
                && before != now
            {
                take(kind, before.clone());
            }
        }
        if let (Some(before), Some(now)) = (&moved.wa_id_before, &moved.wa_id)
            && before != now
        {
            let number = E164::from_wa_id(before).ok();
            let forms = number.map(|number| number.variants()).unwrap_or_default();
            let now = format!("+{now}");
            let all = forms
                .iter()
                .map(|form| form.as_str().to_owned())
                .chain([format!("+{before}")]);
            // In its other form it is the same number.
            for value in all.filter(|value| *value != now) {
                take(PHONE, value.clone());
                take(WA_ID, value);
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(wa_id: (&str, &str), user: (&str, &str)) -> Move {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Move {
            application: Uuid::from_u128(1),
            moved: Moved {
                wa_id_before: some(wa_id.0),
                wa_id: some(wa_id.1),
                user_id_before: some(user.0),
                user_id: some(user.1),
                ..Moved::default()
            },
        }
    }

    fn gone(one: &Move) -> Vec<(i16, String)> {
        let gone = one.gone(Uuid::from_u128(2));
        gone.into_iter().map(|gone| (gone.kind, gone.value)).collect()
    }

    #[test]
    fn what_others_stand_in_place_of_is_gone_and_nothing_else() {
        let both = moved(("16505551234", "16505559999"), ("US.1", "US.2"));
        assert_eq!(
            gone(&both),
            [
                (USER, "US.1".to_owned()),
                (PHONE, "+16505551234".to_owned()),
                (WA_ID, "+16505551234".to_owned())
            ]
        );
        assert!(gone(&moved(("16505551234", ""), ("US.1", "US.1"))).is_empty());
        assert!(gone(&moved(("16505551234", "16505551234"), ("US.1", ""))).is_empty());
    }

    #[test]
    fn a_number_goes_in_both_of_its_forms_unless_it_is_the_same_number() {
        let other = moved(("551187654321", "5511912345678"), ("", ""));
        let values: Vec<_> = gone(&other)
            .into_iter()
            .filter(|(kind, _)| *kind == PHONE)
            .map(|(_, value)| value)
            .collect();
        assert_eq!(values, ["+5511987654321", "+551187654321"]);
        let same = moved(("551187654321", "5511987654321"), ("", ""));
        assert_eq!(
            gone(&same),
            [(PHONE, "+551187654321".to_owned()), (WA_ID, "+551187654321".to_owned())]
        );
    }
}
