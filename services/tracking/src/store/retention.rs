//! What is old goes: partitions of events, entries of logs, consumers nobody uses.

use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

/// Entries of one log that are older than what is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aged {
    pub(crate) application: Uuid,
    /// The first of them…
    pub(crate) first: i64,
    /// …and the last.
    pub(crate) last: i64,
}

/// How much the database's clock says: cut-off times are reckoned from it.
pub(crate) async fn now(pool: &PgPool) -> sqlx::Result<OffsetDateTime> {
    sqlx::query_scalar!(
        r#"-- retention.now
        SELECT tracking.now_() AS "now!""#
    )
    .fetch_one(pool)
    .await
}

/// Creates one partition that is soon needed, or drops one that ended before `keep_from`. Tells whether there was something to do.
pub(crate) async fn partition(pool: &PgPool, keep_from: OffsetDateTime) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- retention.partition
        SELECT tracking.maintain_partitions($1) AS "done!""#,
        keep_from
    )
    .fetch_one(pool)
    .await
}

/// How many events lie in the default partition.
pub(crate) async fn stray(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- retention.stray
        SELECT count(*) AS "stray!" FROM tracking.event_default"#
    )
    .fetch_one(pool)
    .await
}

/// The logs that hold entries recorded before `keep_from`.
pub(crate) async fn aged(pool: &PgPool, keep_from: OffsetDateTime) -> sqlx::Result<Vec<Aged>> {
    sqlx::query_as!(
        Aged,
        r#"-- retention.aged
        SELECT a.application_id AS application, a.earliest AS first, a.last AS "last!"
        FROM (
            SELECT h.application_id, h.earliest, tracking.position_before(h.application_id, $1) AS last
            FROM tracking.head h
            JOIN tracking.log l ON l.application_id = h.application_id AND l.position = h.earliest
            WHERE l.recorded_at < $1
        ) a
        WHERE a.last >= a.earliest"#,
        keep_from
    )
    .fetch_all(pool)
    .await
}

/// Deletes entries of one log and moves its beginning past them, in one statement. The head is locked last and briefly.
pub(crate) async fn forget(pool: &PgPool, aged: Aged) -> sqlx::Result<()> {
    sqlx::query!(
        "-- retention.forget
        WITH gone AS (
            DELETE FROM tracking.log WHERE application_id = $1 AND position >= $2 AND position <= $3 RETURNING position
        )
        UPDATE tracking.head SET earliest = greatest(earliest, $3 + 1)
        WHERE application_id = $1 AND (SELECT count(*) FROM gone) >= 0",
        aged.application,
        aged.first,
        aged.last
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Deletes events of the default partition that their logs no longer hold.
pub(crate) async fn strays(pool: &PgPool) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "-- retention.strays
        DELETE FROM tracking.event_default e
        USING tracking.head h
        WHERE h.application_id = e.application_id AND e.log_after < h.earliest
            AND NOT EXISTS (
                SELECT FROM tracking.log l
                WHERE l.application_id = e.application_id AND l.position > e.log_after AND l.position <= e.log_after + 100000 AND l.event_id = e.id
            )"
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes consumers that nobody used since `used_from`.
pub(crate) async fn consumers(pool: &PgPool, used_from: OffsetDateTime) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "-- retention.consumers
        DELETE FROM tracking.consumer WHERE updated_at < $1",
        used_from
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}
