//! Applications.

use outeract_domain::ApplicationId;
use sqlx::{PgConnection, PgExecutor, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Position;

/// An application as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    pub(crate) id: ApplicationId,
    pub(crate) name: String,
    pub(crate) created_at: OffsetDateTime,
    /// The number of outeract.connection.v1.AutoMarkRead.
    pub(crate) auto_mark_read: i16,
}

/// Stores a new application.
pub(crate) async fn insert(db: &mut PgConnection, id: ApplicationId, name: &str) -> sqlx::Result<Application> {
    sqlx::query!(
        "INSERT INTO connection.application (id, name) VALUES ($1, $2) RETURNING created_at, auto_mark_read",
        id.uuid(),
        name
    )
    .map(|row| Application {
        id,
        name: name.to_owned(),
        created_at: row.created_at,
        auto_mark_read: row.auto_mark_read,
    })
    .fetch_one(db)
    .await
}

/// One application.
pub(crate) async fn get(db: impl PgExecutor<'_>, id: ApplicationId) -> sqlx::Result<Option<Application>> {
    sqlx::query!(
        "SELECT name, created_at, auto_mark_read FROM connection.application WHERE id = $1",
        id.uuid()
    )
    .map(|row| Application {
        id,
        name: row.name,
        created_at: row.created_at,
        auto_mark_read: row.auto_mark_read,
    })
    .fetch_optional(db)
    .await
}

/// Whether the application exists; if so, what else connects its numbers or makes its keys waits until the transaction ends.
pub(crate) async fn lock(db: &mut PgConnection, id: ApplicationId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "SELECT id FROM connection.application WHERE id = $1 FOR NO KEY UPDATE",
        id.uuid()
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// Sets when messages from users are marked as read, and gives each connection of the application its next version. The application must be locked.
pub(crate) async fn set_auto_mark_read(
    db: &mut PgConnection,
    id: ApplicationId,
    value: i16,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query!(
        "UPDATE connection.application SET auto_mark_read = $2 WHERE id = $1",
        id.uuid(),
        value
    )
    .execute(&mut *db)
    .await?;
    sqlx::query_scalar!(
        "UPDATE connection.connection SET version = version + 1, updated_at = connection.now_() WHERE application_id = $1 RETURNING id",
        id.uuid()
    )
    .fetch_all(db)
    .await
}

/// Applications after a position, oldest first.
pub(crate) async fn list(db: &PgPool, after: Option<Position>, limit: i64) -> sqlx::Result<Vec<Application>> {
    sqlx::query!(
        r#"SELECT id, name, created_at, auto_mark_read FROM connection.application
        WHERE $1::timestamptz IS NULL OR (created_at, id) > ($1, $2)
        ORDER BY created_at, id LIMIT $3"#,
        after.map(|after| after.at),
        after.map(|after| after.id),
        limit
    )
    .map(|row| Application {
        id: ApplicationId::from_uuid(row.id),
        name: row.name,
        created_at: row.created_at,
        auto_mark_read: row.auto_mark_read,
    })
    .fetch_all(db)
    .await
}
