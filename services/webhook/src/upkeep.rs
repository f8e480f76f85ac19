//! What has to be done now and then: days of history made and dropped, and items that waited too long.

use std::time::Duration;

use outeract_clock::SharedClock;
use outeract_postgres::Summary;
use sqlx::PgPool;
use time::Date;

use crate::config::Keep;
use crate::park;
use crate::store::partition::Table;
use crate::store::{audit, erasure, partition, replay};

/// How often.
const EVERY: Duration = Duration::from_hours(1);
/// After a failure.
const AGAIN: Duration = Duration::from_mins(1);
/// Days that have their partitions before they come.
const AHEAD_DAYS: i64 = 7;
/// Days that the audit log is kept, and the proof of erasures.
const AUDIT_DAYS: i32 = 400;
/// Days that replays are kept after their end.
const REPLAY_DAYS: i32 = 90;

/// Keeps history in order until the process stops.
pub(crate) async fn upkeep(db: PgPool, clock: SharedClock, keep: Keep) {
    loop {
        let done = once(&db, clock.now().date(), keep).await;
        if let Err(error) = &done {
            tracing::warn!(error = %Summary(error), "History could not be kept in order; tried again in a minute");
        }
        tokio::time::sleep(if done.is_ok() { EVERY } else { AGAIN }).await;
    }
}

/// Makes coming days, expires parked items, drops days that are over.
pub(crate) async fn once(db: &PgPool, today: Date, keep: Keep) -> sqlx::Result<()> {
    let day = |offset: i64| today.checked_add(time::Duration::days(offset)).unwrap_or(today);
    let made = partition::create(db, day(-1), day(AHEAD_DAYS)).await?;
    if made > 0 {
        tracing::info!(made, "Made {made} partitions");
    }
    park::expire(db, i32::from(keep.parked)).await?;
    // The day of the limit itself is still inside it.
    for table in Table::ALL {
        let days = keep.days(table);
        let dropped = partition::drop_before(db, table, day(-i64::from(days))).await?;
        if dropped > 0 {
            let what = table.name();
            tracing::info!(
                what,
                dropped,
                "Dropped {dropped} days of what is older than {days} days"
            );
        }
    }
    audit::drop_older(db, AUDIT_DAYS).await?;
    erasure::drop_older(db, AUDIT_DAYS).await?;
    replay::drop_older(db, REPLAY_DAYS).await?;
    let used = partition::default_in_use(db).await?;
    metrics::gauge!("webhook_default_partition_used").set(if used { 1.0 } else { 0.0 });
    if used {
        tracing::warn!("Rows stand in a default partition: a clock is wrong, or days were not made in time");
    }
    Ok(())
}

// === impl Keep ===

impl Keep {
    /// Days that a table is kept.
    const fn days(self, table: Table) -> u16 {
        match table {
            Table::Post => self.bodies,
            Table::Item => self.items,
            Table::Account => self.accounts,
        }
    }
}
