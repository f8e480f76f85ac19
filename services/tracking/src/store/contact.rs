//! Contacts that became part of others.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Merges to remember, a column each.
#[derive(Debug, Default)]
pub(crate) struct Merges {
    pub(crate) applications: Vec<Uuid>,
    pub(crate) sources: Vec<Uuid>,
    pub(crate) targets: Vec<Uuid>,
}

/// Remembers merges; one that is known changes nothing. Rows are locked in the order of their keys.
pub(crate) async fn merge(connection: &mut PgConnection, merges: &Merges) -> sqlx::Result<()> {
    sqlx::query!(
        "-- contact.merge
        INSERT INTO tracking.merged_contact (application_id, source_id, target_id)
        SELECT DISTINCT ON (m.application_id, m.source_id) m.application_id, m.source_id, m.target_id
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS m (application_id, source_id, target_id)
        ORDER BY m.application_id, m.source_id
        ON CONFLICT (application_id, source_id) DO NOTHING",
        &merges.applications,
        &merges.sources,
        &merges.targets
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A contact with all that are one with it by merges, at most 64.
pub(crate) async fn one(pool: &PgPool, application: Uuid, contact: Uuid) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"-- contact.one
        SELECT tracking.one_contact($1, $2) AS "contacts!""#,
        application,
        contact
    )
    .fetch_one(pool)
    .await
}
