use std::io::ErrorKind;
use std::time::Duration;

use metrics::counter;
use outeract_clock::{Random as _, SystemRandom};
use sqlx::pool::PoolConnection;
use sqlx::{Acquire as _, Error, PgConnection, PgPool, Postgres};
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};

use crate::{Class, classify};

const ATTEMPTS: u32 = 5;
const BACKOFF: Duration = Duration::from_millis(5);
/// Longer than the server's own statement timeout: it only ends when the network keeps the answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// An error that may hold one of Postgres, so that conflicts can be told apart.
pub trait Failure: From<Error> {
    /// The error of Postgres, if it is the cause.
    fn database(&self) -> Option<&Error>;
}

/// Runs `statement` on a connection of its own (autocommit), again when it met a serialization failure or deadlock: at most five times, with
/// jitter. It must be one statement, or statements of which each may stand alone.
pub async fn retry<T, E, F>(pool: &PgPool, name: &'static str, mut statement: F) -> Result<T, E>
where
    E: Failure,
    F: AsyncFnMut(&mut PgConnection) -> Result<T, E>,
{
    for attempt in 1.. {
        let mut conn = pool.acquire().await?;
        let outcome = timeout(PATIENCE, statement(&mut conn)).await;
        let outcome = settle(&mut conn, outcome);
        if !runs_again(&outcome, attempt, name).await {
            return outcome;
        }
    }
    unreachable!("the last attempt returns")
}

/// Runs `work` in a transaction and commits it; all of it again when it met a serialization failure or deadlock: at most five times, with
/// jitter. `work` gets nothing but the connection since it may run more than once: it must not talk to the world.
///
/// An error of class [`Class::CommitUnknown`] may come from the commit: read again before answering.
pub async fn run_tx<T, E, F>(pool: &PgPool, name: &'static str, mut work: F) -> Result<T, E>
where
    E: Failure,
    F: AsyncFnMut(&mut PgConnection) -> Result<T, E>,
{
    for attempt in 1.. {
        let mut conn = pool.acquire().await?;
        let outcome = timeout(PATIENCE, async {
            let mut tx = conn.begin().await?;
            // Dropping the transaction rolls it back.
            let done = work(&mut tx).await?;
            tx.commit().await?;
            Ok(done)
        })
        .await;
        let outcome: Result<T, E> = settle(&mut conn, outcome);
        let ending = match &outcome {
            Ok(_) => "committed",
            Err(error) => error.database().map_or("refused", |error| label(classify(error))),
        };
        counter!("postgres_transactions_total", "name" => name, "outcome" => ending).increment(1);
        if !runs_again(&outcome, attempt, name).await {
            return outcome;
        }
    }
    unreachable!("the last attempt returns")
}

/// No answer for long is an error too; a connection that is lost is closed.
fn settle<T, E: Failure>(conn: &mut PoolConnection<Postgres>, outcome: Result<Result<T, E>, Elapsed>) -> Result<T, E> {
    let outcome = outcome.unwrap_or_else(|_| {
        let late = std::io::Error::new(ErrorKind::TimedOut, "no answer from postgres");
        Err(Error::Io(late).into())
    });
    let lost = outcome.as_ref().err().and_then(E::database).is_some_and(|error| {
        // A server that became read-only is a former primary: find the new one.
        let read_only = error
            .as_database_error()
            .is_some_and(|error| error.code().as_deref() == Some("25006"));
        read_only || classify(error) == Class::CommitUnknown
    });
    if lost {
        conn.close_on_drop();
    }
    outcome
}

async fn runs_again<T, E: Failure>(outcome: &Result<T, E>, attempt: u32, name: &'static str) -> bool {
    let conflict = match outcome {
        Ok(_) => false,
        Err(error) => error.database().is_some_and(|error| classify(error) == Class::Conflict),
    };
    if !conflict || attempt >= ATTEMPTS {
        return false;
    }
    counter!("postgres_retries_total", "name" => name).increment(1);
    let mut byte = [0];
    SystemRandom.fill(&mut byte);
    // 5, 10, 20, 40 ms, each between half and one and a half of itself.
    let base = BACKOFF * 2_u32.pow(attempt - 1);
    sleep(base / 2 + base * u32::from(byte[0]) / 256).await;
    true
}

const fn label(class: Class) -> &'static str {
    match class {
        Class::Data => "data",
        Class::Conflict => "conflict",
        Class::Unavailable => "unavailable",
        Class::CommitUnknown => "commit_unknown",
        Class::Bug => "bug",
    }
}

// === impl Failure ===

impl Failure for Error {
    fn database(&self) -> Option<&Error> {
        Some(self)
    }
}
