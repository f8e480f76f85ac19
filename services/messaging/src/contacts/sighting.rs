//! What one report says of one user, and who the users of many reports are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use crate::store::contact::{Known, PARENT, PHONE, USER, WA_ID};
use crate::store::merge::Same;

/// What Meta showed of one user at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Sighting<'a> {
    pub application: Uuid,
    /// The contact, where the report is about something of ours.
    pub contact: Option<Uuid>,
    /// WhatsApp id: digits.
    pub wa_id: Option<&'a str>,
    pub user: Option<&'a str>,
    pub parent: Option<&'a str>,
    /// Without `@`.
    pub username: Option<&'a str>,
    pub name: Option<&'a str>,
    /// A user who is not known becomes a contact.
    pub create: bool,
}

/// An identity: application, kind, value.
pub(super) type Key = (Uuid, i16, String);

/// What is known of identities.
pub(super) type Directory = HashMap<Key, (Uuid, bool)>;

/// Who the users are.
#[derive(Debug, Default)]
pub(super) struct Grouped {
    /// One for each sighting; none: nobody knows the user, and nobody needs to.
    pub contacts: Vec<Option<Uuid>>,
    /// Identities that are new, and whose they are.
    pub new: BTreeMap<Key, Uuid>,
    /// Contacts that turned out to be one.
    pub same: Vec<Same>,
}

// === impl Sighting ===

impl Sighting<'_> {
    /// The ids. A WhatsApp id is a phone number as well.
    pub(super) fn identities(&self) -> Vec<Key> {
        let mut keys = Vec::with_capacity(4);
        if let Some(wa_id) = self.wa_id {
            keys.push((self.application, PHONE, format!("+{wa_id}")));
            keys.push((self.application, WA_ID, format!("+{wa_id}")));
        }
        let users = [(USER, self.user), (PARENT, self.parent)];
        keys.extend(
            users
                .into_iter()
                .filter_map(|(kind, id)| Some((self.application, kind, id?.to_owned()))),
        );
        keys
    }

    /// The other form of the phone number.
    pub(super) fn other_form(&self) -> Option<Key> {
        let number = outeract_domain::E164::from_wa_id(self.wa_id?).ok()?;
        let other = number.variants().pop()?;
        Some((self.application, PHONE, other.as_str().to_owned()))
    }
}

/// Whom the sightings are of. Sightings that share an id are of one user; so are contacts that one sighting names. `fresh` makes ids of new contacts.
pub(super) fn group(sightings: &[Sighting<'_>], known: &Directory, mut fresh: impl FnMut() -> Uuid) -> Grouped {
    let mut sets = Sets::new(sightings.len());
    let mut first: HashMap<Key, usize> = HashMap::new();
    let mut first_of_contact: HashMap<(Uuid, Uuid), usize> = HashMap::new();
    let identities: Vec<Vec<Key>> = sightings.iter().map(Sighting::identities).collect();
    for (index, (sighting, keys)) in sightings.iter().zip(&identities).enumerate() {
        for key in keys {
            sets.unite(*first.entry(key.clone()).or_insert(index), index);
        }
        let named = keys
            .iter()
            .filter_map(|key| known.get(key))
            .map(|(contact, _)| *contact);
        for contact in named.chain(sighting.contact) {
            let key = (sighting.application, contact);
            sets.unite(*first_of_contact.entry(key).or_insert(index), index);
        }
    }
    let mut users: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..sightings.len() {
        users.entry(sets.root(index)).or_default().push(index);
    }
    let mut grouped = Grouped {
        contacts: vec![None; sightings.len()],
        ..Grouped::default()
    };
    for members in users.into_values() {
        let mut contacts: BTreeSet<Uuid> = BTreeSet::new();
        for &index in &members {
            contacts.extend(sightings[index].contact);
            contacts.extend(
                identities[index]
                    .iter()
                    .filter_map(|key| known.get(key))
                    .map(|(contact, _)| *contact),
            );
        }
        let by_form = || {
            let forms = members.iter().filter_map(|index| sightings[*index].other_form());
            forms
                .filter_map(|key| known.get(&key))
                .filter(|(_, retired)| !retired)
                .map(|(contact, _)| *contact)
                .min()
        };
        let create = members.iter().any(|index| sightings[*index].create);
        let Some(contact) = contacts
            .first()
            .copied()
            .or_else(by_form)
            .or_else(|| create.then(&mut fresh))
        else {
            continue;
        };
        for &index in &members {
            grouped.contacts[index] = Some(contact);
            // A report that names the user by ids of the past alone says nothing of the present.
            let found: Vec<bool> = identities[index]
                .iter()
                .filter_map(|key| known.get(key))
                .map(|(_, retired)| *retired)
                .collect();
            let past = !found.is_empty() && found.iter().all(|retired| *retired) && sightings[index].contact.is_none();
            if !past {
                let new = identities[index].iter().filter(|key| !known.contains_key(*key));
                grouped.new.extend(new.map(|key| (key.clone(), contact)));
            }
        }
        if contacts.len() > 1 {
            grouped.same.push(Same {
                application: sightings[members[0]].application,
                contacts: contacts.into_iter().collect(),
            });
        }
    }
    grouped
}

/// What the database knows, to look things up in.
pub(super) fn directory(known: Vec<Known>) -> Directory {
    let entries = known.into_iter();
    entries
        .map(|row| ((row.application, row.kind, row.value), (row.contact, row.retired)))
        .collect()
}

/// Disjoint sets of numbers.
struct Sets(Vec<usize>);

// === impl Sets ===

impl Sets {
    fn new(size: usize) -> Self {
        Self((0..size).collect())
    }

    fn root(&mut self, index: usize) -> usize {
        let mut at = index;
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn unite(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const APPLICATION: Uuid = Uuid::from_u128(9);

    fn seen<'a>(wa_id: &'a str, user: &'a str, parent: &'a str) -> Sighting<'a> {
        let some = |text: &'a str| (!text.is_empty()).then_some(text);
        Sighting {
            application: APPLICATION,
            wa_id: some(wa_id),
            user: some(user),
            parent: some(parent),
            create: true,
            ..Sighting::default()
        }
    }

    fn known(entries: &[(i16, &str, u128, bool)]) -> Directory {
        let entries = entries.iter();
        entries
            .map(|(kind, value, contact, retired)| {
                let key = (APPLICATION, *kind, (*value).to_owned());
                (key, (Uuid::from_u128(*contact), *retired))
            })
            .collect()
    }

    fn run(sightings: &[Sighting<'_>], known: &Directory) -> (Vec<Option<u128>>, Vec<String>, Vec<Vec<u128>>) {
        let mut next = 100;
        let grouped = group(sightings, known, || {
            next += 1;
            Uuid::from_u128(next)
        });
        (
            grouped
                .contacts
                .iter()
                .map(|contact| contact.map(|id| id.as_u128()))
                .collect(),
            grouped
                .new
                .into_iter()
                .map(|((_, kind, value), contact)| format!("{kind} {value} {}", contact.as_u128()))
                .collect(),
            grouped
                .same
                .into_iter()
                .map(|same| same.contacts.iter().map(Uuid::as_u128).collect())
                .collect(),
        )
    }

    #[test]
    fn sightings_that_share_an_id_are_of_one_user() {
        let (contacts, new, same) = run(
            &[
                seen("1", "US.1", ""),
                seen("", "US.2", "US.ENT.2"),
                seen("", "US.1", "US.ENT.1"),
                seen("3", "", "US.ENT.2"),
            ],
            &known(&[]),
        );
        assert_eq!(contacts, [Some(101), Some(102), Some(101), Some(102)]);
        assert_eq!(
            new,
            [
                "1 +1 101",
                "1 +3 102",
                "2 US.1 101",
                "2 US.2 102",
                "3 US.ENT.1 101",
                "3 US.ENT.2 102",
                "4 +1 101",
                "4 +3 102"
            ]
        );
        assert!(same.is_empty());
    }

    #[test]
    fn contacts_that_one_report_names_are_one_and_the_oldest_is_it() {
        let directory = known(&[
            (PHONE, "+1", 7, false),
            (USER, "US.1", 5, false),
            (PARENT, "US.ENT.1", 6, false),
        ]);
        let (contacts, new, same) = run(&[seen("1", "US.1", ""), seen("", "US.1", "US.ENT.1")], &directory);
        assert_eq!(contacts, [Some(5), Some(5)]);
        assert_eq!(new, ["4 +1 5"]);
        assert_eq!(same, [vec![5, 6, 7]]);
        let answer = Sighting {
            contact: Some(Uuid::from_u128(3)),
            create: false,
            ..seen("1", "", "")
        };
        assert_eq!(run(&[answer], &directory).2, [vec![3, 7]]);
    }

    #[test]
    fn a_number_in_its_other_form_finds_who_has_no_better_match() {
        let directory = known(&[(PHONE, "+5511987654321", 7, false), (USER, "BR.1", 9, false)]);
        assert_eq!(run(&[seen("551187654321", "", "")], &directory).0, [Some(7)]);
        let (contacts, new, same) = run(&[seen("551187654321", "BR.1", "")], &directory);
        assert_eq!((contacts, same), (vec![Some(9)], vec![]));
        assert_eq!(new, ["1 +551187654321 9", "4 +551187654321 9"]);
    }

    #[test]
    fn a_report_from_the_past_finds_its_user_and_brings_nothing_back() {
        let directory = known(&[(USER, "US.1", 7, true), (USER, "US.2", 7, false)]);
        let (contacts, new, _) = run(&[seen("1", "US.1", "")], &directory);
        assert_eq!((contacts, new), (vec![Some(7)], vec![]));
        assert_eq!(run(&[seen("1", "US.2", "")], &directory).1, ["1 +1 7", "4 +1 7"]);
    }

    #[test]
    fn a_status_makes_no_contact() {
        let status = Sighting {
            create: false,
            ..seen("1", "US.1", "")
        };
        let (contacts, new, same) = run(&[status], &known(&[]));
        assert_eq!((contacts, new.len(), same.len()), (vec![None], 0, 0));
        assert_eq!(run(&[status, seen("1", "", "")], &known(&[])).0, [Some(101), Some(101)]);
    }

    #[test]
    fn applications_have_nothing_in_common() {
        let other = Sighting {
            application: Uuid::from_u128(8),
            ..seen("1", "US.1", "")
        };
        let (contacts, ..) = run(&[seen("1", "US.1", ""), other], &known(&[(PHONE, "+1", 7, false)]));
        assert_eq!(contacts, [Some(7), Some(101)]);
    }

    proptest! {
        #[test]
        fn whatever_the_order_users_are_told_apart_alike(
            sightings in prop::collection::vec((0..4_u8, 0..4_u8, 0..3_u8), 1..12),
            entries in prop::collection::vec((1..4_i16, 0..4_u8, 1..6_u128), 0..6),
        ) {
            let ids: Vec<[String; 3]> = sightings
                .iter()
                .map(|(wa, user, parent)| {
                    let id = |prefix: &str, number: u8| if number == 0 { String::new() } else { format!("{prefix}{number}") };
                    [id("", *wa), id("US.", *user), id("US.ENT.", *parent)]
                })
                .collect();
            let seen: Vec<Sighting<'_>> = ids.iter().filter(|ids| ids.iter().any(|id| !id.is_empty())).map(|[wa, user, parent]| seen(wa, user, parent)).collect();
            let directory: Directory = entries
                .into_iter()
                .map(|(kind, number, contact)| {
                    let value = [format!("+{number}"), format!("US.{number}"), format!("US.ENT.{number}")][kind as usize - 1].clone();
                    ((APPLICATION, kind, value), (Uuid::from_u128(contact), false))
                })
                .collect();
            let partition = |contacts: &[Option<u128>]| -> Vec<Vec<bool>> {
                contacts.iter().map(|one| contacts.iter().map(|other| one == other).collect()).collect()
            };
            let (forward, _, mut same) = run(&seen, &directory);
            let reversed: Vec<_> = seen.iter().rev().copied().collect();
            let (mut backward, _, mut same_backward) = run(&reversed, &directory);
            backward.reverse();
            prop_assert!(forward.iter().all(Option::is_some));
            prop_assert_eq!(partition(&forward), partition(&backward));
            same.sort();
            same_backward.sort();
            prop_assert_eq!(&same, &same_backward);
            // No contact is to become two others.
            let mut merged: Vec<u128> = same.concat();
            let count = merged.len();
            merged.sort_unstable();
            merged.dedup();
            prop_assert_eq!(merged.len(), count);
        }
    }
}
