//! Files: what is known of them, the room they take, Meta's ids of them, and objects that belong to none.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub id: Uuid,
    pub created_at: OffsetDateTime,
    pub size_bytes: i64,
    pub kind: i16,
    pub state: i16,
    pub mime_type: String,
    pub reason: String,
    pub object: String,
    pub sha256: Vec<u8>,
    pub name_sealed: Vec<u8>,
}

/// A file whose bytes are all in the store.
#[derive(Debug)]
pub(crate) struct NewFile<'a> {
    pub id: Uuid,
    pub object: &'a str,
    pub size_bytes: i64,
    pub kind: i16,
    pub state: i16,
    pub mime_type: &'a str,
    pub sha256: &'a [u8],
    pub name_sealed: &'a [u8],
}

/// How an upload's claim to more room ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grown {
    Yes,
    /// The application has no more.
    NoRoom,
    /// The upload was given up meanwhile.
    GivenUp,
}

/// An object to be deleted from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Discarded {
    pub object: String,
    pub upload: Option<String>,
}

/// What was at Meta of a file that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Medium {
    pub phone_number_id: String,
    pub media_id: String,
}

/// A file as it is given to Meta, with the id that one number has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sendable {
    pub id: Uuid,
    pub application: Uuid,
    pub phone_number_id: String,
    pub state: i16,
    pub size_bytes: i64,
    pub mime_type: String,
    pub object: String,
    /// An id that Meta still keeps for a while.
    pub media_id: Option<String>,
}

/// Begins an upload: takes `bytes` of the application's room, at most `quota` in all, and notes the object as one to be deleted after `seconds` unless the upload ends well. False: there is no
/// room.
pub(crate) async fn begin(
    conn: &mut PgConnection,
    application: Uuid,
    object: &str,
    bytes: i64,
    quota: i64,
    seconds: f64,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        WITH room AS (
            INSERT INTO messaging.file_usage AS u (application_id, bytes)
            SELECT $1, $3::bigint WHERE $3::bigint <= $4::bigint
            ON CONFLICT (application_id) DO UPDATE SET bytes = u.bytes + excluded.bytes WHERE u.bytes + excluded.bytes <= $4
            RETURNING application_id
        )
        INSERT INTO messaging.file_trash (object, application_id, reserved, due_at)
        SELECT $2, application_id, $3, messaging.now_() + make_interval(secs => $5) FROM room
        "#,
        application,
        object,
        bytes,
        quota,
        seconds,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes more room for an upload that turns out larger than was thought.
pub(crate) async fn grow(conn: &mut PgConnection, object: &str, bytes: i64, quota: i64) -> sqlx::Result<Grown> {
    let row = sqlx::query!(
        r#"
        WITH held AS (
            SELECT application_id FROM messaging.file_trash WHERE object = $1 AND reserved > 0 FOR UPDATE
        ), room AS (
            UPDATE messaging.file_usage u SET bytes = u.bytes + $2
            FROM held WHERE u.application_id = held.application_id AND u.bytes + $2 <= $3
            RETURNING u.application_id
        ), grown AS (
            UPDATE messaging.file_trash t SET reserved = t.reserved + $2 FROM room WHERE t.object = $1 RETURNING t.object
        )
        SELECT EXISTS (SELECT FROM held) AS "held!", EXISTS (SELECT FROM grown) AS "grown!"
        "#,
        object,
        bytes,
        quota,
    )
    .fetch_one(conn)
    .await?;
    Ok(match (row.held, row.grown) {
        (_, true) => Grown::Yes,
        (true, false) => Grown::NoRoom,
        (false, false) => Grown::GivenUp,
    })
}

/// Notes the store's id of an upload in parts. False: the upload was given up meanwhile.
pub(crate) async fn note_upload(conn: &mut PgConnection, object: &str, upload: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE messaging.file_trash SET upload = $2 WHERE object = $1 AND reserved > 0",
        object,
        upload,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends an upload well: its object belongs to a file now, which takes exactly its own room. Gives when; none: the upload was given up meanwhile.
pub(crate) async fn finish(conn: &mut PgConnection, file: &NewFile<'_>) -> sqlx::Result<Option<OffsetDateTime>> {
    sqlx::query_scalar!(
        r#"
        WITH held AS (
            DELETE FROM messaging.file_trash WHERE object = $2 AND reserved > 0 RETURNING application_id, reserved
        ), room AS (
            UPDATE messaging.file_usage u SET bytes = u.bytes - held.reserved + $3 FROM held WHERE u.application_id = held.application_id
        )
        INSERT INTO messaging.file (id, application_id, created_at, size_bytes, kind, state, mime_type, reason, object, sha256, name_sealed)
        SELECT $1, application_id, messaging.now_(), $3, $4, $5, $6, '', $2, $7, $8 FROM held
        RETURNING created_at
        "#,
        file.id,
        file.object,
        file.size_bytes,
        file.kind,
        file.state,
        file.mime_type,
        file.sha256,
        file.name_sealed,
    )
    .fetch_optional(conn)
    .await
}

/// Those of the files that are the application's.
pub(crate) async fn find(conn: &mut PgConnection, application: Uuid, ids: &[Uuid]) -> sqlx::Result<Vec<File>> {
    sqlx::query_as!(
        File,
        r#"
        SELECT f.id, f.created_at, f.size_bytes, f.kind, f.state, f.mime_type, f.reason, f.object, f.sha256, f.name_sealed
        FROM unnest($2::uuid[]) AS wanted (id)
        CROSS JOIN LATERAL (SELECT * FROM messaging.file WHERE id = wanted.id LIMIT 1) f
        WHERE f.application_id = $1
        "#,
        application,
        ids,
    )
    .fetch_all(conn)
    .await
}

/// The application's files before `before`, the newest first: at most `limit`.
pub(crate) async fn list(
    conn: &mut PgConnection,
    application: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<File>> {
    let last = Uuid::max();
    sqlx::query_as!(
        File,
        r#"
        SELECT id, created_at, size_bytes, kind, state, mime_type, reason, object, sha256, name_sealed
        FROM messaging.file WHERE application_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3
        "#,
        application,
        before.unwrap_or(last),
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Deletes a file: its room is free at once, its object is one to be deleted, and if it was to be fetched it will not be. Gives the object (empty: it had none yet) and what Meta has of it; none: there is no such file.
pub(crate) async fn delete(
    conn: &mut PgConnection,
    application: Uuid,
    id: Uuid,
) -> sqlx::Result<Option<(String, Vec<Medium>)>> {
    let rows = sqlx::query!(
        r#"
        WITH gone AS (
            DELETE FROM messaging.file WHERE id = $2 AND application_id = $1 RETURNING object, size_bytes
        ), room AS (
            UPDATE messaging.file_usage u SET bytes = u.bytes - gone.size_bytes FROM gone WHERE u.application_id = $1
        ), trash AS (
            INSERT INTO messaging.file_trash (object, application_id, reserved, due_at) SELECT object, $1, 0, messaging.now_() FROM gone WHERE object <> ''
        ), unfetched AS (
            DELETE FROM messaging.file_fetch f USING gone WHERE f.file_id = $2
        ), media AS (
            DELETE FROM messaging.file_media m USING gone WHERE m.file_id = $2 RETURNING m.phone_number_id, m.media_id
        )
        SELECT gone.object, media.phone_number_id AS "phone_number_id?", media.media_id AS "media_id?" FROM gone LEFT JOIN media ON true
        "#,
        application,
        id,
    )
    .fetch_all(conn)
    .await?;
    let mut object = None;
    let mut media = Vec::new();
    for row in rows {
        object = Some(row.object);
        if let (Some(phone_number_id), Some(media_id)) = (row.phone_number_id, row.media_id) {
            media.push(Medium {
                phone_number_id,
                media_id,
            });
        }
    }
    Ok(object.map(|object| (object, media)))
}

/// Objects that are to be deleted by now: at most `limit`.
pub(crate) async fn due(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "SELECT object FROM messaging.file_trash WHERE due_at <= messaging.now_() ORDER BY due_at LIMIT $1",
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Takes objects on to delete them: from now on no upload can end well with them, the room that they hold is free, and if they are not deleted they come up again after `seconds`.
pub(crate) async fn discard(conn: &mut PgConnection, objects: &[&str], seconds: f64) -> sqlx::Result<Vec<Discarded>> {
    sqlx::query_as!(
        Discarded,
        r#"
        WITH held AS (
            SELECT object, application_id, reserved FROM messaging.file_trash WHERE object = ANY ($1::text[]) ORDER BY object FOR UPDATE
        ), room AS (
            UPDATE messaging.file_usage u SET bytes = u.bytes - freed.bytes
            FROM (SELECT application_id, sum(reserved)::bigint AS bytes FROM held GROUP BY application_id) freed
            WHERE u.application_id = freed.application_id AND freed.bytes > 0
        )
        UPDATE messaging.file_trash t SET reserved = 0, due_at = messaging.now_() + make_interval(secs => $2)
        FROM held WHERE t.object = held.object
        RETURNING t.object, t.upload
        "#,
        objects as _,
        seconds,
    )
    .fetch_all(conn)
    .await
}

/// Forgets an object that is deleted.
pub(crate) async fn forget(conn: &mut PgConnection, object: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM messaging.file_trash WHERE object = $1 AND reserved = 0",
        object
    )
    .execute(conn)
    .await
    .map(drop)
}

/// For pairs of file and number: the file, with the number's id of it if that lives longer than `seconds` yet. What is no file of the application named beside it is left out.
pub(crate) async fn sendable(
    conn: &mut PgConnection,
    applications: &[Uuid],
    files: &[Uuid],
    numbers: &[&str],
    seconds: f64,
) -> sqlx::Result<Vec<Sendable>> {
    sqlx::query_as!(
        Sendable,
        r#"
        SELECT f.id, f.application_id AS application, wanted.number AS "phone_number_id!", f.state, f.size_bytes, f.mime_type, f.object, m.media_id AS "media_id?"
        FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS wanted (application, file, number)
        CROSS JOIN LATERAL (SELECT * FROM messaging.file WHERE id = wanted.file LIMIT 1) f
        LEFT JOIN LATERAL (
            SELECT media_id FROM messaging.file_media
            WHERE file_id = wanted.file AND phone_number_id = wanted.number AND expires_at > messaging.now_() + make_interval(secs => $4)
            LIMIT 1
        ) m ON true
        WHERE f.application_id = wanted.application
        "#,
        applications,
        files,
        numbers as _,
        seconds,
    )
    .fetch_all(conn)
    .await
}

/// Keeps a number's id of a file for `seconds`. False: the file is gone.
pub(crate) async fn keep_medium(
    conn: &mut PgConnection,
    file: Uuid,
    number: &str,
    media_id: &str,
    seconds: f64,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        WITH kept AS (SELECT id FROM messaging.file WHERE id = $1 FOR KEY SHARE)
        INSERT INTO messaging.file_media (file_id, phone_number_id, media_id, expires_at)
        SELECT id, $2, $3, messaging.now_() + make_interval(secs => $4) FROM kept
        ON CONFLICT (file_id, phone_number_id) DO UPDATE SET media_id = excluded.media_id, expires_at = excluded.expires_at
        "#,
        file,
        number,
        media_id,
        seconds,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets ids that Meta does not know any more, unless there are younger ones by now.
pub(crate) async fn forget_media(
    conn: &mut PgConnection,
    number: &str,
    files: &[Uuid],
    media: &[&str],
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        DELETE FROM messaging.file_media m
        USING unnest($2::uuid[], $3::text[]) AS stale (file, media)
        WHERE m.file_id = stale.file AND m.phone_number_id = $1 AND m.media_id = stale.media
        "#,
        number,
        files,
        media as _,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Forgets ids that Meta keeps no longer: at most `limit`. Gives how many.
pub(crate) async fn purge_media(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        DELETE FROM messaging.file_media m
        USING (SELECT file_id, phone_number_id FROM messaging.file_media WHERE expires_at <= messaging.now_() LIMIT $1) old
        WHERE m.file_id = old.file_id AND m.phone_number_id = old.phone_number_id
        "#,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
