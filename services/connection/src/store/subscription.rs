//! What Meta last confirmed of the app's webhook subscription.

use std::time::Duration;

use sqlx::PgPool;

/// Whether the subscription is to be made: some number is connected, and Meta has not confirmed exactly this one within `fresh`.
pub(crate) async fn is_due(db: &PgPool, fingerprint: &[u8], fresh: Duration) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM connection.connection WHERE state <> 4)
            AND NOT EXISTS (SELECT FROM connection.app_subscription
                WHERE fingerprint = $1 AND confirmed_at > (SELECT connection.now_()) - make_interval(secs => $2)) AS "due!""#,
        fingerprint,
        fresh.as_secs_f64()
    )
    .fetch_one(db)
    .await
}

/// Notes that Meta has confirmed the subscription.
pub(crate) async fn confirm(db: &PgPool, fingerprint: &[u8]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"INSERT INTO connection.app_subscription (fingerprint) VALUES ($1)
        ON CONFLICT (singleton) DO UPDATE SET fingerprint = excluded.fingerprint, confirmed_at = connection.now_()"#,
        fingerprint
    )
    .execute(db)
    .await?;
    Ok(())
}
