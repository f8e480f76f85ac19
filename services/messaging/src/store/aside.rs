//! Queued messages that cannot go now, or never will, and for which no attempt is made.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A message that waits for something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Park<'a> {
    pub number: &'a str,
    pub message: Uuid,
    /// The owner's own epoch.
    pub epoch: i64,
    /// Stable reason in upper snake case.
    pub reason: &'a str,
    pub wait_seconds: f64,
}

/// A message that must not be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal<'a> {
    pub number: &'a str,
    pub message: Uuid,
    /// The owner's own epoch.
    pub epoch: i64,
    /// Stable reason in upper snake case.
    pub reason: &'a str,
}

/// What became of a [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub message: Uuid,
    pub attempt: i32,
    pub at: OffsetDateTime,
    /// It ended. Else an earlier attempt may have been accepted: its outcome is unknown.
    pub ended: bool,
}

/// Notes of queued messages what they wait for and until when, those of numbers that `worker` still owns at the epoch it believes in. Gives those it noted.
pub(crate) async fn park(conn: &mut PgConnection, worker: Uuid, parks: &[Park<'_>]) -> sqlx::Result<Vec<Uuid>> {
    let owned = owned(parks.iter().map(|park| park.number));
    let numbers: Vec<_> = parks.iter().map(|park| park.number).collect();
    let messages: Vec<_> = parks.iter().map(|park| park.message).collect();
    let epochs: Vec<_> = parks.iter().map(|park| park.epoch).collect();
    let reasons: Vec<_> = parks.iter().map(|park| park.reason).collect();
    let waits: Vec<_> = parks.iter().map(|park| park.wait_seconds).collect();
    sqlx::query_scalar!(
        r#"
        WITH own AS MATERIALIZED (
            SELECT o.phone_number_id, o.epoch FROM messaging.number_owner o
            WHERE o.phone_number_id = ANY ($2) AND o.worker = $1
            ORDER BY o.phone_number_id
            FOR SHARE
        ), clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        )
        UPDATE messaging.queue q
        SET ready_at = clock.now + make_interval(secs => item.wait), updated_at = clock.now, meta_code = NULL, reason = item.reason
        FROM clock CROSS JOIN unnest($3::text[], $4::uuid[], $5::bigint[], $6::text[], $7::float8[]) AS item (number, message, epoch, reason, wait)
        WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.state = 1 AND NOT q.held
          AND ((item.number, item.epoch) IN (SELECT phone_number_id, epoch FROM own)) IS TRUE
        RETURNING q.message_id
        "#,
        worker,
        owned as _,
        numbers as _,
        &messages,
        &epochs,
        reasons as _,
        &waits,
    )
    .fetch_all(conn)
    .await
}

/// Ends queued messages as FAILED without an attempt, under the same conditions as [`park`]. Those with an earlier attempt whose outcome is unknown go to UNKNOWN instead: they may have been
/// accepted.
pub(crate) async fn refuse(
    conn: &mut PgConnection,
    worker: Uuid,
    refusals: &[Refusal<'_>],
) -> sqlx::Result<Vec<Refused>> {
    let owned = owned(refusals.iter().map(|refusal| refusal.number));
    let numbers: Vec<_> = refusals.iter().map(|refusal| refusal.number).collect();
    let messages: Vec<_> = refusals.iter().map(|refusal| refusal.message).collect();
    let epochs: Vec<_> = refusals.iter().map(|refusal| refusal.epoch).collect();
    let reasons: Vec<_> = refusals.iter().map(|refusal| refusal.reason).collect();
    sqlx::query_as!(
        Refused,
        r#"
        WITH own AS MATERIALIZED (
            SELECT o.phone_number_id, o.epoch FROM messaging.number_owner o
            WHERE o.phone_number_id = ANY ($2) AND o.worker = $1
            ORDER BY o.phone_number_id
            FOR SHARE
        ), clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), item AS MATERIALIZED (
            SELECT item.number, item.message, item.reason FROM unnest($3::text[], $4::uuid[], $5::bigint[], $6::text[]) AS item (number, message, epoch, reason)
            WHERE ((item.number, item.epoch) IN (SELECT phone_number_id, epoch FROM own)) IS TRUE
        ), gone AS (
            DELETE FROM messaging.queue q USING item
            WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.state = 1 AND NOT q.held AND q.unsettled = 0
            RETURNING q.message_id, q.attempt, item.reason
        ), moved AS (
            UPDATE messaging.queue q SET state = 4, updated_at = clock.now, meta_code = NULL, reason = item.reason
            FROM clock CROSS JOIN item
            WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.state = 1 AND NOT q.held AND q.unsettled > 0
            RETURNING q.message_id, q.attempt
        ), ended AS (
            INSERT INTO messaging.ending (message_id, updated_at, attempt, state, duplicates, reason)
            SELECT message_id, now, attempt, 5, 0, reason FROM gone CROSS JOIN clock
        ), told AS (
            INSERT INTO messaging.outbox (message_id, at, attempt, kind)
            SELECT message_id, now, attempt, 3 FROM gone CROSS JOIN clock
            UNION ALL
            SELECT message_id, now, attempt, 4 FROM moved CROSS JOIN clock
            ON CONFLICT (message_id, kind, attempt) DO NOTHING
        )
        SELECT message_id AS "message!", attempt AS "attempt!", now AS "at!", true AS "ended!" FROM gone CROSS JOIN clock
        UNION ALL
        SELECT message_id, attempt, now, false FROM moved CROSS JOIN clock
        "#,
        worker,
        owned as _,
        numbers as _,
        &messages,
        &epochs,
        reasons as _,
    )
    .fetch_all(conn)
    .await
}

/// Each number once, in order: as intents and takeovers lock them.
fn owned<'a>(numbers: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut owned: Vec<_> = numbers.collect();
    owned.sort_unstable();
    owned.dedup();
    owned
}
