//! Applications.

use outeract_domain::ApplicationId;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

use super::Position;

/// An application as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    pub(crate) id: ApplicationId,
    pub(crate) name: String,
    pub(crate) created_at: OffsetDateTime,
}

/// Stores a new application.
pub(crate) async fn insert(db: &mut PgConnection, id: ApplicationId, name: &str) -> sqlx::Result<Application> {
    let created_at = sqlx::query_scalar!(
        "INSERT INTO connection.application (id, name) VALUES ($1, $2) RETURNING created_at",
        id.uuid(),
        name
    )
    .fetch_one(db)
    .await?;
    Ok(Application {
        id,
        name: name.to_owned(),
        created_at,
    })
}

/// One application.
pub(crate) async fn get(db: &PgPool, id: ApplicationId) -> sqlx::Result<Option<Application>> {
    sqlx::query!(
        "SELECT name, created_at FROM connection.application WHERE id = $1",
        id.uuid()
    )
    .map(|row| Application {
        id,
        name: row.name,
        created_at: row.created_at,
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

/// Applications after a position, oldest first.
pub(crate) async fn list(db: &PgPool, after: Option<Position>, limit: i64) -> sqlx::Result<Vec<Application>> {
    sqlx::query!(
        r#"SELECT id, name, created_at FROM connection.application
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
    })
    .fetch_all(db)
    .await
}
