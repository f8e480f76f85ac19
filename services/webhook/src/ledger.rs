//! The ledger: every stored webhook is looked at once, a few minutes after it came, to see that it has its account and that the account agrees with what is listed.

use std::time::Duration;

use outeract_postgres::Summary;
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::{ledger as store, task};

/// The task's name, as its lease has it.
const TASK: &str = "ledger";
/// How long the lease holds.
const LEASE_SECONDS: f64 = 30.0;
/// How often.
const EVERY: Duration = Duration::from_secs(10);
/// Webhooks are looked at when they are this old: longer than a commit may take.
const OLD_MINUTES: i32 = 2;
/// Webhooks of one statement.
const STEP: i64 = 5_000;
/// Statements in a row: 30,000 webhooks a second at most.
const STEPS: usize = 60;

/// Keeps the ledger until the process stops. Every replica shows it; one at a time adds to it.
pub(crate) async fn keep(db: PgPool, holder: Uuid) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Err(error) = once(&db, holder).await {
            tracing::warn!(error = %Summary(&error), "The ledger could not be kept; it goes on where it stands");
        }
    }
}

/// Adds what is old enough, and shows the sums.
pub(crate) async fn once(db: &PgPool, holder: Uuid) -> sqlx::Result<()> {
    if task::lease(db, TASK, holder, LEASE_SECONDS).await? {
        for _ in 0..STEPS {
            if store::add(db, OLD_MINUTES, STEP).await? < STEP {
                break;
            }
        }
    }
    let ledger = store::get(db).await?;
    let gauge = |what: &'static str, value: i64| metrics::gauge!("webhook_ledger", "what" => what).set(value as f64);
    gauge("posts", ledger.posts);
    gauge("items_in", ledger.items);
    gauge("items_accounted", ledger.accounted);
    gauge("posts_lost", ledger.lost);
    gauge("posts_wrong", ledger.wrong);
    if ledger.lost > 0 || ledger.wrong > 0 || ledger.items != ledger.accounted {
        tracing::error!(?ledger, "Items of webhooks are not accounted for");
    }
    Ok(())
}
