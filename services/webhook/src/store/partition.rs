//! Days of history.

use sqlx::PgPool;
use time::Date;

/// Makes the partitions of the days from `first` to `last`. Returns how many tables were made.
pub(crate) async fn create(db: &PgPool, first: Date, last: Date) -> sqlx::Result<i32> {
    sqlx::query_scalar!(r#"select webhook.create_partitions($1, $2) as "made!""#, first, last)
        .fetch_one(db)
        .await
}

/// A table whose days are kept for a time of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// Raw bodies.
    Post,
    /// What was not applied.
    Item,
    /// What became of all items, in numbers.
    Account,
}

/// Drops a table's days before `keep`: of posts those that are decoded, of the others those whose posts are gone. Returns how many days were dropped.
pub(crate) async fn drop_before(db: &PgPool, table: Table, keep: Date) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        r#"select webhook.drop_partitions($1, $2) as "dropped!""#,
        table.name(),
        keep
    )
    .fetch_one(db)
    .await
}

/// Bytes that raw bodies take up on disk, with their indexes.
pub(crate) async fn stored_bytes(db: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint as "bytes!" from pg_inherits where inhparent = 'webhook.post'::regclass"#
    )
    .fetch_one(db)
    .await
}

// === impl Table ===

impl Table {
    /// All of them, in the order in which they are dropped.
    pub(crate) const ALL: [Self; 3] = [Self::Post, Self::Item, Self::Account];

    /// Its name in the schema.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Item => "item",
            Self::Account => "post_account",
        }
    }
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
