//! Names of event types that came after this code.

use sqlx::PgPool;

/// Another process may take an id for another name at the same moment.
const TRIES: usize = 5;

/// The id of a type's name, which is made up at first sight.
pub(crate) async fn register(pool: &PgPool, name: &str) -> sqlx::Result<i16> {
    for _ in 0..TRIES {
        let found = sqlx::query_scalar!(
            "-- event_type.find
            SELECT id FROM tracking.event_type WHERE name = $1",
            name
        )
        .fetch_optional(pool)
        .await?;
        if let Some(id) = found {
            return Ok(id);
        }
        sqlx::query!(
            "-- event_type.register
            INSERT INTO tracking.event_type (id, name)
            SELECT greatest(max(id) + 1, 1000), $1 FROM tracking.event_type
            ON CONFLICT DO NOTHING",
            name
        )
        .execute(pool)
        .await?;
    }
    Err(sqlx::Error::RowNotFound)
}
