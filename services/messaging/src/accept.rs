//! Storing messages for many callers at once.
//!
//! One statement stores a flush: the idempotency keys, and for those that are free the message, its queue row and its outbox row. A statement before it is needed only where a recipient is
//! new to this process or its window is not known to be open, or for a template; two where a recipient is new altogether.

mod carried;
mod contacts;
pub(crate) mod draft;
mod flush;
mod foresee;
pub(crate) mod prepare;
mod seen;

use std::sync::Arc;
use std::time::Duration;

use outeract_batch::{BatchConfig, Batcher, SubmitError};
use outeract_domain::{ApplicationId, EventId, OnUnknown, Priority, Recipient};
use outeract_postgres::Class;
use outeract_rpc::Fault;
use outeract_runtime::{Context, OnExit};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::dispatch::{self, Hints};
use crate::forward::Forwarder;
use crate::projection::Connection;
use crate::store::accept::Asked;
use crate::vault::{Hash, Letter};
use crate::window::{Refusal, Windows};

pub(crate) use self::contacts::Contacts;
pub(crate) use self::foresee::{Foreseen, foresee};
pub(crate) use self::seen::seen;

/// A checked request on its way into the database.
#[derive(Debug)]
pub(crate) struct Order {
    /// The first message's id; the others follow it.
    pub id: EventId,
    pub application: ApplicationId,
    pub connection: Arc<Connection>,
    pub to: Recipient,
    /// One message each, in their order; at least one, at most [`MOST_PARTS`](crate::ids::MOST_PARTS).
    pub parts: Vec<Part>,
    pub terms: Terms,
    pub key_hash: Hash,
    pub fingerprint: Hash,
    pub traceparent: Option<String>,
    /// A caller waits for Meta's answer.
    pub awaited: bool,
}

/// One message of a request.
#[derive(Debug)]
pub(crate) struct Part {
    pub letter: Arc<Letter>,
    pub sealed: Vec<u8>,
}

/// On what terms the messages of a request are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub on_unknown: OnUnknown,
    pub priority: Priority,
    /// None: at once.
    pub send_at: Option<OffsetDateTime>,
    /// None: `lifetime` after it may be sent.
    pub expires_at: Option<OffsetDateTime>,
    pub lifetime: Duration,
}

// === impl Order ===

impl Order {
    /// What of it concerns the gate: as of the first message, unless another needs the window.
    fn gate(&self) -> dispatch::Terms {
        let mut letters = self.parts.iter().map(|part| &part.letter);
        let first = letters.next().map(|letter| dispatch::Terms::of(letter));
        let mut terms = first.unwrap_or_default();
        terms.needs_window |= letters.any(|letter| letter.content.needs_window());
        terms
    }

    /// What is to be known before it is stored.
    fn asked<'a>(&'a self, terms: &'a dispatch::Terms) -> Asked<'a> {
        Asked {
            application: self.application.uuid(),
            connection: self.connection.id.uuid(),
            number: self.connection.number.as_str(),
            waba: &self.connection.waba,
            key_hash: &self.key_hash,
            to: &self.to,
            template: terms.template.as_ref().map(dispatch::TemplateName::parts),
        }
    }
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It is stored under its own id.
    Stored,
    /// The same request was stored before, under this id, as so many messages.
    Replayed { first: Uuid, parts: usize },
    /// The idempotency key belongs to another request. Nothing was stored.
    Reused,
    /// Another request with the same idempotency key is being worked on.
    Contended,
    /// It would not be sent. Nothing was stored.
    Refused(Refusal),
}

/// The entrance. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Acceptor {
    batcher: Batcher<flush::Store>,
}

/// When to come back while too much waits.
const RETRY_AFTER: Duration = Duration::from_millis(250);

// === impl Acceptor ===

impl Acceptor {
    /// An acceptor, and its tasks in `context`.
    pub(crate) fn start(
        context: &Context,
        contacts: Contacts,
        windows: Windows,
        hints: Hints,
        forwarder: Forwarder,
    ) -> Self {
        let store = flush::Store {
            db: context.db.clone(),
            contacts,
            windows,
            hints,
            forwarder,
        };
        let config = BatchConfig {
            flushers: 1,
            ..BatchConfig::new("accept")
        };
        let (batcher, flushers) = Batcher::new(config, store);
        for flusher in flushers {
            context.tasks.spawn("accept", OnExit::StopProcess, flusher.run());
        }
        Self { batcher }
    }

    /// Stores an order. Durable, or not stored at all, when it returns; an error that says UNAVAILABLE may have stored it, and a retry with the same key tells.
    pub(crate) async fn accept(&self, order: Order) -> Result<Accepted, Fault> {
        self.batcher.submit(order).await.map_err(|error| match error {
            SubmitError::Full => Fault::overloaded(RETRY_AFTER),
            SubmitError::Closed => Fault::shutting_down(),
            SubmitError::Aborted => Fault::unavailable("the flush was cut off"),
            SubmitError::Failed(cause) => match cause.class() {
                Class::Data | Class::Bug => Fault::internal(cause),
                Class::Conflict | Class::Unavailable | Class::CommitUnknown => Fault::unavailable(cause),
            },
        })
    }
}
