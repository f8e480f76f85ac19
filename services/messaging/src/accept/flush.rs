//! One flush of orders.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
use crate::store::accept::{self as store, NewMessage, Resolved, Stored};
use crate::store::{DbError, run};
use crate::window::{Refusal, Windows};

/// Stores orders.
pub(super) struct Store {
    pub(super) db: PgPool,
    pub(super) contacts: Contacts,
    pub(super) windows: Windows,
    pub(super) hints: Hints,
    pub(super) forwarder: Forwarder,
}

/// What is known of orders before they are stored.
#[derive(Default)]
struct Resolution {
    contacts: Vec<Option<Uuid>>,
    taken: HashMap<usize, First>,
    refused: HashMap<usize, Refusal>,
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
        let Resolution {
            contacts,
            mut taken,
            refused,
        } = self.resolve(orders).await?;
        let stands = |index: &usize| !refused.contains_key(index);
        let messages: Vec<_> = orders
            .iter()
            .zip(&contacts)
            .enumerate()
            .filter(|(index, _)| !taken.contains_key(index) && stands(index))
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
            .filter(stands)
            .collect();
        if !lost.is_empty() {
            // Somebody else took these keys a moment ago: another caller with the same key, in this flush or elsewhere, or this flush when its commit was lost.
            for found in self.look_up(orders, &lost).await? {
                if let (Some(index), Some(first)) = (lost.get(found.ordinal as usize - 1), First::of(&found)) {
                    taken.insert(*index, first);
                }
            }
        }
        self.hand_over(orders, &contacts, &stored);
        Ok(orders
            .iter()
            .enumerate()
            .map(|(index, order)| match refused.get(&index) {
                Some(refusal) => Accepted::Refused(*refusal),
                None => outcome(order, stored.contains_key(&order.id.uuid()), taken.get(&index)),
            })
            .collect())
    }

    /// The recipients' contacts, which keys are taken already, and what would not be sent, as far as the database was asked.
    async fn resolve(&self, orders: &[Order]) -> Result<Resolution, DbError> {
        let mut resolution = Resolution::default();
        let mut unknown = Vec::new();
        for (index, order) in orders.iter().enumerate() {
            let contact = self.contacts.known(order.application.uuid(), &order.to).await;
            resolution.contacts.push(contact);
            if contact.is_none_or(|contact| !self.passes_unasked(order, contact)) {
                unknown.push(index);
            }
        }
        if unknown.is_empty() {
            return Ok(resolution);
        }
        let mut new: HashSet<(Uuid, Recipient)> = HashSet::new();
        let asked = Instant::now();
        for found in self.look_up(orders, &unknown).await? {
            let Some(&index) = unknown.get(found.ordinal as usize - 1) else {
                continue;
            };
            let order = &orders[index];
            let key = (order.application.uuid(), order.to.clone());
            // Nothing is stored for a request that was seen before, or that is refused, not even a contact.
            if let Some(first) = First::of(&found) {
                resolution.taken.insert(index, first);
            } else if let Some(refusal) = self.refusal(order, &found, asked) {
                resolution.refused.insert(index, refusal);
            } else if let Some(contact) = found.contact {
                self.contacts.remember(key.0, key.1, contact).await;
            } else {
                new.insert(key);
            }
            resolution.contacts[index] = found.contact;
        }
        if !new.is_empty() {
            let introduced = self.contacts.introduce(&self.db, new).await?;
            for index in unknown {
                let order = &orders[index];
                if resolution.contacts[index].is_none() {
                    let key = (order.application.uuid(), order.to.clone());
                    resolution.contacts[index] = introduced.get(&key).copied();
                }
            }
        }
        Ok(resolution)
    }

    /// Nothing has to be asked about its recipient.
    fn passes_unasked(&self, order: &Order, contact: Uuid) -> bool {
        let terms = order.gate();
        terms.template.is_none()
            && (order.terms.send_at.is_some()
                || self
                    .windows
                    .is_open(&Arc::from(order.connection.number.as_str()), contact))
    }

    /// What would speak against sending it, were it to be sent now. Of a message for later only the gate can tell whether the window is open.
    fn refusal(&self, order: &Order, found: &Resolved, asked: Instant) -> Option<Refusal> {
        let number = Arc::from(order.connection.number.as_str());
        let open = found
            .contact
            .is_some_and(|contact| self.windows.learn(&number, contact, found.window_left, asked));
        order
            .gate()
            .refusal(open || order.terms.send_at.is_some(), found.unwanted)
    }

    async fn look_up(&self, orders: &[Order], indexes: &[usize]) -> Result<Vec<Resolved>, DbError> {
        let terms: Vec<_> = indexes.iter().map(|index| orders[*index].gate()).collect();
        let asked: Vec<_> = indexes
            .iter()
            .map(|index| &orders[*index])
            .zip(&terms)
            .map(|(order, terms)| order.asked(terms))
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
    fn of(found: &Resolved) -> Option<Self> {
        Some(Self {
            message: found.message?,
            parts: found.parts.and_then(|parts| usize::try_from(parts).ok())?,
            fingerprint: found.fingerprint.clone()?,
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
