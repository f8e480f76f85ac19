//! Outgoing webhooks: subscriptions, and the deliveries of their events.

mod api;
mod book;
mod breaker;
mod deliveries;
mod flight;
mod lane;
mod render;
mod schedule;
mod send;
mod shared;
mod sign;
mod supervisor;
mod vault;

use std::sync::Arc;
use std::time::Duration;

use outeract_batch::Flusher;
use outeract_clock::SharedRandom;
use outeract_rpc::page::PageTokens;
use sqlx::PgPool;
use tokio::sync::Notify;

pub(crate) use self::api::Subscriptions;
pub(crate) use self::send::Sender;
pub(crate) use self::supervisor::Supervisor;
pub(crate) use self::vault::Vault;
use crate::read::Reader;
use crate::record::Recorder;

/// What deliveries are made of.
pub(crate) struct Parts {
    pub(crate) pool: PgPool,
    pub(crate) reader: Arc<Reader>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) tokens: PageTokens,
    pub(crate) vault: Vault,
    pub(crate) sender: Sender,
    pub(crate) random: SharedRandom,
    pub(crate) disable_after: Duration,
}

/// What answers calls, what delivers, and what records deliveries: the latter two to be spawned.
pub(crate) fn open(parts: Parts) -> (Subscriptions, Supervisor, Vec<Flusher<book::Record>>) {
    let changed = Arc::new(Notify::new());
    let subscriptions = Subscriptions::new(
        parts.pool.clone(),
        parts.vault.clone(),
        parts.sender.clone(),
        parts.tokens,
        Arc::clone(&changed),
    );
    let (book, flushers) = book::open(parts.pool.clone());
    let bodies = parts.reader.bodies().clone();
    let shared = shared::Shared::new(parts.pool, parts.reader, bodies, parts.vault, parts.sender, book);
    let supervisor = Supervisor::new(
        Arc::new(shared),
        parts.recorder,
        changed,
        &parts.random,
        parts.disable_after,
    );
    (subscriptions, supervisor, flushers)
}
