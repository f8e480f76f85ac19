//! Definitions in memory.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use outeract_postgres::Class;
use outeract_rpc::Fault;
use sqlx::PgPool;
use tokio::sync::broadcast;

use super::definition::Definition;
use crate::store::{DbError, run, template};

/// The definitions that messages name. What changes is dropped by all processes within seconds, and read anew after a minute in any case. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    db: PgPool,
    /// With those that do not exist: they are asked for again and again, too.
    known: Cache<Key, Option<Arc<Definition>>>,
    changes: broadcast::Sender<Arc<str>>,
}

/// A definition could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Unread(Arc<DbError>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    waba: String,
    name: String,
    language: String,
}

/// Definitions in memory; one has some kilobytes.
const MOST: u64 = 10_000;
const FRESH: Duration = Duration::from_mins(1);
/// Changes that a follower may lag behind.
const CHANGES: usize = 256;

// === impl Registry ===

impl Registry {
    pub(super) fn new(db: PgPool) -> Self {
        let known = Cache::builder()
            .max_capacity(MOST)
            .time_to_live(FRESH)
            .support_invalidation_closures()
            .build();
        Self {
            db,
            known,
            changes: broadcast::Sender::new(CHANGES),
        }
    }

    /// The template of this name in exactly this language. `None`: the account has none, or was never read.
    pub(crate) async fn get(&self, waba: &str, name: &str, language: &str) -> Result<Option<Arc<Definition>>, Unread> {
        let read = self.read(waba, name, language);
        let known = self.known.try_get_with(key(waba, name, language), read).await;
        known.map_err(Unread)
    }

    /// As [`Self::get`], from the database.
    pub(super) async fn fresh(
        &self,
        waba: &str,
        name: &str,
        language: &str,
    ) -> Result<Option<Arc<Definition>>, Unread> {
        self.known.invalidate(&key(waba, name, language)).await;
        self.get(waba, name, language).await
    }

    /// The accounts whose templates change, here or in another process: what waits for a template of one looks again. Who lags looks at everything.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Arc<str>> {
        self.changes.subscribe()
    }

    /// Templates of the account changed.
    pub(super) fn changed(&self, waba: &str) {
        self.forget(waba);
        // Nobody may wait.
        let _ = self.changes.send(waba.into());
    }

    /// Drops the account's definitions from memory.
    pub(super) fn forget(&self, waba: &str) {
        let waba = waba.to_owned();
        // Only fails where closures are not supported.
        if self
            .known
            .invalidate_entries_if(move |key, _| key.waba == waba)
            .is_err()
        {
            self.known.invalidate_all();
        }
    }

    async fn read(&self, waba: &str, name: &str, language: &str) -> Result<Option<Arc<Definition>>, DbError> {
        let row = run!(self.db, "template.get", |conn| template::get(
            conn, waba, name, language
        ))?;
        Ok(row.map(|row| Arc::new(row.into())))
    }
}

impl From<Unread> for Fault {
    fn from(error: Unread) -> Self {
        match error.0.class() {
            Class::Data | Class::Bug => Self::internal(error),
            Class::Conflict | Class::Unavailable | Class::CommitUnknown => Self::unavailable(error),
        }
    }
}

fn key(waba: &str, name: &str, language: &str) -> Key {
    Key {
        waba: waba.to_owned(),
        name: name.to_owned(),
        language: language.to_owned(),
    }
}
