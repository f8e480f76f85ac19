//! Against a real Postgres.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bootstrap;
mod errors;
mod pool;
mod schema;
mod transaction;

use sqlx::{Executor as _, PgPool};

/// Runs SQL that a test has at hand.
async fn run(pool: &PgPool, sql: &'static str) {
    pool.execute(sql).await.unwrap();
}
