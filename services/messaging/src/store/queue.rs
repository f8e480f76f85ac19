//! Reading the queue: page by page for the owner's scan, by id for hints, and what is needed to make a call.

use sqlx::PgConnection;
use uuid::Uuid;

/// A queued message, as the owner of its number sees it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub message: Uuid,
    pub contact: Uuid,
    pub connection: Uuid,
    pub place: i64,
    pub epoch: i64,
    pub attempt: i32,
    pub state: i16,
    pub priority: i16,
    pub held: bool,
    /// Seconds until it may be tried; not positive: now.
    pub ready_in: f64,
    /// Seconds since its last intent.
    pub intent_age: Option<f64>,
    /// Its time has run out.
    pub expired: bool,
    /// It has not been tried: what it waits for is the time that its sender chose.
    pub scheduled: bool,
}

/// What a call to Meta needs of a message.
#[derive(Debug)]
pub(crate) struct Load {
    pub message: Uuid,
    pub application: Uuid,
    pub traceparent: Option<String>,
    pub sealed: Vec<u8>,
    /// Seconds until the recipient's window closes; none: there is none, or Meta closed it.
    pub window_left: Option<f64>,
}

/// One page of a number's queue in the order of ids, after `after`.
pub(crate) async fn page(conn: &mut PgConnection, number: &str, after: Uuid, limit: i64) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"
        SELECT q.message_id AS message, q.contact_id AS contact, q.connection_id AS connection, q.place, q.epoch, q.attempt, q.state, q.priority, q.held,
               extract(epoch FROM q.ready_at - clock.now)::float8 AS "ready_in!", extract(epoch FROM clock.now - q.intent_at)::float8 AS intent_age,
               q.expires_at <= clock.now AS "expired!", q.attempt = 0 AND q.reason IS NULL AND q.ready_at > clock.now AS "scheduled!"
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock CROSS JOIN messaging.queue q
        WHERE q.phone_number_id = $1 AND q.message_id > $2
        ORDER BY q.message_id LIMIT $3
        "#,
        number,
        after,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Queued messages of several numbers by their ids. Those that have ended are missing.
pub(crate) async fn rows(conn: &mut PgConnection, keys: &[(&str, Uuid)]) -> sqlx::Result<Vec<Row>> {
    let numbers: Vec<_> = keys.iter().map(|(number, _)| *number).collect();
    let messages: Vec<_> = keys.iter().map(|(_, message)| *message).collect();
    sqlx::query_as!(
        Row,
        r#"
        SELECT q.message_id AS message, q.contact_id AS contact, q.connection_id AS connection, q.place, q.epoch, q.attempt, q.state, q.priority, q.held,
               extract(epoch FROM q.ready_at - clock.now)::float8 AS "ready_in!", extract(epoch FROM clock.now - q.intent_at)::float8 AS intent_age,
               q.expires_at <= clock.now AS "expired!", q.attempt = 0 AND q.reason IS NULL AND q.ready_at > clock.now AS "scheduled!"
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock CROSS JOIN unnest($1::text[], $2::uuid[]) AS asked (number, message)
        CROSS JOIN LATERAL (
            SELECT * FROM messaging.queue q WHERE q.phone_number_id = asked.number AND q.message_id = asked.message LIMIT 1
        ) q
        "#,
        numbers as _,
        &messages,
    )
    .fetch_all(conn)
    .await
}

/// The content of messages, and what is known of their recipients' windows.
pub(crate) async fn load(conn: &mut PgConnection, messages: &[Uuid]) -> sqlx::Result<Vec<Load>> {
    sqlx::query_as!(
        Load,
        r#"
        SELECT asked.message AS "message!", m.application_id AS application, m.traceparent, m.sealed,
               messaging.window_left(w.last_inbound_at, w.expires_at, w.closed_at, clock.now) AS "window_left?"
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock CROSS JOIN unnest($1::uuid[]) AS asked (message)
        CROSS JOIN LATERAL (SELECT * FROM messaging.message m WHERE m.id = asked.message LIMIT 1) m
        LEFT JOIN LATERAL (
            SELECT * FROM messaging.service_window w WHERE w.phone_number_id = m.phone_number_id AND w.contact_id = m.contact_id LIMIT 1
        ) w ON true
        "#,
        messages,
    )
    .fetch_all(conn)
    .await
}

/// How many messages wait, by state: for the metrics.
pub(crate) async fn depth(conn: &mut PgConnection) -> sqlx::Result<Vec<(i16, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT state, count(*) AS "count!" FROM messaging.queue WHERE phone_number_id > '' GROUP BY state"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.state, row.count)).collect())
}
