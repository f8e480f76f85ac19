//! Ending messages that are about to outlive what is kept of them: their content is dropped with its day's partition after 35 days, and nobody could send, show or settle them after that.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::problem::{OUTCOME_UNKNOWN, RETENTION_ENDED};

/// A message that was ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retired {
    pub message: Uuid,
    /// EXPIRED (6); or FAILED (5) where the outcome of an attempt is not known: evidence of an acceptance still turns it into ACCEPTED.
    pub state: i16,
}

/// Ends messages that were accepted 34 days ago or earlier, a day before their partition is dropped, with an event each: at most `limit` of each number, the oldest first. Gives those it ended.
///
/// What is SENDING becomes UNKNOWN before long, and ends then. UNKNOWN ends as the policy FAIL has it: nobody may call an outcome EXPIRED that may be an acceptance.
pub(crate) async fn retire(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Retired>> {
    sqlx::query_as!(
        Retired,
        r#"
        WITH clock AS MATERIALIZED (
            SELECT now, messaging.first_id((now AT TIME ZONE 'UTC')::date - 34) AS before FROM (SELECT messaging.now_() AS now OFFSET 0) clock
        ), old AS MATERIALIZED (
            SELECT q.phone_number_id, q.message_id
            FROM messaging.number_owner o
            CROSS JOIN LATERAL (
                SELECT q.phone_number_id, q.message_id FROM messaging.queue q
                WHERE q.phone_number_id = o.phone_number_id AND q.message_id < (SELECT before FROM clock) AND q.state IN (1, 4)
                ORDER BY q.message_id LIMIT $1
            ) q
            ORDER BY q.message_id
        ), gone AS (
            DELETE FROM messaging.queue q USING old
            WHERE q.phone_number_id = old.phone_number_id AND q.message_id = old.message_id AND q.state IN (1, 4)
            RETURNING q.message_id, q.attempt, CASE WHEN q.state = 4 OR q.unsettled > 0 THEN 5 ELSE 6 END::smallint AS state
        ), ended AS (
            INSERT INTO messaging.ending (message_id, updated_at, attempt, state, duplicates, reason)
            SELECT message_id, now, attempt, state, 0, CASE state WHEN 5 THEN $2 ELSE $3 END FROM gone CROSS JOIN clock
        ), told AS (
            INSERT INTO messaging.outbox (message_id, at, attempt, kind)
            SELECT message_id, now, attempt, CASE state WHEN 5 THEN 3 ELSE 6 END::smallint FROM gone CROSS JOIN clock
            ON CONFLICT (message_id, kind, attempt) DO NOTHING
        )
        SELECT message_id AS "message!", state AS "state!" FROM gone
        "#,
        limit,
        OUTCOME_UNKNOWN,
        RETENTION_ENDED,
    )
    .fetch_all(conn)
    .await
}
