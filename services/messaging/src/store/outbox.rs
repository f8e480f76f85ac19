//! Events that the tracking service does not have yet.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// The key of an outbox row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub message: Uuid,
    pub kind: i16,
    pub attempt: i32,
}

/// Kinds of outbox rows.
pub(crate) mod kind {
    pub(crate) const OUTBOUND: i16 = 1;
    pub(crate) const ACCEPTED: i16 = 2;
    pub(crate) const FAILED: i16 = 3;
    pub(crate) const UNKNOWN: i16 = 4;
    pub(crate) const DUPLICATE: i16 = 5;
    pub(crate) const EXPIRED: i16 = 6;
    pub(crate) const CANCELED: i16 = 7;
    /// Simulated, as the next two.
    pub(crate) const SENT: i16 = 8;
    pub(crate) const DELIVERED: i16 = 9;
    pub(crate) const READ: i16 = 10;
}

/// An outbox row with what its event is made from.
#[derive(Debug)]
pub(crate) struct Pending {
    pub message: Uuid,
    pub kind: i16,
    pub attempt: i32,
    pub at: OffsetDateTime,
    pub detail: Option<Vec<u8>>,
    pub application: Uuid,
    pub connection: Uuid,
    pub contact: Uuid,
    pub created_at: OffsetDateTime,
    pub sealed: Vec<u8>,
    pub wamid_sealed: Option<Vec<u8>>,
    /// Why the attempt missed, or the message failed.
    pub meta_code: Option<i32>,
    pub reason: Option<String>,
}

/// Forgets rows whose events are recorded.
pub(crate) async fn forget(conn: &mut PgConnection, keys: &[Key]) -> sqlx::Result<()> {
    let messages: Vec<_> = keys.iter().map(|key| key.message).collect();
    let kinds: Vec<_> = keys.iter().map(|key| key.kind).collect();
    let attempts: Vec<_> = keys.iter().map(|key| key.attempt).collect();
    sqlx::query!(
        r#"
        DELETE FROM messaging.outbox o USING unnest($1::uuid[], $2::smallint[], $3::integer[]) AS sent (message, kind, attempt)
        WHERE o.message_id = sent.message AND o.kind = sent.kind AND o.attempt = sent.attempt
        "#,
        &messages,
        &kinds,
        &attempts,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Rows that have waited for `age_seconds`, in the order of their keys after `after`.
pub(crate) async fn overdue(
    conn: &mut PgConnection,
    after: Key,
    age_seconds: f64,
    limit: i64,
) -> sqlx::Result<Vec<Pending>> {
    sqlx::query_as!(
        Pending,
        r#"
        SELECT o.message_id AS message, o.kind, o.attempt, o.at, o.detail, m.application_id AS application, m.connection_id AS connection, m.contact_id AS contact,
               m.created_at, m.sealed, e.wamid_sealed AS "wamid_sealed?",
               CASE WHEN o.kind = 6 AND e.reason IS NOT NULL THEN e.meta_code ELSE coalesce(a.meta_code, e.meta_code) END AS meta_code,
               CASE WHEN o.kind = 6 THEN coalesce(e.reason, a.reason) ELSE coalesce(a.reason, e.reason) END AS reason
        FROM (
            SELECT * FROM messaging.outbox o
            WHERE (o.message_id, o.kind, o.attempt) > ($1, $2::smallint, $3::integer) AND o.at < (SELECT messaging.now_()) - make_interval(secs => $4)
            ORDER BY o.message_id, o.kind, o.attempt LIMIT $5
        ) o
        CROSS JOIN LATERAL (SELECT * FROM messaging.message m WHERE m.id = o.message_id LIMIT 1) m
        LEFT JOIN LATERAL (SELECT * FROM messaging.ending e WHERE e.message_id = o.message_id LIMIT 1) e ON true
        LEFT JOIN LATERAL (SELECT a.meta_code, a.reason FROM messaging.attempt a WHERE a.message_id = o.message_id AND a.attempt = o.attempt LIMIT 1) a ON true
        ORDER BY o.message_id, o.kind, o.attempt
        "#,
        after.message,
        after.kind,
        after.attempt,
        age_seconds,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// How many events wait, and for how long the oldest has: for the metrics.
pub(crate) async fn backlog(conn: &mut PgConnection) -> sqlx::Result<(i64, f64)> {
    let row = sqlx::query!(
        r#"
        SELECT count(*) AS "count!", coalesce(extract(epoch FROM messaging.now_() - min(at)), 0)::float8 AS "age!"
        FROM (SELECT at FROM messaging.outbox WHERE kind > 0 LIMIT 100000) o
        "#
    )
    .fetch_one(conn)
    .await?;
    Ok((row.count, row.age))
}
