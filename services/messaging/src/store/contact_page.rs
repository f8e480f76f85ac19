//! Contacts as applications see them.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A contact with its ids.
#[derive(Debug)]
pub(crate) struct Contact {
    pub id: Uuid,
    pub created_at: OffsetDateTime,
    pub profile_sealed: Option<Vec<u8>>,
    pub phones: Vec<String>,
    pub users: Vec<String>,
    pub parents: Vec<String>,
    pub whatsapp: Vec<String>,
    pub usernames: Vec<String>,
}

/// A merge.
#[derive(Debug)]
pub(crate) struct Merge {
    pub id: Uuid,
    pub source: Uuid,
    pub target: Uuid,
    pub at: OffsetDateTime,
}

/// Who the application's contact is: itself, or the one it was merged into.
pub(crate) async fn survivor(conn: &mut PgConnection, application: Uuid, id: Uuid) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(c.merged_into, c.id) AS "id!" FROM messaging.contact c WHERE c.id = $1 AND c.application_id = $2"#,
        id,
        application,
    )
    .fetch_optional(conn)
    .await
}

/// The application's contacts before `before`, the newest first.
pub(crate) async fn page(
    conn: &mut PgConnection,
    application: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"
        SELECT c.id FROM messaging.contact c
        WHERE c.application_id = $1 AND c.id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') AND c.merged_into IS NULL
        ORDER BY c.id DESC LIMIT $3
        "#,
        application,
        before,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Contacts with their ids, in the order asked for.
pub(crate) async fn contacts(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Contact>> {
    sqlx::query_as!(
        Contact,
        r#"
        SELECT c.id, c.created_at, c.profile_sealed, i.phones AS "phones!", i.users AS "users!", i.parents AS "parents!", i.whatsapp AS "whatsapp!", i.usernames AS "usernames!"
        FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (id, ordinal)
        CROSS JOIN LATERAL (SELECT * FROM messaging.contact c WHERE c.id = asked.id LIMIT 1) c
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(i.value ORDER BY i.value) FILTER (WHERE i.kind = 1), '{}') AS phones,
                   coalesce(array_agg(i.value ORDER BY i.value) FILTER (WHERE i.kind = 2), '{}') AS users,
                   coalesce(array_agg(i.value ORDER BY i.value) FILTER (WHERE i.kind = 3), '{}') AS parents,
                   coalesce(array_agg(i.value ORDER BY i.value) FILTER (WHERE i.kind = 4), '{}') AS whatsapp,
                   coalesce(array_agg(i.value ORDER BY i.value) FILTER (WHERE i.kind = 5), '{}') AS usernames
            FROM (SELECT i.kind, i.value FROM messaging.identity i WHERE i.contact_id = c.id AND NOT i.retired LIMIT 100) i
        ) i
        ORDER BY asked.ordinal
        "#,
        ids,
    )
    .fetch_all(conn)
    .await
}

/// The application's merges before `before`, the newest first.
pub(crate) async fn merges(
    conn: &mut PgConnection,
    application: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Merge>> {
    sqlx::query_as!(
        Merge,
        r#"
        SELECT m.id, m.source_id AS source, m.target_id AS target, m.at FROM messaging.contact_merge m
        WHERE m.application_id = $1 AND m.id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') ORDER BY m.id DESC LIMIT $3
        "#,
        application,
        before,
        limit,
    )
    .fetch_all(conn)
    .await
}
