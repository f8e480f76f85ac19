//! The audit log: written in the transaction of what it tells about, never changed.

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Position;

/// An entry as it is stored.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) id: Uuid,
    pub(crate) occurred_at: OffsetDateTime,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) detail: String,
}

/// An entry to be written. `detail` is a JSON object without secrets.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) actor: String,
    pub(crate) action: &'static str,
    pub(crate) subject: String,
    pub(crate) detail: String,
}

/// Writes entries.
pub(crate) async fn insert_all(db: &mut PgConnection, entries: &[Entry]) -> sqlx::Result<()> {
    let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    let actors: Vec<_> = entries.iter().map(|entry| entry.actor.clone()).collect();
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.to_owned()).collect();
    let subjects: Vec<_> = entries.iter().map(|entry| entry.subject.clone()).collect();
    let details: Vec<_> = entries.iter().map(|entry| entry.detail.clone()).collect();
    sqlx::query!(
        r#"INSERT INTO connection.audit (id, actor, action, subject, detail)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])"#,
        &ids,
        &actors,
        &actions,
        &subjects,
        &details
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes one entry. `detail` is a JSON object without secrets.
pub(crate) async fn insert(
    db: &mut PgConnection,
    id: Uuid,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO connection.audit (id, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5)",
        id,
        actor,
        action,
        subject,
        detail
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Entries before a position, newest first.
pub(crate) async fn list(db: &PgPool, before: Option<Position>, limit: i64) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        r#"SELECT id, occurred_at, actor, action, subject, detail FROM connection.audit
        WHERE $1::timestamptz IS NULL OR (occurred_at, id) < ($1, $2)
        ORDER BY occurred_at DESC, id DESC LIMIT $3"#,
        before.map(|before| before.at),
        before.map(|before| before.id),
        limit
    )
    .fetch_all(db)
    .await
}
