//! What belongs to a user, deleted or blanked. Each statement is bounded, and finds nothing the second time.

use sqlx::PgConnection;
use uuid::Uuid;

use super::file::Medium;

/// A message in the queue.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub number: String,
    pub message: Uuid,
    pub connection: Uuid,
    pub state: i16,
    pub attempt: i32,
}

/// What removing contacts removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub contacts: i64,
    pub identities: i64,
    pub suppressions: i64,
    pub lifted: i64,
}

/// What blanking messages changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Blanked {
    pub messages: i64,
    pub endings: i64,
    pub wamids: i64,
    pub keys: i64,
}

/// A file that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deleted {
    pub file: Uuid,
    /// Empty: it had none yet.
    pub object: String,
    pub media: Vec<Medium>,
}

/// A kept status, to be looked into.
#[derive(Debug)]
pub(crate) struct Kept {
    pub hash: Vec<u8>,
    pub id: Uuid,
    pub sealed: Vec<u8>,
}

/// The contacts that are one user: those given, who they were merged into, everybody who was merged into these, and whoever has one of the ids. (kind, value)
pub(crate) async fn one_user(
    conn: &mut PgConnection,
    application: Uuid,
    contacts: &[Uuid],
    identities: &[(i16, String)],
) -> sqlx::Result<Vec<Uuid>> {
    let kinds: Vec<_> = identities.iter().map(|(kind, _)| *kind).collect();
    let values: Vec<_> = identities.iter().map(|(_, value)| value.as_str()).collect();
    sqlx::query_scalar!(
        r#"
        WITH named AS MATERIALIZED (
            SELECT id FROM unnest($2::uuid[]) AS given (id)
            UNION
            SELECT i.contact_id FROM unnest($3::smallint[], $4::text[]) AS asked (kind, value)
            CROSS JOIN LATERAL (
                SELECT i.contact_id FROM messaging.identity i
                WHERE i.application_id = $1 AND i.kind = asked.kind AND i.value = asked.value AND NOT i.retired LIMIT 1
            ) i
        ), roots AS MATERIALIZED (
            SELECT DISTINCT coalesce(c.merged_into, c.id) AS id FROM named
            CROSS JOIN LATERAL (SELECT * FROM messaging.contact c WHERE c.id = named.id AND c.application_id = $1 LIMIT 1) c
        )
        SELECT DISTINCT id AS "id!" FROM (
            SELECT id FROM unnest($2::uuid[]) AS given (id)
            UNION SELECT id FROM roots
            UNION SELECT m.id FROM roots JOIN messaging.contact m ON m.merged_into = roots.id AND m.application_id = $1
        ) user_ ORDER BY 1
        "#,
        application,
        contacts,
        &kinds,
        values as _,
    )
    .fetch_all(conn)
    .await
}

/// All ids of these contacts, past ones too, but for user names: kind and value.
pub(crate) async fn identities(
    conn: &mut PgConnection,
    application: Uuid,
    contacts: &[Uuid],
) -> sqlx::Result<Vec<(i16, String)>> {
    let rows = sqlx::query!(
        "SELECT kind, value FROM messaging.identity WHERE contact_id = ANY ($2::uuid[]) AND application_id = $1 AND kind <> 5 ORDER BY kind, value",
        application,
        contacts,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.kind, row.value)).collect())
}

/// Meta's ids of the numbers that the application has or had.
pub(crate) async fn numbers(conn: &mut PgConnection, application: Uuid) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "SELECT DISTINCT phone_number_id FROM messaging.connection WHERE application_id = $1 ORDER BY phone_number_id",
        application,
    )
    .fetch_all(conn)
    .await
}

/// Messages to these contacts in the queue, all of them or those that wait for their turn, at most `limit`.
pub(crate) async fn waiting(
    conn: &mut PgConnection,
    contacts: &[Uuid],
    queued: bool,
    limit: i64,
) -> sqlx::Result<Vec<Waiting>> {
    sqlx::query_as!(
        Waiting,
        r#"
        SELECT q.phone_number_id AS number, q.message_id AS message, q.connection_id AS connection, q.state, q.attempt
        FROM unnest($1::uuid[]) AS asked (id)
        CROSS JOIN LATERAL (
            SELECT * FROM messaging.queue q WHERE q.contact_id = asked.id AND (q.state = 1 OR NOT $2) ORDER BY q.place LIMIT $3
        ) q
        LIMIT $3
        "#,
        contacts,
        queued,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Merges of the application wait until the transaction ends.
pub(crate) async fn lock_merges(conn: &mut PgConnection, application: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtext('messaging.contact_merge'), hashtext($1::uuid::text))",
        application,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Removes contacts with their ids and wishes. What they did not want is kept under `hashes`, of the same user, until a new contact has one of them.
pub(crate) async fn remove(
    conn: &mut PgConnection,
    application: Uuid,
    erasure: Uuid,
    contacts: &[Uuid],
    hashes: &[Vec<u8>],
) -> sqlx::Result<Removed> {
    let row = sqlx::query!(
        r#"
        WITH locked AS MATERIALIZED (
            SELECT c.id FROM messaging.contact c WHERE c.id = ANY ($2::uuid[]) AND c.application_id = $1 ORDER BY c.id FOR UPDATE
        ), gone AS (
            DELETE FROM messaging.contact c USING locked WHERE c.id = locked.id RETURNING c.id
        ), unnamed AS (
            DELETE FROM messaging.identity i WHERE i.contact_id = ANY ($2::uuid[]) AND i.application_id = $1 RETURNING 1
        ), unsuppressed AS (
            DELETE FROM messaging.suppression s WHERE s.application_id = $1 AND s.contact_id = ANY ($2::uuid[]) RETURNING s.connection_id, s.source, s.at
        ), kept AS (
            INSERT INTO messaging.suppression_kept AS k (application_id, erasure_id, connection_id, at, source, hash)
            SELECT DISTINCT ON (hash, connection_id) $1::uuid, $3::uuid, connection_id, at, source, hash
            FROM unsuppressed CROSS JOIN unnest($4::bytea[]) AS n (hash) ORDER BY hash, connection_id, source = 1, at
            ON CONFLICT (application_id, hash, connection_id) DO UPDATE SET erasure_id = excluded.erasure_id, source = excluded.source, at = excluded.at
        ), unlifted AS (
            DELETE FROM messaging.suppression_lifted l WHERE l.application_id = $1 AND l.contact_id = ANY ($2::uuid[]) RETURNING 1
        )
        SELECT (SELECT count(*) FROM gone) AS "contacts!", (SELECT count(*) FROM unnamed) AS "identities!", (SELECT count(*) FROM unsuppressed) AS "suppressions!",
               (SELECT count(*) FROM unlifted) AS "lifted!"
        "#,
        application,
        contacts,
        erasure,
        hashes,
    )
    .fetch_one(conn)
    .await?;
    Ok(Removed {
        contacts: row.contacts,
        identities: row.identities,
        suppressions: row.suppressions,
        lifted: row.lifted,
    })
}

/// Whether events of messages to these contacts are still on their way to tracking, or so many that nobody can tell: those of the last hour, for one that cannot be made stays for ever.
pub(crate) async fn untold(conn: &mut PgConnection, contacts: &[Uuid]) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        WITH recent AS MATERIALIZED (
            SELECT o.message_id FROM messaging.outbox o WHERE o.kind > 0 AND o.at > (SELECT messaging.now_()) - interval '1 hour' LIMIT 100000
        )
        SELECT (SELECT count(*) FROM recent) = 100000 OR EXISTS (
            SELECT FROM recent CROSS JOIN LATERAL (SELECT m.contact_id FROM messaging.message m WHERE m.id = recent.message_id LIMIT 1) m
            WHERE m.contact_id = ANY ($1::uuid[])
        ) AS "untold!"
        "#,
        contacts,
    )
    .fetch_one(conn)
    .await
}

/// Takes from messages what they say and to whom, and what Meta calls them. They keep their states; what Meta tells of them is dropped from now on.
pub(crate) async fn blank(conn: &mut PgConnection, application: Uuid, messages: &[Uuid]) -> sqlx::Result<Blanked> {
    sqlx::query_as!(
        Blanked,
        r#"SELECT messages AS "messages!", endings AS "endings!", wamids AS "wamids!", keys AS "keys!" FROM messaging.blank_messages($1, $2, $3)"#,
        application,
        messages,
        crate::problem::ERASED,
    )
    .fetch_one(conn)
    .await
}

/// Deletes windows and receipts of these contacts. Gives how many of each.
pub(crate) async fn windows(conn: &mut PgConnection, application: Uuid, contacts: &[Uuid]) -> sqlx::Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"
        WITH closed AS (
            DELETE FROM messaging.service_window w WHERE w.contact_id = ANY ($2::uuid[]) RETURNING 1
        ), unread AS (
            DELETE FROM messaging.receipt r
            USING (SELECT DISTINCT k.phone_number_id FROM messaging.connection k WHERE k.application_id = $1) k
            WHERE r.phone_number_id = k.phone_number_id AND r.contact_id = ANY ($2::uuid[]) RETURNING 1
        )
        SELECT (SELECT count(*) FROM closed) AS "windows!", (SELECT count(*) FROM unread) AS "receipts!"
        "#,
        application,
        contacts,
    )
    .fetch_one(conn)
    .await?;
    Ok((row.windows, row.receipts))
}

/// Deletes media that these contacts sent, at most `limit`: their room is free at once, their objects are to be deleted, and what was to be fetched will not be.
pub(crate) async fn files(
    conn: &mut PgConnection,
    application: Uuid,
    contacts: &[Uuid],
    limit: i64,
) -> sqlx::Result<Vec<Deleted>> {
    let rows = sqlx::query!(
        r#"
        WITH mine AS MATERIALIZED (
            SELECT f.id FROM messaging.file f WHERE f.contact_id = ANY ($2::uuid[]) AND f.application_id = $1 ORDER BY f.id LIMIT $3 FOR UPDATE
        ), gone AS (
            DELETE FROM messaging.file f USING mine WHERE f.id = mine.id RETURNING f.id, f.object, f.size_bytes
        ), room AS (
            UPDATE messaging.file_usage u SET bytes = u.bytes - freed.bytes FROM (SELECT sum(size_bytes)::bigint AS bytes FROM gone) freed
            WHERE u.application_id = $1 AND freed.bytes > 0
        ), trash AS (
            INSERT INTO messaging.file_trash (object, application_id, reserved, due_at) SELECT object, $1, 0, messaging.now_() FROM gone WHERE object <> ''
        ), unfetched AS (
            DELETE FROM messaging.file_fetch f USING gone WHERE f.file_id = gone.id
        ), media AS (
            DELETE FROM messaging.file_media m USING gone WHERE m.file_id = gone.id RETURNING m.file_id, m.phone_number_id, m.media_id
        )
        SELECT gone.id AS "id!", gone.object AS "object!", media.phone_number_id AS "phone_number_id?", media.media_id AS "media_id?"
        FROM gone LEFT JOIN media ON media.file_id = gone.id ORDER BY gone.id
        "#,
        application,
        contacts,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let mut deleted: Vec<Deleted> = Vec::new();
    for row in rows {
        if deleted.last().is_none_or(|last| last.file != row.id) {
            deleted.push(Deleted {
                file: row.id,
                object: row.object,
                media: Vec::new(),
            });
        }
        if let (Some(last), Some(phone_number_id), Some(media_id)) =
            (deleted.last_mut(), row.phone_number_id, row.media_id)
        {
            last.media.push(Medium {
                phone_number_id,
                media_id,
            });
        }
    }
    Ok(deleted)
}

/// Kept statuses of an application, from all there are: one page in the order of hash and id, after `after`. Also the last key that was looked at.
pub(crate) async fn kept(
    conn: &mut PgConnection,
    application: Uuid,
    after: (&[u8], Uuid),
    limit: i64,
) -> sqlx::Result<(Vec<Kept>, Option<(Vec<u8>, Uuid)>)> {
    let rows = sqlx::query!(
        r#"
        SELECT o.hash, o.id, o.application_id, o.sealed FROM messaging.orphan_status o WHERE (o.hash, o.id) > ($1, $2) ORDER BY o.hash, o.id LIMIT $3
        "#,
        after.0,
        after.1,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let last = rows.last().map(|row| (row.hash.clone(), row.id));
    let kept = rows
        .into_iter()
        .filter(|row| row.application_id == application)
        .map(|row| Kept {
            hash: row.hash,
            id: row.id,
            sealed: row.sealed,
        });
    Ok((kept.collect(), last))
}
