//! What operators did.

use outeract_domain::KeyId;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Writes one line. Part of the caller's transaction: what is not written down is not done.
pub(crate) async fn write(
    connection: &mut PgConnection,
    id: Uuid,
    operator: KeyId,
    action: &str,
    subject: &str,
    detail: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into webhook.audit (id, at, operator_key_id, action, subject, detail) values ($1, webhook.now_(), $2, $3, $4, $5)",
        id,
        operator.uuid(),
        action,
        subject,
        detail,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Drops lines older than `days`.
pub(crate) async fn drop_older(db: &PgPool, days: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from webhook.audit where id < webhook.first_id(webhook.now_() - make_interval(days => $1))",
        days
    )
    .execute(db)
    .await?;
    Ok(())
}
