//! Simulated acceptances: the message ends, and everything that would have followed waits in the outbox, in one statement.

use sqlx::PgConnection;
use uuid::Uuid;

use super::record::{Accepted, Noted};

/// Ends sandboxed messages as ACCEPTED, and gives those it ended. Their ids are made up: no webhook names them, so they are not looked up. In the order of the messages.
pub(crate) async fn accepted(conn: &mut PgConnection, items: &[Accepted]) -> sqlx::Result<Vec<Noted>> {
    let numbers: Vec<_> = items.iter().map(|item| item.number.as_str()).collect();
    let messages: Vec<Uuid> = items.iter().map(|item| item.message).collect();
    let attempts: Vec<_> = items.iter().map(|item| item.attempt).collect();
    let hashes: Vec<_> = items.iter().map(|item| item.wamid_hash.as_slice()).collect();
    let sealed: Vec<_> = items.iter().map(|item| item.wamid_sealed.as_slice()).collect();
    sqlx::query_as!(
        Noted,
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), gone AS (
            DELETE FROM messaging.queue q
            USING unnest($1::text[], $2::uuid[], $3::integer[], $4::bytea[], $5::bytea[]) AS item (number, message, attempt, hash, sealed)
            WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.attempt >= item.attempt
            RETURNING q.message_id, q.attempt AS attempts, item.attempt, item.hash, item.sealed
        ), ended AS (
            INSERT INTO messaging.ending (message_id, updated_at, attempt, state, duplicates, wamid_hash, wamid_sealed)
            SELECT message_id, now, attempts, 3, 0, hash, sealed FROM gone CROSS JOIN clock
        ), told AS (
            INSERT INTO messaging.outbox (message_id, at, attempt, kind)
            SELECT message_id, now, attempt, kind FROM gone CROSS JOIN clock CROSS JOIN unnest('{2,8,9,10}'::smallint[]) AS step (kind)
            ON CONFLICT (message_id, kind, attempt) DO NOTHING
        )
        SELECT message_id AS message, now AS "at!" FROM gone CROSS JOIN clock
        "#,
        numbers as _,
        &messages,
        &attempts,
        hashes as _,
        sealed as _,
    )
    .fetch_all(conn)
    .await
}
