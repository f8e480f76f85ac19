//! Running one statement, again where it met a conflict.
//!
//! [`outeract_postgres::retry`] does the same for closures; a statement that borrows what it writes, as those of a flush do, cannot be given to it as one and stay `Send`.

use std::io::ErrorKind;
use std::time::Duration;

use outeract_postgres::{Class, Summary, classify};
use outeract_rpc::Fault;
use sqlx::pool::PoolConnection;
use sqlx::{Error, Postgres};
use tokio::time::error::Elapsed;

/// Longer than the server's own statement timeout: it only ends when the network keeps the answer.
const PATIENCE: Duration = Duration::from_secs(8);
const MOST: u32 = 5;
const BACKOFF: Duration = Duration::from_millis(5);

/// Postgres failed. Shows no values.
#[derive(Debug, thiserror::Error)]
#[error("{}", Summary(.0))]
pub(crate) struct DbError(#[from] sqlx::Error);

/// Counts how often a statement ran.
pub(crate) struct Attempts {
    name: &'static str,
    made: u32,
}

/// Runs one statement on a connection of its own (autocommit): `run!(db, "aggregate.verb", |conn| store::statement(conn, …))`. Again, at most five times, when it met a serialization failure
/// or a deadlock.
macro_rules! run {
    ($db:expr, $name:literal, |$conn:ident| $statement:expr) => {{
        let mut attempts = $crate::store::Attempts::new($name);
        loop {
            let mut pooled = match $db.acquire().await {
                Ok(pooled) => pooled,
                Err(error) => break Err($crate::store::DbError::from(error)),
            };
            let outcome = {
                let $conn: &mut ::sqlx::PgConnection = &mut pooled;
                $crate::store::Attempts::bound($statement).await
            };
            if let Some(outcome) = attempts.settle(&mut pooled, outcome) {
                break outcome.map_err($crate::store::DbError::from);
            }
            drop(pooled);
            attempts.pause().await;
        }
    }};
}

pub(crate) use run;

// === impl DbError ===

impl DbError {
    pub(crate) fn class(&self) -> Class {
        classify(&self.0)
    }

    /// Nothing was written.
    pub(crate) fn left_nothing(&self) -> bool {
        self.class() != Class::CommitUnknown
    }
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        match error.class() {
            Class::Data | Class::Bug => Self::internal(error),
            Class::Conflict | Class::Unavailable | Class::CommitUnknown => Self::unavailable(error),
        }
    }
}

// === impl Attempts ===

impl Attempts {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, made: 0 }
    }

    /// Waits for a statement, but not for ever.
    pub(crate) async fn bound<T>(statement: impl Future<Output = T>) -> Result<T, Elapsed> {
        tokio::time::timeout(PATIENCE, statement).await
    }

    /// The outcome, unless the statement is to run again. A connection that is lost is closed.
    pub(crate) fn settle<T>(
        &mut self,
        conn: &mut PoolConnection<Postgres>,
        outcome: Result<sqlx::Result<T>, Elapsed>,
    ) -> Option<sqlx::Result<T>> {
        self.made += 1;
        let outcome = outcome.unwrap_or_else(|_| {
            Err(Error::Io(std::io::Error::new(
                ErrorKind::TimedOut,
                "no answer from postgres",
            )))
        });
        let Err(error) = &outcome else { return Some(outcome) };
        let class = classify(error);
        // A server that became read-only is a former primary: find the new one.
        let read_only = error
            .as_database_error()
            .is_some_and(|error| error.code().as_deref() == Some("25006"));
        if class == Class::CommitUnknown || read_only {
            conn.close_on_drop();
        }
        (class != Class::Conflict || self.made >= MOST).then_some(outcome)
    }

    /// The wait before the next run: 5, 10, 20, 40 ms.
    pub(crate) async fn pause(&self) {
        metrics::counter!("postgres_retries_total", "name" => self.name).increment(1);
        tokio::time::sleep(BACKOFF * 2_u32.pow(self.made - 1)).await;
    }
}
