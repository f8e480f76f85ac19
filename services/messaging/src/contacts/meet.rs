//! From ids that Meta shows to contacts.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use moka::sync::Cache;
use outeract_domain::Recipient;
use sqlx::PgPool;
use uuid::Uuid;

use super::sighting::{Directory, Grouped, Key, Sighting, directory, group};
use super::tell::Bell;
use crate::accept::Contacts;
use crate::store::contact::{self as store, NewIdentity, PARENT, PHONE, USER};
use crate::store::{DbError, run};
use crate::vault::{Hash, Vault};

/// Who is who. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(super) db: PgPool,
    pub(super) vault: Vault,
    pub(super) contacts: Contacts,
    pub(super) bell: Bell,
    /// What was learned lately, by the ids that were shown.
    seen: Cache<Hash, Seen>,
}

/// Whose the ids are, and which names were shown with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    contact: Option<Uuid>,
    names: Hash,
}

/// Reports in memory: about 12 MiB at most.
const MOST: u64 = 100_000;
/// How long a report is taken as learned. Ids can move from one user to another.
const FRESH: Duration = Duration::from_hours(1);
/// How often identities are looked up again because somebody else was giving the same ones. Each time there are fewer of them.
const ROUNDS: usize = 8;
/// Longest user name that is kept, in bytes, and longest profile name, in characters. WhatsApp's own are shorter.
const LONGEST_USERNAME: usize = 64;
const LONGEST_NAME: usize = 256;

// === impl Registry ===

impl Registry {
    pub(crate) fn new(db: PgPool, vault: Vault, contacts: Contacts, bell: Bell) -> Self {
        let seen = Cache::builder().max_capacity(MOST).time_to_live(FRESH).build();
        Self {
            db,
            vault,
            contacts,
            bell,
            seen,
        }
    }

    /// Who the users are: contacts are made, get the ids that are new, and become one where they are the same user. None: the user is not known and need not be.
    pub(crate) async fn meet(&self, sightings: &[Sighting<'_>]) -> Result<Vec<Option<Uuid>>, DbError> {
        let prints: Vec<(Hash, Hash)> = sightings.iter().map(|sighting| self.print(sighting)).collect();
        let mut contacts: Vec<Option<Option<Uuid>>> = prints.iter().map(|print| self.known(print)).collect();
        let new: Vec<usize> = (0..sightings.len())
            .filter(|index| contacts[*index].is_none())
            .collect();
        if !new.is_empty() {
            let asked: Vec<Sighting<'_>> = new.iter().map(|index| sightings[*index]).collect();
            for (index, contact) in new.into_iter().zip(self.learn(asked).await?) {
                let (ids, names) = prints[index];
                self.seen.insert(ids, Seen { contact, names });
                contacts[index] = Some(contact);
            }
        }
        Ok(contacts.into_iter().map(Option::flatten).collect())
    }

    /// The report was learned lately.
    pub(crate) fn has_met(&self, sighting: &Sighting<'_>) -> bool {
        self.known(&self.print(sighting)).is_some()
    }

    #[expect(clippy::option_option, reason = "known to be nobody is not unknown")]
    fn known(&self, (ids, names): &(Hash, Hash)) -> Option<Option<Uuid>> {
        let seen = self.seen.get(ids).filter(|seen| seen.names == *names)?;
        let contact = seen.contact.map(|contact| self.contacts.survivor(contact));
        // Of a contact that was erased nothing is known.
        (!contact.is_some_and(|contact| self.contacts.is_erased(contact))).then_some(contact)
    }

    /// What the ids, and what the names of a report are recognised by.
    fn print(&self, sighting: &Sighting<'_>) -> (Hash, Hash) {
        let text = |text: Option<&'_ str>| text.unwrap_or_default().as_bytes().to_vec();
        let contact = sighting.contact.unwrap_or_default();
        let ids = self.vault.sighting_hash(&[
            sighting.application.as_bytes(),
            &[u8::from(sighting.create)],
            contact.as_bytes(),
            &text(sighting.wa_id),
            &text(sighting.user),
            &text(sighting.parent),
        ]);
        let names = match (sighting.username, sighting.name) {
            (None, None) => Hash::default(),
            (username, name) => self.vault.sighting_hash(&[&text(username), &text(name)]),
        };
        (ids, names)
    }

    async fn learn(&self, mut sightings: Vec<Sighting<'_>>) -> Result<Vec<Option<Uuid>>, DbError> {
        self.follow_merges(&mut sightings).await?;
        let mut round = 1;
        let (mut grouped, known) = loop {
            let (grouped, known) = self.look_up(&sightings).await?;
            if grouped.new.is_empty() || self.introduce(&grouped).await? {
                break (grouped, known);
            }
            if round == ROUNDS {
                let cause = sqlx::Error::Protocol("identities are given faster than they are looked up".to_owned());
                return Err(cause.into());
            }
            round += 1;
        };
        if !grouped.same.is_empty() {
            let merged = self.merge(&grouped.same).await?;
            let survivors: HashMap<Uuid, Uuid> = merged.iter().map(|merged| (merged.source, merged.target)).collect();
            for contact in grouped.contacts.iter_mut().flatten() {
                *contact = survivors.get(contact).copied().unwrap_or(*contact);
            }
        }
        self.keep_profiles(&sightings, &grouped.contacts).await?;
        for (sighting, contact) in sightings.iter().zip(&grouped.contacts) {
            let Some(contact) = *contact else { continue };
            for key in sighting.identities() {
                // What is of the past is nobody's to be written to by.
                if grouped.new.contains_key(&key) || known.get(&key).is_some_and(|(_, retired)| !retired) {
                    self.remember(key, contact).await;
                }
            }
        }
        Ok(grouped.contacts)
    }

    /// Reports about something of ours may name a contact that was merged since.
    async fn follow_merges(&self, sightings: &mut [Sighting<'_>]) -> Result<(), DbError> {
        let named: Vec<Uuid> = sightings.iter().filter_map(|sighting| sighting.contact).collect();
        if named.is_empty() {
            return Ok(());
        }
        let survivors = run!(self.db, "contact.survivors", |conn| store::survivors(conn, &named))?;
        let named = sightings.iter_mut().filter_map(|sighting| sighting.contact.as_mut());
        for (contact, survivor) in named.zip(survivors) {
            *contact = survivor;
        }
        for sighting in sightings {
            // Whoever has the ids is somebody new.
            sighting.contact = sighting.contact.filter(|contact| !self.contacts.is_erased(*contact));
        }
        Ok(())
    }

    async fn look_up(&self, sightings: &[Sighting<'_>]) -> Result<(Grouped, Directory), DbError> {
        let keys: Vec<_> = sightings
            .iter()
            .flat_map(|sighting| sighting.identities().into_iter().chain(sighting.other_form()))
            .collect();
        let asked: Vec<_> = keys
            .iter()
            .map(|(application, kind, value)| (*application, *kind, value.as_str()))
            .collect();
        let known = run!(self.db, "contact.known", |conn| store::known(conn, &asked))?;
        let known = directory(known);
        Ok((group(sightings, &known, || self.contacts.fresh()), known))
    }

    /// False: somebody else was giving some of the ids at the same time.
    async fn introduce(&self, grouped: &Grouped) -> Result<bool, DbError> {
        let identities: Vec<_> = grouped
            .new
            .iter()
            .map(|((application, kind, value), contact)| NewIdentity {
                application: *application,
                kind: *kind,
                value,
                contact: *contact,
            })
            .collect();
        let hashes = self.contacts.hashes(&identities);
        let introduced = run!(self.db, "contact.introduce", |conn| store::introduce(
            conn,
            &identities,
            &hashes
        ))?;
        Ok(introduced.len() == identities.len())
    }

    /// What callers may write to find the contact by.
    async fn remember(&self, (application, kind, value): Key, contact: Uuid) {
        if let (PHONE | USER | PARENT, Ok(recipient)) = (kind, Recipient::from_stored(&value)) {
            self.contacts.remember(application, recipient, contact).await;
        }
    }

    /// Keeps names that are new. Of several reports of one user the last counts.
    async fn keep_profiles(&self, sightings: &[Sighting<'_>], contacts: &[Option<Uuid>]) -> Result<(), DbError> {
        let mut shown: BTreeMap<Uuid, (Uuid, Option<String>, Option<String>)> = BTreeMap::new();
        for (sighting, contact) in sightings.iter().zip(contacts) {
            let Some(contact) = *contact else { continue };
            let (name, username) = (sighting.name.and_then(name_of), sighting.username.and_then(username_of));
            if name.is_some() || username.is_some() {
                let entry = shown.entry(contact).or_insert((sighting.application, None, None));
                entry.1 = name.or(entry.1.take());
                entry.2 = username.or(entry.2.take());
            }
        }
        if shown.is_empty() {
            return Ok(());
        }
        let asked: Vec<Uuid> = shown.keys().copied().collect();
        let known = run!(self.db, "contact.profiles", |conn| store::profiles(conn, &asked))?;
        let mut names = BTreeMap::new();
        let mut usernames = BTreeMap::new();
        for profile in known {
            let Some((application, name, username)) = shown.remove(&profile.contact) else {
                continue;
            };
            let before = profile
                .sealed
                .and_then(|sealed| self.vault.open_profile(application, profile.contact, &sealed).ok());
            if let Some(name) = name.filter(|name| before.as_ref() != Some(name)) {
                names.insert(
                    profile.contact,
                    self.vault.seal_profile(application, profile.contact, &name),
                );
            }
            if let Some(username) = username.filter(|username| profile.username.as_ref() != Some(username)) {
                usernames.insert((application, username), profile.contact);
            }
        }
        self.write_profiles(names.into_iter().collect(), &usernames).await
    }

    async fn write_profiles(
        &self,
        names: Vec<(Uuid, Vec<u8>)>,
        usernames: &BTreeMap<(Uuid, String), Uuid>,
    ) -> Result<(), DbError> {
        if !names.is_empty() {
            run!(self.db, "contact.keep_profiles", |conn| store::keep_profiles(
                conn, &names
            ))?;
        }
        let renamed: Vec<_> = usernames
            .iter()
            .map(|((application, username), contact)| NewIdentity {
                application: *application,
                kind: store::USERNAME,
                value: username,
                contact: *contact,
            })
            .collect();
        if !renamed.is_empty() {
            run!(self.db, "contact.rename", |conn| store::rename(conn, &renamed))?;
        }
        Ok(())
    }
}

/// A user's name as it is kept.
fn name_of(name: &str) -> Option<String> {
    let kept: String = name
        .chars()
        .filter(|character| *character != '\0')
        .take(LONGEST_NAME)
        .collect();
    (!kept.trim().is_empty()).then_some(kept)
}

/// A user name as it is kept: without its `@`.
fn username_of(username: &str) -> Option<String> {
    let bare = username.trim().trim_start_matches('@');
    let plain = (1..=LONGEST_USERNAME).contains(&bare.len()) && !bare.contains('\0');
    plain.then(|| bare.to_owned())
}
