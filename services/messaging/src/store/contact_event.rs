//! What happened to contacts, on its way to the tracking service.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Kinds of rows.
pub(crate) mod kind {
    pub(crate) const MERGED: i16 = 1;
    pub(crate) const UNSUPPRESSED: i16 = 3;
    pub(crate) const ERASED: i16 = 4;
}

/// A row, with what its event is made from.
#[derive(Debug)]
pub(crate) struct Pending {
    pub id: Uuid,
    pub application: Uuid,
    pub contact: Uuid,
    /// Nil: none.
    pub connection: Uuid,
    pub at: OffsetDateTime,
    pub kind: i16,
    pub source: Option<i16>,
    pub other: Option<Uuid>,
    pub external_id: String,
    /// Of an erasure: its contacts, and the digest of its proof.
    pub merged: Vec<Uuid>,
    pub digest: Vec<u8>,
}

/// The oldest that wait.
pub(crate) async fn pending(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Pending>> {
    sqlx::query_as!(
        Pending,
        r#"
        SELECT e.id, e.application_id AS application, e.contact_id AS contact, e.connection_id AS connection, e.at, e.kind, e.source, e.other_id AS other,
               coalesce(messaging.external_id(coalesce((SELECT c.merged_into FROM messaging.contact c WHERE c.id = e.contact_id LIMIT 1), e.contact_id)), '') AS "external_id!",
               coalesce(d.contacts, '{}') AS "merged!", coalesce(d.digest, '') AS "digest!"
        FROM (SELECT * FROM messaging.contact_event ORDER BY id LIMIT $1) e
        LEFT JOIN LATERAL (SELECT d.contacts, d.digest FROM messaging.erasure d WHERE e.kind = 4 AND d.id = e.other_id LIMIT 1) d ON true
        ORDER BY e.id
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Forgets those that are recorded.
pub(crate) async fn forget(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM messaging.contact_event WHERE id = ANY ($1::uuid[])", ids)
        .execute(conn)
        .await?;
    Ok(())
}
