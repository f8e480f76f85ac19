//! What is done now and then: partitions, what has served its time, and the metrics of what waits.

use std::time::Duration;

use outeract_domain::Submission;
use outeract_runtime::Stop;
use sqlx::{PgConnection, PgPool};
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use crate::store::{
    DbError, apply, brake, consent, erasure, file, outbox, queue, quota, retire, template_sync, upkeep,
};

const PARTITIONS: Duration = Duration::from_hours(1);
const MEASURES: Duration = Duration::from_secs(15);
/// Of the time, counting what waits takes no more than one part in so many: a long queue is counted less often.
const COUNTING: u32 = 200;
/// Days that the proof of an erasure is kept.
const PROOFS: i32 = 400;
/// Rows that are purged by one statement.
const PAGE: i64 = 2_000;

/// Keeps house until the process stops. One process at a time does; partitions are made by each at its start.
pub(crate) async fn keep_house(db: PgPool, worker: Uuid, stop: Stop) {
    let mut partitions = tokio::time::interval(PARTITIONS);
    let mut measures = tokio::time::interval(MEASURES);
    partitions.set_missed_tick_behavior(MissedTickBehavior::Delay);
    measures.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut first = true;
    let mut count_at = Instant::now();
    loop {
        let done = tokio::select! {
            () = stop.soft().cancelled() => return,
            _ = partitions.tick() => tidy(&db, worker, std::mem::take(&mut first)).await,
            _ = measures.tick() => measure(&db, worker, &mut count_at).await,
        };
        if let Err(cause) = done {
            tracing::warn!(%cause, "Upkeep of the database failed");
        }
    }
}

async fn tidy(db: &PgPool, worker: Uuid, first: bool) -> Result<(), DbError> {
    let mut conn = db.acquire().await?;
    let mine = upkeep::lease(&mut conn, "tidy", worker, PARTITIONS.as_secs_f64() * 1.5).await?;
    if mine || first {
        // What is not ended keeps its partition; the rest of the upkeep need not wait for that.
        if let Err(cause) = retire(&mut conn).await {
            tracing::warn!(%cause, "Messages that have waited for too long are not ended yet, and no partition goes or comes before they are");
            return tidy_up(&mut conn, mine).await;
        }
        let strays = upkeep::maintain_partitions(&mut conn).await?;
        metrics::gauge!("messaging_default_partition_rows").set(strays as f64);
        if strays > 0 {
            tracing::error!(
                rows = strays,
                "Messages stand in the default partition: partitions were missing, or a clock is wrong"
            );
        }
    }
    tidy_up(&mut conn, mine).await
}

async fn tidy_up(conn: &mut PgConnection, mine: bool) -> Result<(), DbError> {
    if mine {
        let purged = purge(conn).await?;
        tracing::debug!(purged, "Purged what has served its time");
    }
    Ok(())
}

/// Before their partitions go. Running twice at a time does no harm.
async fn retire(conn: &mut PgConnection) -> sqlx::Result<()> {
    loop {
        let retired = retire::retire(conn, PAGE).await?;
        if retired.is_empty() {
            return Ok(());
        }
        metrics::counter!("messaging_retired_total").increment(retired.len() as u64);
        tracing::warn!(
            messages = retired.len(),
            "Messages waited for as long as messages are kept: they ended"
        );
    }
}

async fn purge(conn: &mut PgConnection) -> sqlx::Result<u64> {
    let mut purged = apply::expire_orphans(conn).await?;
    metrics::counter!("messaging_orphans_expired_total").increment(purged);
    purged += consent::forget_lifted(conn).await? + brake::purge(conn).await?;
    let mut after = (String::new(), Uuid::nil());
    while let (Some(last), gone) = quota::purge(conn, (&after.0, after.1), PAGE).await? {
        purged += gone.unsigned_abs();
        after = last;
    }
    loop {
        let gone = upkeep::purge_keys(conn, PAGE).await?
            + upkeep::purge_wamids(conn, PAGE).await?
            + upkeep::purge_attempts(conn, PAGE).await?
            + upkeep::purge_fallbacks(conn, PAGE).await?
            + file::purge_media(conn, PAGE).await?
            + erasure::purge(conn, PROOFS, PAGE).await?;
        purged += gone;
        if gone == 0 {
            return Ok(purged);
        }
    }
}

async fn measure(db: &PgPool, worker: Uuid, count_at: &mut Instant) -> Result<(), DbError> {
    let mut conn = db.acquire().await?;
    if !upkeep::lease(&mut conn, "measure", worker, MEASURES.as_secs_f64() * 2.0).await? {
        return Ok(());
    }
    let (rows, age) = outbox::backlog(&mut conn).await?;
    metrics::gauge!("messaging_outbox_rows").set(rows as f64);
    metrics::gauge!("messaging_outbox_age_seconds").set(age);
    let (unfinished, age) = erasure::backlog(&mut conn).await?;
    metrics::gauge!("messaging_erasures").set(unfinished as f64);
    metrics::gauge!("messaging_erasure_age_seconds").set(age);
    let failing = template_sync::failing(&mut conn).await?;
    metrics::gauge!("messaging_template_accounts_failing").set(failing as f64);
    let begun = Instant::now();
    if begun < *count_at {
        return Ok(());
    }
    let depth = queue::depth(&mut conn).await?;
    *count_at = begun + begun.elapsed() * COUNTING;
    for (state, name) in [
        (Submission::Queued, "queued"),
        (Submission::Sending, "sending"),
        (Submission::Unknown, "unknown"),
    ] {
        let count = depth
            .iter()
            .find(|(code, _)| *code == state.code())
            .map_or(0, |(_, count)| *count);
        metrics::gauge!("messaging_queue_messages", "state" => name).set(count as f64);
    }
    Ok(())
}
