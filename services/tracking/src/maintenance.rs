//! Keeps the schema in shape: partitions ahead of time, nothing older than what is kept.

use std::time::Duration;

use metrics::gauge;
use outeract_postgres::Summary;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};

use crate::store::delivery;
use crate::store::erasure;
use crate::store::retention::{self, Aged};

const PERIOD: Duration = Duration::from_hours(1);
/// After a round that failed.
const AGAIN: Duration = Duration::from_mins(1);
/// Entries deleted by one statement.
const BATCH: i64 = 5_000;
/// Meta reports what happened up to 7 days ago, and events lie in partitions of when they happened: a partition goes when the last of its entries has gone.
const LATE: Duration = Duration::from_hours(8 * 24);

/// Days that the count of an erasure is kept, as long as messaging keeps its proof.
const ERASURES: i32 = 400;

/// Runs hourly, for ever.
pub(crate) async fn run(pool: PgPool, keep: Duration, keep_deliveries: Duration) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let rounds = async {
            round(&pool, keep).await?;
            deliveries(&pool, keep_deliveries).await?;
            erasure::forget(&pool, ERASURES).await.map(drop)
        };
        if let Err(error) = rounds.await {
            tracing::warn!(
                "Maintenance of the event log failed, again in a minute: {}",
                Summary(&error)
            );
            ticks.reset_after(AGAIN);
        }
    }
}

/// One round. Harmless beside another process's.
pub(crate) async fn round(pool: &PgPool, keep: Duration) -> Result<(), sqlx::Error> {
    let now = retention::now(pool).await?;
    let mut forgotten = 0;
    for aged in retention::aged(pool, now - keep).await? {
        forgotten += forget(pool, aged).await?;
    }
    if forgotten > 0 {
        tracing::info!(
            forgotten,
            "Removed {forgotten} entries that are older than what is kept"
        );
        retention::strays(pool).await?;
    }
    // Twice as long: what such a consumer has not read was lost to it half of that time ago.
    retention::consumers(pool, now - keep * 2).await?;
    while retention::partition(pool, now - keep - LATE).await? {}
    let stray = retention::stray(pool).await?;
    gauge!("tracking_default_partition_events").set(stray as f64);
    if stray > 0 {
        tracing::warn!(
            stray,
            "{stray} events lie in the default partition: their ids name days that have no partition"
        );
    }
    Ok(())
}

/// The same for deliveries.
async fn deliveries(pool: &PgPool, keep: Duration) -> Result<(), sqlx::Error> {
    let now = retention::now(pool).await?;
    while delivery::partition(pool, now - keep).await? {}
    delivery::strays(pool, now - keep).await?;
    Ok(())
}

/// Deletes a log's old entries, a batch at a time.
async fn forget(pool: &PgPool, aged: Aged) -> Result<i64, sqlx::Error> {
    let mut first = aged.first;
    while first <= aged.last {
        let last = aged.last.min(first + BATCH - 1);
        retention::forget(pool, Aged { first, last, ..aged }).await?;
        first = last + 1;
    }
    Ok(aged.last - aged.first + 1)
}
