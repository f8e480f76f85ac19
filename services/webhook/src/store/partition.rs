//! Days of history.

use sqlx::PgPool;
use time::Date;

/// Makes the partitions of the days from `first` to `last`. Returns how many tables were made.
pub(crate) async fn create(db: &PgPool, first: Date, last: Date) -> sqlx::Result<i32> {
    sqlx::query_scalar!(r#"select webhook.create_partitions($1, $2) as "made!""#, first, last)
        .fetch_one(db)
        .await
}

/// Drops the days before `keep` that are decoded. Returns how many days were dropped.
pub(crate) async fn drop_before(db: &PgPool, keep: Date) -> sqlx::Result<i32> {
    sqlx::query_scalar!(r#"select webhook.drop_partitions($1) as "dropped!""#, keep)
        .fetch_one(db)
        .await
}

/// Whether a row fell into a default partition: a day has no partition of its own.
pub(crate) async fn default_in_use(db: &PgPool) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from webhook.post_default) or exists (select from webhook.post_account_default)
                  or exists (select from webhook.item_default) as "used!""#
    )
    .fetch_one(db)
    .await
}
