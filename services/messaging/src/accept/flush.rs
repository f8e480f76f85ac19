//! One flush of orders.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use outeract_batch::{Flush, FlushError};
use outeract_domain::Recipient;
use outeract_postgres::Class;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Accepted, Contacts, Order};
use crate::dispatch::{Fresh, Hints};
use crate::events::{self, Subject};
use crate::forward::Forwarder;
use crate::ids;
use crate::store::accept::{self as store, Asked, NewMessage, Resolved, Stored};
use crate::store::{DbError, run};

/// Stores orders.
pub(super) struct Store {
    pub(super) db: PgPool,
    pub(super) contacts: Contacts,
    pub(super) hints: Hints,
    pub(super) forwarder: Forwarder,
}

/// How often a flush whose commit is unknown is run again. Its keys make that harmless.
const COMMIT_UNKNOWN_RETRIES: usize = 2;

/// What a message costs besides its content.
const ROW_BYTES: usize = 256;

impl Flush for Store {
    type Item = Order;
    type Output = Accepted;
    type Error = DbError;

    fn weight(&self, order: &Order) -> usize {
        order.parts.iter().map(|part| part.sealed.len() + ROW_BYTES).sum()
    }

    async fn flush(&self, orders: &[Order]) -> Result<Vec<Accepted>, FlushError<DbError>> {
        let mut again = 0;
        loop {
            match self.store(orders).await {
                Ok(outcomes) => return Ok(outcomes),
                // Whoever stored a key under our own id was this flush: running it again tells what is true.
                Err(error) if error.class() == Class::CommitUnknown && again < COMMIT_UNKNOWN_RETRIES => again += 1,
                Err(error) if error.class() == Class::Data => return Err(FlushError::Poison(error)),
                Err(error) => return Err(FlushError::Whole(error)),
            }
        }
    }
}

impl Store {
    async fn store(&self, orders: &[Order]) -> Result<Vec<Accepted>, DbError> {
        let (contacts, mut taken) = self.resolve(orders).await?;
        let messages: Vec<_> = orders
            .iter()
            .zip(&contacts)
            .enumerate()
            .filter(|(index, _)| !taken.contains_key(index))
            .filter_map(|(_, (order, contact))| contact.map(|contact| rows(order, contact)))
            .flatten()
            .collect();
        let stored: HashMap<Uuid, Stored> = if messages.is_empty() {
            HashMap::new()
        } else {
            let stored = run!(self.db, "accept.insert", |conn| store::insert(conn, &messages))?;
            stored.into_iter().map(|stored| (stored.id, stored)).collect()
        };
        let lost: Vec<usize> = (0..orders.len())
            .filter(|index| !taken.contains_key(index) && !stored.contains_key(&orders[*index].id.uuid()))
            .collect();
        if !lost.is_empty() {
            // Somebody else took these keys a moment ago: another caller with the same key, in this flush or elsewhere, or this flush when its commit was lost.
            for found in self.look_up(orders, &lost).await? {
                if let (Some(index), Some(first)) = (lost.get(found.ordinal as usize - 1), First::of(found)) {
                    taken.insert(*index, first);
                }
            }
        }
        self.hand_over(orders, &contacts, &stored);
        Ok(orders
            .iter()
            .enumerate()
            .map(|(index, order)| outcome(order, stored.contains_key(&order.id.uuid()), taken.get(&index)))
            .collect())
    }

    /// The recipients' contacts, and which keys are taken already as far as the database was asked.
    async fn resolve(&self, orders: &[Order]) -> Result<(Vec<Option<Uuid>>, HashMap<usize, First>), DbError> {
        let mut contacts = Vec::with_capacity(orders.len());
        for order in orders {
            contacts.push(self.contacts.known(order.application.uuid(), &order.to).await);
        }
        let mut taken = HashMap::new();
        let unknown: Vec<usize> = (0..orders.len()).filter(|index| contacts[*index].is_none()).collect();
        if unknown.is_empty() {
            return Ok((contacts, taken));
        }
        let mut new: HashSet<(Uuid, Recipient)> = HashSet::new();
        for found in self.look_up(orders, &unknown).await? {
            let Some(&index) = unknown.get(found.ordinal as usize - 1) else {
                continue;
            };
            let order = &orders[index];
            let contact = found.contact;
            contacts[index] = contact;
            match (First::of(found), contact) {
                // Nothing is stored for a request that was seen before, not even a contact.
                (Some(first), _) => {
                    taken.insert(index, first);
                }
                (None, Some(contact)) => {
                    self.contacts
                        .remember(order.application.uuid(), order.to.clone(), contact)
                        .await;
                }
                (None, None) => {
                    new.insert((order.application.uuid(), order.to.clone()));
                }
            }
        }
        if !new.is_empty() {
            let introduced = self.contacts.introduce(&self.db, new).await?;
            for index in unknown {
                let order = &orders[index];
                if contacts[index].is_none() {
                    contacts[index] = introduced.get(&(order.application.uuid(), order.to.clone())).copied();
                }
            }
        }
        Ok((contacts, taken))
    }

    async fn look_up(&self, orders: &[Order], indexes: &[usize]) -> Result<Vec<Resolved>, DbError> {
        let asked: Vec<_> = indexes
            .iter()
            .map(|index| &orders[*index])
            .map(|order| Asked {
                application: order.application.uuid(),
                connection: order.connection.id.uuid(),
                number: order.connection.number.as_str(),
                key_hash: &order.key_hash,
                to: &order.to,
            })
            .collect();
        run!(self.db, "accept.resolve", |conn| store::resolve(conn, &asked))
    }

    /// Tells the dispatcher and the tracking service what is stored.
    fn hand_over(&self, orders: &[Order], contacts: &[Option<Uuid>], stored: &HashMap<Uuid, Stored>) {
        let mut fresh = Vec::with_capacity(stored.len());
        let mut told = Vec::with_capacity(stored.len());
        for (order, contact) in orders.iter().zip(contacts) {
            let Some(contact) = *contact else { continue };
            for (number, part) in order.parts.iter().enumerate() {
                let message = ids::part(order.id, number);
                let Some(stored) = stored.get(&message.uuid()) else {
                    continue;
                };
                let subject = Subject {
                    application: order.application,
                    connection: order.connection.id,
                    message,
                };
                told.push(events::outbound(
                    subject,
                    &order.connection,
                    contact,
                    &part.letter,
                    stored.at,
                ));
                fresh.push(Fresh {
                    message: message.uuid(),
                    contact,
                    place: stored.place,
                    priority: order.terms.priority.code(),
                    ready_in: Duration::try_from_secs_f64(stored.ready_in).unwrap_or_default(),
                    connection: Arc::clone(&order.connection),
                    letter: Arc::clone(&part.letter),
                    traceparent: order.traceparent.clone(),
                    awaited: order.awaited && number == 0,
                });
            }
        }
        self.hints.accepted(fresh);
        self.forwarder.tell(told);
    }
}

/// What an idempotency key was first used for.
struct First {
    message: Uuid,
    parts: usize,
    fingerprint: Vec<u8>,
}

impl First {
    fn of(found: Resolved) -> Option<Self> {
        Some(Self {
            message: found.message?,
            parts: found.parts.and_then(|parts| usize::try_from(parts).ok())?,
            fingerprint: found.fingerprint?,
        })
    }
}

fn outcome(order: &Order, stored: bool, taken: Option<&First>) -> Accepted {
    match taken {
        _ if stored => Accepted::Stored,
        Some(first) if first.message == order.id.uuid() => Accepted::Stored,
        Some(first) if first.fingerprint == order.fingerprint => Accepted::Replayed {
            first: first.message,
            parts: first.parts,
        },
        Some(_) => Accepted::Reused,
        // The key went between two statements: it was purged after seven days, in this very moment.
        None => Accepted::Contended,
    }
}

fn rows(order: &Order, contact: Uuid) -> impl Iterator<Item = NewMessage<'_>> {
    let terms = order.terms;
    order.parts.iter().enumerate().map(move |(number, part)| NewMessage {
        id: ids::part(order.id, number).uuid(),
        first: order.id.uuid(),
        parts: order.parts.len() as i16,
        application: order.application.uuid(),
        connection: order.connection.id.uuid(),
        contact,
        number: order.connection.number.as_str(),
        key_hash: &order.key_hash,
        fingerprint: &order.fingerprint,
        on_unknown: terms.on_unknown.code(),
        priority: terms.priority.code(),
        send_at: terms.send_at,
        expires_at: terms.expires_at,
        lifetime_seconds: terms.lifetime.as_secs_f64(),
        traceparent: order.traceparent.as_deref(),
        sealed: &part.sealed,
    })
}
