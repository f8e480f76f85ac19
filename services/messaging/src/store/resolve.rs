//! Decisions of people about UNKNOWN outcomes. A decision is about the attempt that was seen: it changes nothing once another one has begun.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::problem::OUTCOME_UNKNOWN;

/// What somebody decided about an attempt whose outcome is not known.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub number: String,
    pub message: Uuid,
    pub attempt: i32,
}

/// A decision that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub message: Uuid,
    pub at: OffsetDateTime,
}

/// Puts messages back into the queue, to be sent once more: counted, so that their policy does not do the same again. They get an hour at least. Gives those it put back. In the order of
/// the messages.
pub(crate) async fn resend(conn: &mut PgConnection, items: &[Decision]) -> sqlx::Result<Vec<Resolved>> {
    let (numbers, messages, attempts) = columns(items);
    sqlx::query_as!(
        Resolved,
        r#"
        UPDATE messaging.queue q
        SET state = 1, held = false, resends = least(q.resends + 1, 32767), unsettled = least(q.unsettled + 1, 32767), ready_at = clock.now, updated_at = clock.now,
            expires_at = greatest(q.expires_at, clock.now + interval '1 hour')
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock CROSS JOIN unnest($1::text[], $2::uuid[], $3::integer[]) AS item (number, message, attempt)
        WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.attempt = item.attempt AND q.state = 4
        RETURNING q.message_id AS message, q.updated_at AS at
        "#,
        numbers as _,
        &messages,
        &attempts,
    )
    .fetch_all(conn)
    .await
}

/// Ends messages as FAILED, and gives those it ended. Evidence of an acceptance still turns them into ACCEPTED. In the order of the messages.
pub(crate) async fn fail(conn: &mut PgConnection, items: &[Decision]) -> sqlx::Result<Vec<Resolved>> {
    let (numbers, messages, attempts) = columns(items);
    sqlx::query_as!(
        Resolved,
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), gone AS (
            DELETE FROM messaging.queue q
            USING unnest($1::text[], $2::uuid[], $3::integer[]) AS item (number, message, attempt)
            WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.attempt = item.attempt AND q.state = 4
            RETURNING q.message_id, q.attempt
        ), ended AS (
            INSERT INTO messaging.ending (message_id, updated_at, attempt, state, duplicates, reason)
            SELECT message_id, now, attempt, 5, 0, $4 FROM gone CROSS JOIN clock
        ), told AS (
            INSERT INTO messaging.outbox (message_id, at, attempt, kind)
            SELECT message_id, now, attempt, 3 FROM gone CROSS JOIN clock
            ON CONFLICT (message_id, kind, attempt) DO NOTHING
        )
        SELECT message_id AS message, now AS "at!" FROM gone CROSS JOIN clock
        "#,
        numbers as _,
        &messages,
        &attempts,
        OUTCOME_UNKNOWN,
    )
    .fetch_all(conn)
    .await
}

fn columns(items: &[Decision]) -> (Vec<&str>, Vec<Uuid>, Vec<i32>) {
    (
        items.iter().map(|item| item.number.as_str()).collect(),
        items.iter().map(|item| item.message).collect(),
        items.iter().map(|item| item.attempt).collect(),
    )
}
