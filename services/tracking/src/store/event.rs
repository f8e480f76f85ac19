//! An event with its children.

use sqlx::PgPool;
use uuid::Uuid;

use super::log::{Body, Entry};

/// The event with this id and its children, those recorded first first, at most `limit` in all. `time` are the lowest and the highest id with the event's time bits:
/// children have them too, so all lie in one partition and are found by the primary key.
pub(crate) async fn family(
    pool: &PgPool,
    application: Uuid,
    id: Uuid,
    time: (Uuid, Uuid),
    limit: i64,
) -> sqlx::Result<Vec<Entry>> {
    let rows = sqlx::query!(
        r#"-- event.family
        SELECT position AS "position!", id AS "id!", connection_id AS "connection_id!", origin_event_id, body AS "body!"
        FROM tracking.family($1, $2, $3, $4, $5)"#,
        application,
        id,
        time.0,
        time.1,
        limit,
    )
    .fetch_all(pool)
    .await?;
    let entries = rows.into_iter().map(|row| Entry {
        position: row.position,
        id: row.id,
        connection: row.connection_id,
        origin: row.origin_event_id,
        body: Body::Kept(row.body),
    });
    Ok(entries.collect())
}
