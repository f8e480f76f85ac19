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
    pub number: String,
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
    /// Not after then. None: it stands in the queue no longer, or does not expire.
    pub expires_at: Option<OffsetDateTime>,
    /// The outcome of an earlier attempt is not known.
    pub doubted: bool,
    /// The class, as `Priority` numbers it.
    pub priority: i16,
    /// Not before then. None: at once.
    pub send_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    /// Its fallback template went in its place.
    pub fell_back: bool,
}

/// A message that a status may be about.
#[derive(Debug, Clone)]
pub(crate) struct Suspect {
    /// Where the question stood among the others.
    pub ordinal: i64,
    pub id: Uuid,
    pub application: Uuid,
    pub connection: Uuid,
    pub contact: Uuid,
    pub number: String,
    /// The highest attempt that was begun.
    pub attempt: i32,
    /// Its user was erased.
    pub erased: bool,
}

/// What a wamid means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mapped {
    /// Where the question stood among the others.
    pub ordinal: i64,
    pub message: Uuid,
    pub application: Uuid,
    /// Its user was erased.
    pub erased: bool,
}

/// How a message ended, or how far it is.
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
        SELECT m.id, m.application_id AS application, e.state, e.wamid_sealed, e.meta_code, e.reason
        FROM unnest($1::uuid[]) AS asked (id)
        CROSS JOIN LATERAL (SELECT * FROM messaging.ending e WHERE e.message_id = asked.id LIMIT 1) e
        CROSS JOIN LATERAL (SELECT m.id, m.application_id FROM messaging.message m WHERE m.id = asked.id LIMIT 1) m
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
        SELECT m.id, m.application_id AS application, m.connection_id AS connection, m.phone_number_id AS number, m.sealed, coalesce(q.state, e.state) AS "state!",
               coalesce(q.held, false) AS "held!", coalesce(q.attempt, e.attempt) AS "attempt!", coalesce(e.duplicates, 0::smallint) AS "duplicates!",
               e.wamid_sealed AS "wamid_sealed?", coalesce(q.meta_code, e.meta_code) AS meta_code, coalesce(q.reason, e.reason) AS reason,
               CASE WHEN q.state = 1 AND NOT q.held AND q.ready_at > messaging.now_() THEN q.ready_at END AS next_attempt_at,
               CASE WHEN isfinite(q.expires_at) THEN q.expires_at END AS expires_at, coalesce(q.unsettled, 0) > 0 AS "doubted!",
               m.priority, m.send_at, m.created_at, coalesce(q.updated_at, e.updated_at) AS "updated_at!",
               coalesce(q.state, 0) <> 1 AND coalesce(q.attempt, e.attempt) > 0 AND EXISTS (SELECT FROM messaging.fallback f WHERE f.message_id = $2) AS "fell_back!"
        FROM messaging.message m
        LEFT JOIN LATERAL (SELECT * FROM messaging.ending e WHERE e.message_id = $2 LIMIT 1) e ON true
        LEFT JOIN LATERAL (SELECT * FROM messaging.queue q WHERE q.phone_number_id = m.phone_number_id AND q.message_id = $2 LIMIT 1) q ON true
        WHERE m.id = $2 AND m.application_id = $1
        "#,
        application,
        id,
    )
    .fetch_optional(conn)
    .await
}

/// How far messages of an application got: what their callers are told.
pub(crate) async fn statuses(conn: &mut PgConnection, application: Uuid, ids: &[Uuid]) -> sqlx::Result<Vec<Ended>> {
    sqlx::query_as!(
        Ended,
        r#"
        SELECT m.id, m.application_id AS application, coalesce(q.state, e.state) AS "state!", e.wamid_sealed AS "wamid_sealed?",
               coalesce(q.meta_code, e.meta_code) AS meta_code, coalesce(q.reason, e.reason) AS reason
        FROM unnest($2::uuid[]) AS asked (id)
        CROSS JOIN LATERAL (SELECT * FROM messaging.message m WHERE m.id = asked.id AND m.application_id = $1 LIMIT 1) m
        LEFT JOIN LATERAL (SELECT * FROM messaging.ending e WHERE e.message_id = asked.id LIMIT 1) e ON true
        LEFT JOIN LATERAL (SELECT * FROM messaging.queue q WHERE q.phone_number_id = m.phone_number_id AND q.message_id = asked.id LIMIT 1) q ON true
        "#,
        application,
        ids,
    )
    .fetch_all(conn)
    .await
}

/// The messages with these ids.
pub(crate) async fn by_id(conn: &mut PgConnection, asked: &[(i64, Uuid)]) -> sqlx::Result<Vec<Suspect>> {
    let ordinals: Vec<_> = asked.iter().map(|(ordinal, _)| *ordinal).collect();
    let ids: Vec<_> = asked.iter().map(|(_, id)| *id).collect();
    sqlx::query_as!(
        Suspect,
        r#"
        SELECT asked.ordinal AS "ordinal!", m.id, m.application_id AS application, m.connection_id AS connection, m.contact_id AS contact, m.phone_number_id AS number,
               coalesce(q.attempt, e.attempt) AS "attempt!", m.sealed = '' AS "erased!"
        FROM unnest($1::bigint[], $2::uuid[]) AS asked (ordinal, id)
        CROSS JOIN LATERAL (SELECT * FROM messaging.message m WHERE m.id = asked.id LIMIT 1) m
        LEFT JOIN LATERAL (SELECT q.attempt FROM messaging.queue q WHERE q.phone_number_id = m.phone_number_id AND q.message_id = asked.id LIMIT 1) q ON true
        LEFT JOIN LATERAL (SELECT e.attempt FROM messaging.ending e WHERE e.message_id = asked.id LIMIT 1) e ON true
        WHERE coalesce(q.attempt, e.attempt) IS NOT NULL
        "#,
        &ordinals,
        &ids,
    )
    .fetch_all(conn)
    .await
}

/// The messages that carry the wamids with these hashes.
pub(crate) async fn by_wamid(conn: &mut PgConnection, asked: &[(i64, &[u8])]) -> sqlx::Result<Vec<Mapped>> {
    let ordinals: Vec<_> = asked.iter().map(|(ordinal, _)| *ordinal).collect();
    let hashes: Vec<_> = asked.iter().map(|(_, hash)| *hash).collect();
    sqlx::query_as!(
        Mapped,
        r#"
        SELECT asked.ordinal AS "ordinal!", w.message_id AS message, w.application_id AS application, w.erased
        FROM unnest($1::bigint[], $2::bytea[]) AS asked (ordinal, hash)
        CROSS JOIN LATERAL (SELECT w.message_id, w.application_id, w.erased FROM messaging.wamid w WHERE w.hash = asked.hash LIMIT 1) w
        "#,
        &ordinals,
        hashes as _,
    )
    .fetch_all(conn)
    .await
}
