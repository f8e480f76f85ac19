//! What has to be done now and then: days of history made and dropped, and items that waited too long.

use std::time::Duration;

use outeract_clock::SharedClock;
use outeract_postgres::Summary;
use sqlx::PgPool;
use time::Date;

use crate::park;
use crate::store::{audit, partition};

/// How often.
const EVERY: Duration = Duration::from_hours(1);
/// After a failure.
const AGAIN: Duration = Duration::from_mins(1);
/// Days that have their partitions before they come.
const AHEAD_DAYS: i64 = 7;
/// Days that the audit log is kept.
const AUDIT_DAYS: i32 = 400;

/// Keeps history in order until the process stops.
pub(crate) async fn upkeep(db: PgPool, clock: SharedClock, retention_days: u16) {
    loop {
        let done = once(&db, clock.now().date(), retention_days).await;
        if let Err(error) = &done {
            tracing::warn!(error = %Summary(error), "History could not be kept in order; tried again in a minute");
        }
        tokio::time::sleep(if done.is_ok() { EVERY } else { AGAIN }).await;
    }
}

/// Makes coming days, expires parked items, drops days that are over.
pub(crate) async fn once(db: &PgPool, today: Date, retention_days: u16) -> sqlx::Result<()> {
    let day = |offset: i64| today.checked_add(time::Duration::days(offset)).unwrap_or(today);
    let made = partition::create(db, day(-1), day(AHEAD_DAYS)).await?;
    if made > 0 {
        tracing::info!(made, "Made {made} partitions");
    }
    park::expire(db).await?;
    // The day of the limit itself is still inside it.
    let dropped = partition::drop_before(db, day(-i64::from(retention_days))).await?;
    if dropped > 0 {
        tracing::info!(dropped, "Dropped {dropped} days of webhooks");
    }
    audit::drop_older(db, AUDIT_DAYS).await?;
    let used = partition::default_in_use(db).await?;
    metrics::gauge!("webhook_default_partition_used").set(if used { 1.0 } else { 0.0 });
    if used {
        tracing::warn!("Rows stand in a default partition: a clock is wrong, or days were not made in time");
    }
    Ok(())
}
