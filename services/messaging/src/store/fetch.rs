//! Files of users' messages that are to be fetched from Meta: who tries, and how it ended.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::file::NewFile;

/// A medium of a user's message.
#[derive(Debug)]
pub(crate) struct Announced<'a> {
    pub file: Uuid,
    pub application: Uuid,
    pub connection: Uuid,
    pub contact: Uuid,
    pub event: Uuid,
    pub media_id: &'a str,
    pub sha256: Vec<u8>,
    pub sent_at: OffsetDateTime,
    pub kind: i16,
    pub mime_type: &'a str,
    pub name_sealed: Vec<u8>,
}

/// A try at a file: nobody else tries it while the lease is renewed.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub file: Uuid,
    pub application: Uuid,
    pub connection: Uuid,
    pub media_id: String,
    pub sha256: Vec<u8>,
    pub lease: Uuid,
    /// This one included.
    pub tries: i16,
    /// Seconds since the user sent it, by Meta's clock.
    pub age: f64,
    pub mime_type: String,
}

/// A file whose bytes are all in the store.
#[derive(Debug)]
pub(crate) struct Arrived<'a> {
    pub file: Uuid,
    pub lease: Uuid,
    pub object: &'a str,
    pub size_bytes: i64,
    pub kind: i16,
    pub state: i16,
    pub mime_type: &'a str,
    pub sha256: &'a [u8],
}

/// A file whose end is to be told, with what its event is made from.
#[derive(Debug)]
pub(crate) struct Ended {
    pub file: Uuid,
    pub application: Uuid,
    pub connection: Uuid,
    pub event: Uuid,
    pub at: OffsetDateTime,
    pub mime_type: String,
    pub size_bytes: i64,
    pub sha256: Vec<u8>,
    pub reason: String,
    pub name_sealed: Vec<u8>,
}

// === impl Arrived ===

impl<'a> Arrived<'a> {
    /// The file in this row, by this try.
    pub(crate) fn of(file: &NewFile<'a>, lease: Uuid) -> Self {
        Self {
            file: file.id,
            lease,
            object: file.object,
            size_bytes: file.size_bytes,
            kind: file.kind,
            state: file.state,
            mime_type: file.mime_type,
            sha256: file.sha256,
        }
    }
}

/// Makes files PENDING, to be fetched from now on. In the order of their ids; those that are known are left as they are.
pub(crate) async fn announce(conn: &mut PgConnection, media: &[Announced<'_>], pending: i16) -> sqlx::Result<()> {
    let files: Vec<_> = media.iter().map(|medium| medium.file).collect();
    let applications: Vec<_> = media.iter().map(|medium| medium.application).collect();
    let connections: Vec<_> = media.iter().map(|medium| medium.connection).collect();
    let events: Vec<_> = media.iter().map(|medium| medium.event).collect();
    let ids: Vec<_> = media.iter().map(|medium| medium.media_id).collect();
    let hashes: Vec<_> = media.iter().map(|medium| medium.sha256.as_slice()).collect();
    let sent: Vec<_> = media.iter().map(|medium| medium.sent_at).collect();
    let kinds: Vec<_> = media.iter().map(|medium| medium.kind).collect();
    let types: Vec<_> = media.iter().map(|medium| medium.mime_type).collect();
    let names: Vec<_> = media.iter().map(|medium| medium.name_sealed.as_slice()).collect();
    let contacts: Vec<_> = media.iter().map(|medium| medium.contact).collect();
    sqlx::query!(
        r#"
        WITH new AS (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bytea[], $7::timestamptz[], $8::smallint[], $9::text[], $10::bytea[], $12::uuid[])
                AS n (file, application, connection, event, media, hash, sent, kind, mime, name, contact)
        ), made AS (
            INSERT INTO messaging.file (id, application_id, created_at, size_bytes, kind, state, mime_type, reason, object, sha256, name_sealed, contact_id)
            SELECT file, application, messaging.now_(), 0, kind, $11, mime, '', '', '', name, contact FROM new
            ON CONFLICT (id) DO NOTHING
            RETURNING id
        )
        INSERT INTO messaging.file_fetch (file_id, application_id, connection_id, event_id, media_id, sha256, sent_at, due_at)
        SELECT file, application, connection, event, media, hash, sent, messaging.now_() FROM new JOIN made ON made.id = new.file
        ON CONFLICT (file_id) DO NOTHING
        "#,
        &files,
        &applications,
        &connections,
        &events,
        ids as _,
        hashes as _,
        &sent,
        &kinds,
        types as _,
        names as _,
        pending,
        &contacts,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Applications with files to be fetched, in the order of their ids after `after`: at most `limit`.
pub(crate) async fn applications(conn: &mut PgConnection, after: Uuid, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"
        WITH RECURSIVE waiting (application) AS (
            (SELECT application_id FROM messaging.file_fetch WHERE ended_at IS NULL AND application_id > $1 ORDER BY application_id LIMIT 1)
            UNION ALL
            SELECT n.application_id FROM waiting w CROSS JOIN LATERAL (
                SELECT application_id FROM messaging.file_fetch WHERE ended_at IS NULL AND application_id > w.application ORDER BY application_id LIMIT 1
            ) n
        )
        SELECT application AS "application!" FROM waiting LIMIT $2
        "#,
        after,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Takes on files that are due, at most `each` of an application and `limit` in all, for `seconds` unless they are renewed.
pub(crate) async fn claim(
    conn: &mut PgConnection,
    applications: &[Uuid],
    each: i64,
    limit: i64,
    seconds: f64,
) -> sqlx::Result<Vec<Claimed>> {
    sqlx::query_as!(
        Claimed,
        r#"
        WITH due AS (
            SELECT d.file_id FROM unnest($1::uuid[]) AS wanted (application)
            CROSS JOIN LATERAL (
                SELECT file_id FROM messaging.file_fetch
                WHERE application_id = wanted.application AND ended_at IS NULL AND due_at <= (SELECT messaging.now_())
                ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
            ) d
            LIMIT $3
        ), taken AS (
            UPDATE messaging.file_fetch f
            SET lease = gen_random_uuid(), due_at = messaging.now_() + make_interval(secs => $4), tries = least(f.tries + 1, 30000)
            FROM due WHERE f.file_id = due.file_id
            RETURNING f.*
        )
        SELECT t.file_id AS "file!", t.application_id AS "application!", t.connection_id AS "connection!", t.media_id AS "media_id!", t.sha256 AS "sha256!", t.lease AS "lease!",
               t.tries AS "tries!", extract(epoch FROM messaging.now_() - t.sent_at)::float8 AS "age!", f.mime_type
        FROM taken t CROSS JOIN LATERAL (SELECT mime_type FROM messaging.file WHERE id = t.file_id LIMIT 1) f
        "#,
        applications,
        each,
        limit,
        seconds,
    )
    .fetch_all(conn)
    .await
}

/// Holds on to tries under way for `seconds` more.
pub(crate) async fn renew(conn: &mut PgConnection, files: &[Uuid], leases: &[Uuid], seconds: f64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE messaging.file_fetch f SET due_at = messaging.now_() + make_interval(secs => $3)
        FROM unnest($1::uuid[], $2::uuid[]) AS mine (file, lease)
        WHERE f.file_id = mine.file AND f.lease = mine.lease AND f.ended_at IS NULL
        "#,
        files,
        leases,
        seconds,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Ends a try: the next is due after `seconds`.
pub(crate) async fn postpone(conn: &mut PgConnection, file: Uuid, lease: Uuid, seconds: f64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE messaging.file_fetch SET lease = NULL, due_at = messaging.now_() + make_interval(secs => $3)
        WHERE file_id = $1 AND lease = $2 AND ended_at IS NULL
        "#,
        file,
        lease,
        seconds,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Gives a file up. False: the try was not this process's any more.
pub(crate) async fn fail(
    conn: &mut PgConnection,
    file: Uuid,
    lease: Uuid,
    failed: i16,
    reason: &str,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        WITH mine AS (
            SELECT id FROM messaging.file WHERE id = $1 FOR UPDATE
        ), ended AS (
            UPDATE messaging.file_fetch f SET ended_at = messaging.now_(), lease = NULL
            FROM mine WHERE f.file_id = mine.id AND f.lease = $2 AND f.ended_at IS NULL
            RETURNING f.file_id
        )
        UPDATE messaging.file f SET state = $3, reason = $4 FROM ended WHERE f.id = ended.file_id
        "#,
        file,
        lease,
        failed,
        reason,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a fetch well: its object is the file's now, which takes exactly its own room. Gives when the file was made; none: the try was not this process's any more, or the file is gone.
pub(crate) async fn arrive(conn: &mut PgConnection, file: &Arrived<'_>) -> sqlx::Result<Option<OffsetDateTime>> {
    sqlx::query_scalar!(
        r#"
        WITH mine AS (
            SELECT id FROM messaging.file WHERE id = $1 FOR UPDATE
        ), held AS (
            SELECT t.application_id, t.reserved FROM mine CROSS JOIN LATERAL (SELECT * FROM messaging.file_trash WHERE object = $3 AND reserved > 0 FOR UPDATE) t
        ), ended AS (
            UPDATE messaging.file_fetch f SET ended_at = messaging.now_(), lease = NULL
            FROM held WHERE f.file_id = $1 AND f.lease = $2 AND f.ended_at IS NULL
            RETURNING f.file_id, held.application_id, held.reserved
        ), trash AS (
            DELETE FROM messaging.file_trash t USING ended WHERE t.object = $3
        ), room AS (
            UPDATE messaging.file_usage u SET bytes = u.bytes - ended.reserved + $4 FROM ended WHERE u.application_id = ended.application_id
        )
        UPDATE messaging.file f SET size_bytes = $4, kind = $5, state = $6, mime_type = $7, sha256 = $8, object = $3
        FROM ended WHERE f.id = ended.file_id
        RETURNING f.created_at
        "#,
        file.file,
        file.lease,
        file.object,
        file.size_bytes,
        file.kind,
        file.state,
        file.mime_type,
        file.sha256,
    )
    .fetch_optional(conn)
    .await
}

/// Ends that are to be told, the oldest first.
pub(crate) async fn ended(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Ended>> {
    sqlx::query_as!(
        Ended,
        r#"
        SELECT e.file_id AS file, e.application_id AS application, e.connection_id AS connection, e.event_id AS event, e.ended_at AS "at!", f.mime_type, f.size_bytes, f.sha256, f.reason,
               f.name_sealed
        FROM (SELECT * FROM messaging.file_fetch WHERE ended_at IS NOT NULL ORDER BY ended_at LIMIT $1) e
        CROSS JOIN LATERAL (SELECT * FROM messaging.file WHERE id = e.file_id LIMIT 1) f
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Forgets ends that are told.
pub(crate) async fn forget(conn: &mut PgConnection, files: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM messaging.file_fetch WHERE file_id = ANY ($1::uuid[]) AND ended_at IS NOT NULL",
        files
    )
    .execute(conn)
    .await
    .map(drop)
}

/// How many files are to be fetched (counted up to 100,000), and how long ago the first of them was sent: for the metrics.
pub(crate) async fn backlog(conn: &mut PgConnection) -> sqlx::Result<(i64, f64)> {
    let row = sqlx::query!(
        r#"
        SELECT count(*) AS "count!", coalesce(extract(epoch FROM messaging.now_() - min(sent_at)), 0)::float8 AS "age!"
        FROM (SELECT sent_at FROM messaging.file_fetch WHERE ended_at IS NULL LIMIT 100000) f
        "#
    )
    .fetch_one(conn)
    .await?;
    Ok((row.count, row.age))
}
