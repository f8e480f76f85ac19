//! Reading messages: for the application, and for evidence about them.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A message and, while it stands in the queue, what the queue knows better.
#[derive(Debug)]
pub(crate) struct Message {
    pub id: Uuid,
    pub application: Uuid,
    pub connection: Uuid,
    pub sealed: Vec<u8>,
    pub state: i16,
    pub held: bool,
    pub attempt: i32,
    pub duplicates: i16,
    pub wamid_sealed: Option<Vec<u8>>,
    pub meta_code: Option<i32>,
    pub reason: Option<String>,
    /// It will be tried again, then.
    pub next_attempt_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// A message that a status may be about.
#[derive(Debug, Clone)]
pub(crate) struct Suspect {
    /// Where the question stood among the others.
    pub ordinal: i64,
    pub id: Uuid,
    pub application: Uuid,
    pub connection: Uuid,
    pub number: String,
    pub state: i16,
    /// The highest attempt that was begun.
    pub attempt: i32,
    /// The wamid asked about is known to be this message's.
    pub mapped: bool,
}

/// How a message ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub id: Uuid,
    pub application: Uuid,
    pub state: i16,
    pub wamid_sealed: Option<Vec<u8>>,
    pub meta_code: Option<i32>,
    pub reason: Option<String>,
}

/// How messages ended, of those that did.
pub(crate) async fn ended(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Ended>> {
    sqlx::query_as!(
        Ended,
        r#"
        SELECT m.id, m.application_id AS application, m.state, m.wamid_sealed, m.meta_code, m.reason
        FROM unnest($1::uuid[]) AS asked (id)
        CROSS JOIN LATERAL (SELECT * FROM messaging.message m WHERE m.id = asked.id AND m.state IN (3, 5, 6, 7) LIMIT 1) m
        "#,
        ids,
    )
    .fetch_all(conn)
    .await
}

/// One message of an application.
pub(crate) async fn get(conn: &mut PgConnection, application: Uuid, id: Uuid) -> sqlx::Result<Option<Message>> {
    sqlx::query_as!(
        Message,
        r#"
        SELECT m.id, m.application_id AS application, m.connection_id AS connection, m.sealed, coalesce(q.state, m.state) AS "state!", coalesce(q.held, false) AS "held!",
               coalesce(q.attempt, m.attempt) AS "attempt!", m.duplicates, m.wamid_sealed,
               CASE WHEN q.message_id IS NULL THEN m.meta_code ELSE q.meta_code END AS meta_code,
               CASE WHEN q.message_id IS NULL THEN m.reason ELSE q.reason END AS reason,
               CASE WHEN q.state = 1 AND NOT q.held AND q.ready_at > messaging.now_() THEN q.ready_at END AS next_attempt_at,
               m.created_at, coalesce(q.updated_at, m.updated_at) AS "updated_at!"
        FROM messaging.message m
        LEFT JOIN LATERAL (SELECT * FROM messaging.queue q WHERE q.phone_number_id = m.phone_number_id AND q.message_id = m.id LIMIT 1) q ON true
        WHERE m.id = $2 AND m.application_id = $1
        "#,
        application,
        id,
    )
    .fetch_optional(conn)
    .await
}

/// The messages with these ids, and whether each is known to carry the wamid with the hash beside it.
pub(crate) async fn by_id(conn: &mut PgConnection, asked: &[(i64, Uuid, &[u8])]) -> sqlx::Result<Vec<Suspect>> {
    let ordinals: Vec<_> = asked.iter().map(|(ordinal, _, _)| *ordinal).collect();
    let ids: Vec<_> = asked.iter().map(|(_, id, _)| *id).collect();
    let hashes: Vec<_> = asked.iter().map(|(_, _, hash)| *hash).collect();
    sqlx::query_as!(
        Suspect,
        r#"
        SELECT asked.ordinal AS "ordinal!", m.id, m.application_id AS application, m.connection_id AS connection, m.phone_number_id AS number,
               coalesce(q.state, m.state) AS "state!", coalesce(q.attempt, m.attempt) AS "attempt!",
               EXISTS (SELECT FROM messaging.wamid w WHERE w.hash = asked.hash AND w.message_id = m.id) AS "mapped!"
        FROM unnest($1::bigint[], $2::uuid[], $3::bytea[]) AS asked (ordinal, id, hash)
        CROSS JOIN LATERAL (SELECT * FROM messaging.message m WHERE m.id = asked.id LIMIT 1) m
        LEFT JOIN LATERAL (SELECT q.state, q.attempt FROM messaging.queue q WHERE q.phone_number_id = m.phone_number_id AND q.message_id = m.id LIMIT 1) q ON true
        "#,
        &ordinals,
        &ids,
        hashes as _,
    )
    .fetch_all(conn)
    .await
}

/// The messages that carry the wamids with these hashes.
pub(crate) async fn by_wamid(conn: &mut PgConnection, asked: &[(i64, &[u8])]) -> sqlx::Result<Vec<Suspect>> {
    let ordinals: Vec<_> = asked.iter().map(|(ordinal, _)| *ordinal).collect();
    let hashes: Vec<_> = asked.iter().map(|(_, hash)| *hash).collect();
    sqlx::query_as!(
        Suspect,
        r#"
        SELECT asked.ordinal AS "ordinal!", m.id, m.application_id AS application, m.connection_id AS connection, m.phone_number_id AS number, m.state, m.attempt, true AS "mapped!"
        FROM unnest($1::bigint[], $2::bytea[]) AS asked (ordinal, hash)
        CROSS JOIN LATERAL (SELECT w.message_id FROM messaging.wamid w WHERE w.hash = asked.hash LIMIT 1) w
        CROSS JOIN LATERAL (SELECT * FROM messaging.message m WHERE m.id = w.message_id LIMIT 1) m
        "#,
        &ordinals,
        hashes as _,
    )
    .fetch_all(conn)
    .await
}
