//! Recipients: a contact for each phone number, per application.

use std::collections::{BTreeMap, HashMap, HashSet};

use moka::future::Cache;
use outeract_clock::{SharedClock, SharedRandom};
use outeract_domain::{ContactId, E164};
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::accept::{self as store, NewIdentity, PHONE};
use crate::store::{DbError, run};

/// Contacts by phone number, the most used of them in memory. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Contacts {
    clock: SharedClock,
    random: SharedRandom,
    known: Cache<(Uuid, E164), Uuid>,
}

/// Contacts in memory: about 20 MiB at most.
const MOST: u64 = 100_000;

// === impl Contacts ===

impl Contacts {
    pub(crate) fn new(clock: SharedClock, random: SharedRandom) -> Self {
        Self {
            clock,
            random,
            known: Cache::new(MOST),
        }
    }

    /// The contact, if it is in memory.
    pub(crate) async fn known(&self, application: Uuid, number: &E164) -> Option<Uuid> {
        self.known.get(&(application, number.clone())).await
    }

    /// Remembers a contact.
    pub(crate) async fn remember(&self, application: Uuid, number: E164, contact: Uuid) {
        self.known.insert((application, number), contact).await;
    }

    /// A new contact's id.
    pub(crate) fn fresh(&self) -> Uuid {
        ContactId::new(&*self.clock, &*self.random).uuid()
    }

    /// Contacts for phone numbers that have none, made where nobody else is making them at the same time.
    pub(crate) async fn introduce(
        &self,
        db: &PgPool,
        numbers: HashSet<(Uuid, E164)>,
    ) -> Result<HashMap<(Uuid, E164), Uuid>, DbError> {
        // In their own order, so that overlapping flushes cannot wait for each other in a circle.
        let new: BTreeMap<(Uuid, E164), Uuid> = numbers.into_iter().map(|key| (key, self.fresh())).collect();
        let identities: Vec<_> = new
            .iter()
            .map(|((application, number), contact)| NewIdentity {
                application: *application,
                kind: PHONE,
                value: number.as_str(),
                contact: *contact,
            })
            .collect();
        let introduced = run!(db, "contact.introduce", |conn| store::introduce(conn, &identities))?;
        let mut contacts: HashMap<(Uuid, E164), Uuid> = HashMap::with_capacity(new.len());
        let mut learn = |rows: Vec<store::Known>| {
            // What we wrote parses.
            contacts.extend(
                rows.into_iter()
                    .filter_map(|row| Some(((row.application, row.value.parse().ok()?), row.contact))),
            );
        };
        let others = introduced.len() < new.len();
        learn(introduced);
        if others {
            let asked: Vec<_> = new
                .keys()
                .map(|(application, number)| (*application, number.as_str()))
                .collect();
            learn(run!(db, "contact.known", |conn| store::known(conn, PHONE, &asked))?);
        }
        for ((application, number), contact) in &contacts {
            self.remember(*application, number.clone(), *contact).await;
        }
        Ok(contacts)
    }
}
