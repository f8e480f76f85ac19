//! What sibling services have not been told yet. The row is the truth; pushing straight after a commit only saves time.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// A connection that a sibling is to be told about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) connection_id: Uuid,
    /// How often it was tried, this time included.
    pub(crate) attempts: i32,
}

/// Notes that every target is to learn of these versions. They are due after `hold`, in which the caller may push them itself.
pub(crate) async fn enqueue(
    db: &mut PgConnection,
    targets: &[String],
    connections: &[Uuid],
    versions: &[i64],
    hold: Duration,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"INSERT INTO connection.outbox AS outbox (target, connection_id, version, due_at)
        SELECT target, connection_id, version, connection.now_() + make_interval(secs => $4)
        FROM unnest($1::text[]) AS target, unnest($2::uuid[], $3::bigint[]) AS new (connection_id, version)
        ON CONFLICT (target, connection_id) DO UPDATE
        SET version = greatest(outbox.version, excluded.version), attempts = 0, due_at = excluded.due_at"#,
        targets,
        connections,
        versions,
        hold.as_secs_f64()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes what is due for a target. What is neither confirmed nor put off within `lease` is due again: its taker is gone.
pub(crate) async fn take(db: &PgPool, target: &str, limit: i64, lease: Duration) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        r#"WITH due AS (
            SELECT connection_id FROM connection.outbox WHERE target = $1 AND due_at <= (SELECT connection.now_())
            ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        UPDATE connection.outbox AS outbox
        SET attempts = attempts + 1, due_at = connection.now_() + make_interval(secs => $3)
        FROM due WHERE outbox.target = $1 AND outbox.connection_id = due.connection_id
        RETURNING outbox.connection_id, outbox.attempts"#,
        target,
        limit,
        lease.as_secs_f64()
    )
    .fetch_all(db)
    .await
}

/// A target has these versions: nothing more to tell, unless a newer version came meanwhile.
pub(crate) async fn confirm(db: &PgPool, target: &str, connections: &[Uuid], versions: &[i64]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"DELETE FROM connection.outbox AS outbox
        USING unnest($2::uuid[], $3::bigint[]) AS told (connection_id, version)
        WHERE outbox.target = $1 AND outbox.connection_id = told.connection_id AND outbox.version <= told.version"#,
        target,
        connections,
        versions
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Puts off what could not be told.
pub(crate) async fn put_off(db: &PgPool, target: &str, connections: &[Uuid], delays: &[f64]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"UPDATE connection.outbox AS outbox SET due_at = connection.now_() + make_interval(secs => put_off.delay)
        FROM unnest($2::uuid[], $3::float8[]) AS put_off (connection_id, delay)
        WHERE outbox.target = $1 AND outbox.connection_id = put_off.connection_id"#,
        target,
        connections,
        delays
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many connections a target is still to be told about.
pub(crate) async fn waiting(db: &PgPool, target: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM connection.outbox WHERE target = $1"#,
        target
    )
    .fetch_one(db)
    .await
}
