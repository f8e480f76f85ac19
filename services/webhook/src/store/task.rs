//! Tasks that one process does at a time.

use sqlx::PgPool;
use uuid::Uuid;

/// Takes or renews the lease of a task for `seconds`. Whether it is this process's.
pub(crate) async fn lease(db: &PgPool, name: &str, holder: Uuid, seconds: f64) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update webhook.task set holder = $2, held_until = webhook.now_() + make_interval(secs => $3)
         where name = $1 and (holder is null or holder = $2 or held_until <= webhook.now_())",
        name,
        holder,
        seconds,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives up the lease of a task.
pub(crate) async fn release(db: &PgPool, name: &str, holder: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update webhook.task set holder = null, held_until = null where name = $1 and holder = $2",
        name,
        holder
    )
    .execute(db)
    .await?;
    Ok(())
}
