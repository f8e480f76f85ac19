//! Partitions, leases, and what has served its time.

use sqlx::PgConnection;
use uuid::Uuid;

/// Makes and drops partitions. Gives how many rows stand in the default one.
pub(crate) async fn maintain_partitions(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT messaging.maintain_partitions() AS "strays!""#)
        .fetch_one(conn)
        .await
}

/// Takes or keeps a lease. False: another process holds it.
pub(crate) async fn lease(conn: &mut PgConnection, name: &str, worker: Uuid, seconds: f64) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        INSERT INTO messaging.lease AS l (name, worker, until)
        SELECT $1, $2, messaging.now_() + make_interval(secs => $3)
        ON CONFLICT (name) DO UPDATE SET worker = excluded.worker, until = excluded.until
        WHERE l.worker = excluded.worker OR l.until < messaging.now_()
        "#,
        name,
        worker,
        seconds,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets idempotency keys of messages older than 7 days: at most `limit`. Gives how many.
pub(crate) async fn purge_keys(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        DELETE FROM messaging.idempotency i
        USING (
            SELECT application_id, key_hash FROM messaging.idempotency
            WHERE message_id < (SELECT messaging.first_id((messaging.now_() AT TIME ZONE 'UTC')::date - 7)) LIMIT $1
        ) old
        WHERE i.application_id = old.application_id AND i.key_hash = old.key_hash
        "#,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Forgets of messages that are gone that their fallback went in their place: at most `limit`. Gives how many.
pub(crate) async fn purge_fallbacks(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        DELETE FROM messaging.fallback f
        USING (
            SELECT message_id FROM messaging.fallback WHERE message_id < (SELECT messaging.first_id((messaging.now_() AT TIME ZONE 'UTC')::date - 35)) LIMIT $1
        ) old
        WHERE f.message_id = old.message_id
        "#,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Forgets the attempts of messages that are gone: at most `limit`. Gives how many.
pub(crate) async fn purge_attempts(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        DELETE FROM messaging.attempt a
        USING (
            SELECT message_id, attempt FROM messaging.attempt
            WHERE message_id < (SELECT messaging.first_id((messaging.now_() AT TIME ZONE 'UTC')::date - 35)) ORDER BY message_id LIMIT $1
        ) old
        WHERE a.message_id = old.message_id AND a.attempt = old.attempt
        "#,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Forgets the wamids of messages that are gone: at most `limit`. Gives how many.
pub(crate) async fn purge_wamids(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        DELETE FROM messaging.wamid w
        USING (
            SELECT hash FROM messaging.wamid WHERE message_id < (SELECT messaging.first_id((messaging.now_() AT TIME ZONE 'UTC')::date - 35)) LIMIT $1
        ) old
        WHERE w.hash = old.hash
        "#,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
