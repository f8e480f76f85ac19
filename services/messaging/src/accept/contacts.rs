//! Recipients: a contact for each user, per application.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use moka::future::Cache;
use moka::sync;
use outeract_clock::{SharedClock, SharedRandom};
use outeract_domain::{ContactId, Recipient};
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::contact::{self as store, NewIdentity};
use crate::store::{DbError, run};
use crate::vault::Vault;

/// Contacts by what callers write, the most used of them in memory. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Contacts {
    clock: SharedClock,
    random: SharedRandom,
    known: Cache<(Uuid, Recipient), Uuid>,
    /// Contacts that are part of others now. What is remembered under their ids goes before they do.
    merged: sync::Cache<Uuid, Uuid>,
    /// Contacts that were erased, likewise.
    erased: sync::Cache<Uuid, ()>,
    vault: Vault,
}

/// Contacts in memory: about 20 MiB at most.
const MOST: u64 = 100_000;
/// How long a contact is remembered.
const FRESH: Duration = Duration::from_hours(1);

// === impl Contacts ===

impl Contacts {
    pub(crate) fn new(clock: SharedClock, random: SharedRandom, vault: Vault) -> Self {
        Self {
            clock,
            random,
            vault,
            known: Cache::builder().max_capacity(MOST).time_to_live(FRESH).build(),
            merged: sync::Cache::builder()
                .max_capacity(MOST)
                .time_to_live(FRESH + FRESH)
                .build(),
            erased: sync::Cache::builder()
                .max_capacity(MOST)
                .time_to_live(FRESH + FRESH)
                .build(),
        }
    }

    /// The contact, if it is in memory.
    pub(crate) async fn known(&self, application: Uuid, recipient: &Recipient) -> Option<Uuid> {
        let known = self.known.get(&(application, recipient.clone())).await;
        known
            .map(|contact| self.survivor(contact))
            .filter(|contact| !self.is_erased(*contact))
    }

    /// A contact was erased: nobody is known by it any more.
    pub(crate) fn erased(&self, contact: Uuid) {
        self.erased.insert(contact, ());
    }

    pub(crate) fn is_erased(&self, contact: Uuid) -> bool {
        self.erased.contains_key(&contact)
    }

    /// What a user who was erased is known again by: one hash for each identity, empty where it has none.
    pub(crate) fn hashes(&self, identities: &[NewIdentity<'_>]) -> Vec<Vec<u8>> {
        let hash = |identity: &NewIdentity<'_>| {
            self.vault
                .identity_hash(identity.application, identity.kind, identity.value)
        };
        let hashes = identities.iter().map(hash);
        hashes.map(|hash| hash.map_or_else(Vec::new, Vec::from)).collect()
    }

    /// A contact is part of another one now.
    pub(crate) fn merged(&self, source: Uuid, target: Uuid) {
        self.merged.insert(source, target);
    }

    /// The contact, or who it is part of, as far as that is known here.
    pub(crate) fn survivor(&self, contact: Uuid) -> Uuid {
        // Of a merge's target that is merged in turn, each look takes one step; there are few, and each leads to an older contact.
        let mut at = contact;
        while let Some(target) = self.merged.get(&at).filter(|target| *target < at) {
            at = target;
        }
        at
    }

    /// Forgets who a recipient is: an id has moved to another user.
    pub(crate) async fn forget(&self, application: Uuid, recipient: Recipient) {
        self.known.invalidate(&(application, recipient)).await;
    }

    /// Remembers a contact.
    pub(crate) async fn remember(&self, application: Uuid, recipient: Recipient, contact: Uuid) {
        self.known.insert((application, recipient), contact).await;
    }

    /// A new contact's id.
    pub(crate) fn fresh(&self) -> Uuid {
        ContactId::new(&*self.clock, &*self.random).uuid()
    }

    /// Contacts for recipients that have none, made where nobody else is making them at the same time. One user's number in two forms has one contact.
    pub(crate) async fn introduce(
        &self,
        db: &PgPool,
        recipients: HashSet<(Uuid, Recipient)>,
    ) -> Result<HashMap<(Uuid, Recipient), Uuid>, DbError> {
        let mut users: HashMap<(Uuid, String), Uuid> = HashMap::new();
        // In their own order, so that overlapping flushes cannot wait for each other in a circle.
        let mut new: BTreeMap<(Uuid, i16, Recipient), Uuid> = BTreeMap::new();
        for (application, recipient) in recipients {
            let form = recipient
                .other_form()
                .into_iter()
                .chain([recipient.as_str().to_owned()])
                .min();
            let contact = *users
                .entry((application, form.unwrap_or_default()))
                .or_insert_with(|| self.fresh());
            new.insert((application, store::kind(&recipient), recipient), contact);
        }
        let identities: Vec<_> = new
            .iter()
            .map(|((application, kind, recipient), contact)| NewIdentity {
                application: *application,
                kind: *kind,
                value: recipient.as_str(),
                contact: *contact,
            })
            .collect();
        let hashes = self.hashes(&identities);
        let introduced = run!(db, "contact.introduce", |conn| store::introduce(
            conn,
            &identities,
            &hashes
        ))?;
        let mut contacts: HashMap<(Uuid, Recipient), Uuid> = HashMap::with_capacity(new.len());
        let mut learn = |rows: Vec<store::Known>| {
            // What we wrote parses.
            contacts.extend(rows.into_iter().filter_map(|row| {
                let recipient = Recipient::from_stored(&row.value).ok()?;
                Some(((row.application, recipient), row.contact))
            }));
        };
        let others = introduced.len() < new.len();
        learn(introduced);
        if others {
            let asked: Vec<_> = new
                .keys()
                .map(|(application, kind, recipient)| (*application, *kind, recipient.as_str()))
                .collect();
            learn(run!(db, "contact.known", |conn| store::known(conn, &asked))?);
        }
        for ((application, recipient), contact) in &contacts {
            self.remember(*application, recipient.clone(), *contact).await;
        }
        Ok(contacts)
    }
}
