//! One flush of orders.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use outeract_batch::{Flush, FlushError};
use outeract_domain::Recipient;
use outeract_postgres::Class;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Accepted, Contacts, Order};
use crate::dispatch::{Fresh, Hints};
use crate::events::{self, Subject};
use crate::forward::Forwarder;
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

/// What an order overhead is, besides its content.
const ROW_BYTES: usize = 256;

impl Flush for Store {
    type Item = Order;
    type Output = Accepted;
    type Error = DbError;

    fn weight(&self, order: &Order) -> usize {
        order.sealed.len() + ROW_BYTES
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
            .filter_map(|(_, (order, contact))| contact.map(|contact| row(order, contact)))
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
                if let (Some(index), Some(message), Some(fingerprint)) =
                    (lost.get(found.ordinal as usize - 1), found.message, found.fingerprint)
                {
                    taken.insert(*index, (message, fingerprint));
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
    async fn resolve(&self, orders: &[Order]) -> Result<(Vec<Option<Uuid>>, HashMap<usize, (Uuid, Vec<u8>)>), DbError> {
        let mut contacts = Vec::with_capacity(orders.len());
        for order in orders {
            contacts.push(self.contacts.known(order.application.uuid(), &order.letter.to).await);
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
            contacts[index] = found.contact;
            match (found.message.zip(found.fingerprint), found.contact) {
                // Nothing is stored for a request that was seen before, not even a contact.
                (Some(first), _) => {
                    taken.insert(index, first);
                }
                (None, Some(contact)) => {
                    self.contacts
                        .remember(order.application.uuid(), order.letter.to.clone(), contact)
                        .await;
                }
                (None, None) => {
                    new.insert((order.application.uuid(), order.letter.to.clone()));
                }
            }
        }
        if !new.is_empty() {
            let introduced = self.contacts.introduce(&self.db, new).await?;
            for index in unknown {
                let order = &orders[index];
                if contacts[index].is_none() {
                    contacts[index] = introduced
                        .get(&(order.application.uuid(), order.letter.to.clone()))
                        .copied();
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
                key_hash: &order.key_hash,
                to: &order.letter.to,
            })
            .collect();
        run!(self.db, "accept.resolve", |conn| store::resolve(conn, &asked))
    }

    /// Tells the dispatcher and the tracking service what is stored.
    fn hand_over(&self, orders: &[Order], contacts: &[Option<Uuid>], stored: &HashMap<Uuid, Stored>) {
        let mut fresh = Vec::with_capacity(stored.len());
        let mut told = Vec::with_capacity(stored.len());
        for (order, contact) in orders.iter().zip(contacts) {
            let (Some(contact), Some(stored)) = (*contact, stored.get(&order.id.uuid())) else {
                continue;
            };
            let subject = Subject {
                application: order.application,
                connection: order.connection.id,
                message: order.id,
            };
            told.push(events::outbound(
                subject,
                &order.connection,
                contact,
                &order.letter,
                stored.at,
            ));
            fresh.push(Fresh {
                message: order.id.uuid(),
                contact,
                place: stored.place,
                connection: Arc::clone(&order.connection),
                letter: Arc::clone(&order.letter),
                traceparent: order.traceparent.clone(),
                awaited: order.awaited,
            });
        }
        self.hints.accepted(fresh);
        self.forwarder.tell(told);
    }
}

fn outcome(order: &Order, stored: bool, taken: Option<&(Uuid, Vec<u8>)>) -> Accepted {
    match taken {
        _ if stored => Accepted::Stored,
        Some((message, _)) if *message == order.id.uuid() => Accepted::Stored,
        Some((message, fingerprint)) if *fingerprint == order.fingerprint => Accepted::Replayed(*message),
        Some(_) => Accepted::Reused,
        // The key went between two statements: it was purged after seven days, in this very moment.
        None => Accepted::Contended,
    }
}

fn row(order: &Order, contact: Uuid) -> NewMessage<'_> {
    NewMessage {
        id: order.id.uuid(),
        application: order.application.uuid(),
        connection: order.connection.id.uuid(),
        contact,
        number: order.connection.number.as_str(),
        key_hash: &order.key_hash,
        fingerprint: &order.fingerprint,
        on_unknown: order.on_unknown.code(),
        traceparent: order.traceparent.as_deref(),
        sealed: &order.sealed,
    }
}
