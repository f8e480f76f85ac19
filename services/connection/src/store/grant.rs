//! Access tokens as Meta granted them, sealed.

use outeract_domain::ApplicationId;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A grant to be stored.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) id: Uuid,
    pub(crate) application: ApplicationId,
    pub(crate) token_sealed: Vec<u8>,
    pub(crate) expires_at: Option<OffsetDateTime>,
    pub(crate) data_access_expires_at: Option<OffsetDateTime>,
}

/// Stores a grant.
pub(crate) async fn insert(db: &mut PgConnection, new: &New) -> sqlx::Result<()> {
    sqlx::query!(
        r#"INSERT INTO connection.token_grant (id, application_id, token_sealed, expires_at, data_access_expires_at)
        VALUES ($1, $2, $3, $4, $5)"#,
        new.id,
        new.application.uuid(),
        new.token_sealed,
        new.expires_at,
        new.data_access_expires_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes those of the grants that no connection uses any more: a token that was replaced is not kept. The application must be locked.
pub(crate) async fn delete_unused(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"DELETE FROM connection.token_grant AS token_grant WHERE id = ANY ($1)
            AND NOT EXISTS (SELECT FROM connection.connection WHERE grant_id = token_grant.id)"#,
        ids
    )
    .execute(db)
    .await?;
    Ok(())
}
