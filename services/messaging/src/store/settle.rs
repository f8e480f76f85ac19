//! Settling UNKNOWN outcomes by the message's own policy, when no evidence came (design rule 7).

use sqlx::PgConnection;
use time::Duration;
use uuid::Uuid;

use crate::problem::OUTCOME_UNKNOWN;

/// An UNKNOWN message that may have waited long enough. The statements decide.
#[derive(Debug, Clone)]
pub(crate) struct Unsettled {
    pub number: String,
    pub message: Uuid,
    pub attempt: i32,
}

/// What the policy did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    pub message: Uuid,
    /// It is sent once more; else it is held.
    pub resend: bool,
}

/// Holds messages, or sends them once more, by their policies HOLD and RESEND (unless their time has run out), where `patience` has passed since the intent and since decoding of webhooks is in
/// good health without a break, and a webhook came after that: nothing to decode proves nothing if nothing comes.
pub(crate) async fn hold_or_resend(
    conn: &mut PgConnection,
    items: &[Unsettled],
    patience: Duration,
) -> sqlx::Result<Vec<Settled>> {
    let (numbers, messages, attempts) = columns(items);
    sqlx::query_as!(
        Settled,
        r#"
        WITH quiet AS MATERIALIZED (
            SELECT clock.now, h.healthy_since, h.heard_at FROM messaging.ingest_health h CROSS JOIN (SELECT messaging.now_() AS now) clock
            WHERE h.healthy_since IS NOT NULL AND h.reported_at > clock.now - interval '15 seconds'
        )
        UPDATE messaging.queue q
        SET state = CASE WHEN q.on_unknown = 2 AND q.resends = 0 AND q.expires_at > quiet.now THEN 1 ELSE 4 END,
            held = NOT (q.on_unknown = 2 AND q.resends = 0 AND q.expires_at > quiet.now),
            resends = q.resends + (q.on_unknown = 2 AND q.resends = 0 AND q.expires_at > quiet.now)::integer,
            unsettled = q.unsettled + (q.on_unknown = 2 AND q.resends = 0 AND q.expires_at > quiet.now)::integer,
            ready_at = quiet.now, updated_at = quiet.now
        FROM quiet CROSS JOIN unnest($1::text[], $2::uuid[], $3::integer[]) AS item (number, message, attempt)
        WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.attempt = item.attempt AND q.state = 4 AND NOT q.held AND q.on_unknown <> 3
          AND greatest(q.intent_at, quiet.healthy_since) <= quiet.now - make_interval(secs => $4) AND quiet.heard_at >= q.intent_at + make_interval(secs => $4)
        RETURNING q.message_id AS message, q.state = 1 AS "resend!"
        "#,
        numbers as _,
        &messages,
        &attempts,
        patience.as_seconds_f64(),
    )
    .fetch_all(conn)
    .await
}

/// Ends messages as FAILED by their policy FAIL, under the same conditions as [`hold_or_resend`]. Evidence of an acceptance still turns them into ACCEPTED.
pub(crate) async fn fail(conn: &mut PgConnection, items: &[Unsettled], patience: Duration) -> sqlx::Result<Vec<Uuid>> {
    let (numbers, messages, attempts) = columns(items);
    sqlx::query_scalar!(
        r#"
        WITH quiet AS MATERIALIZED (
            SELECT clock.now, h.healthy_since, h.heard_at FROM messaging.ingest_health h CROSS JOIN (SELECT messaging.now_() AS now) clock
            WHERE h.healthy_since IS NOT NULL AND h.reported_at > clock.now - interval '15 seconds'
        ), gone AS (
            DELETE FROM messaging.queue q
            USING quiet CROSS JOIN unnest($1::text[], $2::uuid[], $3::integer[]) AS item (number, message, attempt)
            WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.attempt = item.attempt AND q.state = 4 AND NOT q.held AND q.on_unknown = 3
              AND greatest(q.intent_at, quiet.healthy_since) <= quiet.now - make_interval(secs => $4) AND quiet.heard_at >= q.intent_at + make_interval(secs => $4)
            RETURNING q.message_id, q.attempt, quiet.now
        ), ended AS (
            INSERT INTO messaging.ending (message_id, updated_at, attempt, state, duplicates, reason)
            SELECT message_id, now, attempt, 5, 0, $5 FROM gone
        ), told AS (
            INSERT INTO messaging.outbox (message_id, at, attempt, kind)
            SELECT message_id, now, attempt, 3 FROM gone
            ON CONFLICT (message_id, kind, attempt) DO NOTHING
        )
        SELECT message_id FROM gone
        "#,
        numbers as _,
        &messages,
        &attempts,
        patience.as_seconds_f64(),
        OUTCOME_UNKNOWN,
    )
    .fetch_all(conn)
    .await
}

fn columns(items: &[Unsettled]) -> (Vec<&str>, Vec<Uuid>, Vec<i32>) {
    (
        items.iter().map(|item| item.number.as_str()).collect(),
        items.iter().map(|item| item.message).collect(),
        items.iter().map(|item| item.attempt).collect(),
    )
}
