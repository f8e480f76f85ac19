//! Ending messages that are not to be sent any more: their time ran out, or their sender took them back (design rule 7). Decided by the row: what an intent was written for is not withdrawn.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::problem::OUTCOME_UNKNOWN;

/// A message that is to end before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Withdrawal {
    pub number: String,
    pub message: Uuid,
    /// CANCELED (7); or EXPIRED (6), where its time has run out.
    pub state: i16,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Withdrawn {
    pub message: Uuid,
    pub at: OffsetDateTime,
    pub attempt: i32,
    /// EXPIRED or CANCELED; or UNKNOWN: the outcome of an earlier attempt is not known, so it may have been accepted.
    pub state: i16,
    /// Why its last try failed, if there was one.
    pub meta_code: Option<i32>,
    pub reason: Option<String>,
}

/// Ends messages that are QUEUED, or moves them to UNKNOWN where an earlier attempt is unsettled. Gives those it touched. In the order of the messages.
pub(crate) async fn withdraw(conn: &mut PgConnection, items: &[Withdrawal]) -> sqlx::Result<Vec<Withdrawn>> {
    let numbers: Vec<_> = items.iter().map(|item| item.number.as_str()).collect();
    let messages: Vec<_> = items.iter().map(|item| item.message).collect();
    let states: Vec<_> = items.iter().map(|item| item.state).collect();
    // The kinds of the events are the numbers of the states.
    sqlx::query_as!(
        Withdrawn,
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), gone AS (
            DELETE FROM messaging.queue q
            USING clock CROSS JOIN unnest($1::text[], $2::uuid[], $3::smallint[]) AS item (number, message, state)
            WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.state = 1 AND q.unsettled = 0
              AND (item.state = 7 OR q.expires_at <= clock.now)
            RETURNING q.message_id, q.attempt, q.meta_code, q.reason, item.state
        ), doubted AS (
            UPDATE messaging.queue q SET state = 4, updated_at = clock.now, meta_code = NULL, reason = $4
            FROM clock CROSS JOIN unnest($1::text[], $2::uuid[], $3::smallint[]) AS item (number, message, state)
            WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.state = 1 AND q.unsettled > 0
              AND (item.state = 7 OR q.expires_at <= clock.now)
            RETURNING q.message_id, q.attempt, q.meta_code, q.reason, q.state
        ), ended AS (
            INSERT INTO messaging.ending (message_id, updated_at, attempt, state, duplicates, meta_code, reason)
            SELECT message_id, now, attempt, state, 0, meta_code, reason FROM gone CROSS JOIN clock
        ), told AS (
            INSERT INTO messaging.outbox (message_id, at, attempt, kind)
            SELECT message_id, now, attempt, state FROM (TABLE gone UNION ALL TABLE doubted) touched CROSS JOIN clock
            ON CONFLICT (message_id, kind, attempt) DO NOTHING
        )
        SELECT message_id AS "message!", now AS "at!", attempt AS "attempt!", state AS "state!", meta_code, reason
        FROM (TABLE gone UNION ALL TABLE doubted) touched CROSS JOIN clock
        "#,
        numbers as _,
        &messages,
        &states,
        OUTCOME_UNKNOWN,
    )
    .fetch_all(conn)
    .await
}
