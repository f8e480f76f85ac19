//! The durable intent that precedes every call to Meta (design rules 1 and 2).

use sqlx::PgConnection;
use uuid::Uuid;

/// A message that is about to be sent by the owner of its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Intent<'a> {
    pub number: &'a str,
    pub message: Uuid,
    /// The owner's own epoch.
    pub epoch: i64,
    /// Tells this intent from any other of the message.
    pub nonce: Uuid,
}

/// An intent that is durable: the call may be made, once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    pub nonce: Uuid,
    pub attempt: i32,
    pub tries: i32,
}

/// Moves messages from QUEUED to SENDING, those of numbers that `worker` still owns at the epoch it believes in and whose time has not run out. What is not returned must not be sent.
///
/// The owners' rows are locked in the numbers' order, as a takeover does, and until this statement has committed: a takeover that commits first makes it return nothing, one that comes
/// later sees its rows.
pub(crate) async fn begin(conn: &mut PgConnection, worker: Uuid, intents: &[Intent<'_>]) -> sqlx::Result<Vec<Begun>> {
    let mut owned: Vec<_> = intents.iter().map(|intent| intent.number).collect();
    owned.sort_unstable();
    owned.dedup();
    let numbers: Vec<_> = intents.iter().map(|intent| intent.number).collect();
    let messages: Vec<_> = intents.iter().map(|intent| intent.message).collect();
    let epochs: Vec<_> = intents.iter().map(|intent| intent.epoch).collect();
    let nonces: Vec<_> = intents.iter().map(|intent| intent.nonce).collect();
    sqlx::query_as!(
        Begun,
        r#"
        WITH own AS MATERIALIZED (
            SELECT o.phone_number_id, o.epoch FROM messaging.number_owner o
            WHERE o.phone_number_id = ANY ($2) AND o.worker = $1
            ORDER BY o.phone_number_id
            FOR SHARE
        )
        UPDATE messaging.queue q
        SET state = 2, attempt = q.attempt + 1, tries = q.tries + 1, nonce = intent.nonce, epoch = intent.epoch, intent_at = messaging.now_(), updated_at = messaging.now_()
        FROM unnest($3::text[], $4::uuid[], $5::bigint[], $6::uuid[]) AS intent (number, message, epoch, nonce)
        WHERE q.phone_number_id = intent.number AND q.message_id = intent.message AND q.state = 1 AND NOT q.held AND q.expires_at > messaging.now_()
          AND ((intent.number, intent.epoch) IN (SELECT phone_number_id, epoch FROM own)) IS TRUE
        RETURNING q.nonce AS "nonce!", q.attempt, q.tries
        "#,
        worker,
        owned as _,
        numbers as _,
        &messages,
        &epochs,
        &nonces,
    )
    .fetch_all(conn)
    .await
}

/// Which of these intents are durable after all, when the answer to [`begin`] was lost: those whose row carries their own nonce.
pub(crate) async fn begun(conn: &mut PgConnection, intents: &[Intent<'_>]) -> sqlx::Result<Vec<Begun>> {
    let numbers: Vec<_> = intents.iter().map(|intent| intent.number).collect();
    let messages: Vec<_> = intents.iter().map(|intent| intent.message).collect();
    let nonces: Vec<_> = intents.iter().map(|intent| intent.nonce).collect();
    sqlx::query_as!(
        Begun,
        r#"
        SELECT asked.nonce AS "nonce!", found.attempt, found.tries
        FROM unnest($1::text[], $2::uuid[], $3::uuid[]) AS asked (number, message, nonce)
        CROSS JOIN LATERAL (
            SELECT q.attempt, q.tries FROM messaging.queue q
            WHERE q.phone_number_id = asked.number AND q.message_id = asked.message AND q.state = 2 AND q.nonce = asked.nonce LIMIT 1
        ) found
        "#,
        numbers as _,
        &messages,
        &nonces,
    )
    .fetch_all(conn)
    .await
}
