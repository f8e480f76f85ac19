//! Processes that deliver, and which subscriptions each has.

use sqlx::PgPool;
use uuid::Uuid;

/// Processes and subscriptions as a heartbeat finds them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Census {
    /// Processes that live, the caller among them.
    pub(crate) workers: i64,
    /// Active subscriptions.
    pub(crate) active: i64,
    /// Those of the caller.
    pub(crate) mine: i64,
}

/// A subscription that a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) id: Uuid,
    pub(crate) application_id: Uuid,
    pub(crate) epoch: i64,
    pub(crate) version: i32,
}

/// A subscription that has something to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) id: Uuid,
    /// The log goes on after its place.
    pub(crate) ahead: bool,
    /// A retry is due.
    pub(crate) due: bool,
}

/// Says that a process lives; forgets those that have not for an hour.
pub(crate) async fn beat(pool: &PgPool, worker: Uuid, expiry: f64) -> sqlx::Result<Census> {
    sqlx::query_as!(
        Census,
        r#"-- worker.beat
        WITH beat AS (
            INSERT INTO tracking.worker (id, seen_at) VALUES ($1, tracking.now_())
            ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at
        ), gone AS (
            DELETE FROM tracking.worker WHERE seen_at < tracking.now_() - interval '1 hour' AND id <> $1
        )
        SELECT 1 + (SELECT count(*) FROM tracking.worker w WHERE w.id <> $1 AND w.seen_at > tracking.now_() - make_interval(secs => $2)) AS "workers!",
            count(*) AS "active!", count(*) FILTER (WHERE s.owner = $1) AS "mine!"
        FROM tracking.subscription s WHERE s.state = 1"#,
        worker,
        expiry
    )
    .fetch_one(pool)
    .await
}

/// Takes at most `most` active subscriptions that no living process has.
pub(crate) async fn claim(pool: &PgPool, worker: Uuid, expiry: f64, most: i64) -> sqlx::Result<u64> {
    let claimed = sqlx::query!(
        "-- worker.claim
        UPDATE tracking.subscription s SET owner = $1, epoch = s.epoch + 1
        FROM (
            SELECT f.id FROM tracking.subscription f
            WHERE f.state = 1 AND f.owner IS DISTINCT FROM $1 AND NOT EXISTS (
                SELECT FROM tracking.worker w WHERE w.id = f.owner AND w.seen_at > tracking.now_() - make_interval(secs => $2)
            )
            ORDER BY f.id
            LIMIT $3
            FOR UPDATE OF f SKIP LOCKED
        ) free
        WHERE s.id = free.id",
        worker,
        expiry,
        most
    )
    .execute(pool)
    .await?;
    Ok(claimed.rows_affected())
}

/// The active subscriptions that a process has.
pub(crate) async fn held(pool: &PgPool, worker: Uuid) -> sqlx::Result<Vec<Held>> {
    sqlx::query_as!(
        Held,
        "-- worker.held
        SELECT id, application_id, epoch, version FROM tracking.subscription WHERE owner = $1 AND state = 1 ORDER BY id",
        worker
    )
    .fetch_all(pool)
    .await
}

/// Those of a process that have something to do: the log goes on after their place, or a retry is due.
pub(crate) async fn ready(pool: &PgPool, worker: Uuid) -> sqlx::Result<Vec<Ready>> {
    sqlx::query_as!(
        Ready,
        r#"-- worker.ready
        SELECT f.id, f.ahead AS "ahead!", f.due AS "due!"
        FROM (
            SELECT s.id, coalesce(h.position, 0) > s.position AS ahead,
                EXISTS (SELECT FROM tracking.retry r WHERE r.subscription_id = s.id AND r.due_at <= tracking.now_()) AS due
            FROM tracking.subscription s
            LEFT JOIN tracking.head h ON h.application_id = s.application_id
            WHERE s.owner = $1 AND s.state = 1
        ) f
        WHERE f.ahead OR f.due"#,
        worker
    )
    .fetch_all(pool)
    .await
}

/// Gives subscriptions back.
pub(crate) async fn release(pool: &PgPool, worker: Uuid, ids: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- worker.release
        UPDATE tracking.subscription SET owner = NULL WHERE owner = $1 AND id = ANY ($2)",
        worker,
        ids
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// A process delivers no more: its subscriptions are free.
pub(crate) async fn leave(pool: &PgPool, worker: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- worker.leave
        DELETE FROM tracking.worker WHERE id = $1",
        worker
    )
    .execute(pool)
    .await?;
    Ok(())
}
