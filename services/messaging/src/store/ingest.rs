//! How far the decoding of webhooks is.

use sqlx::PgConnection;
use time::OffsetDateTime;

/// Takes a report over. Decoding is in good health while nothing waits for longer than 30 seconds and reports come at least every 15. `newest`: when the newest decoded webhook was received;
/// a clock that is ahead counts as now.
pub(crate) async fn report(
    conn: &mut PgConnection,
    oldest_pending: Option<OffsetDateTime>,
    newest: Option<OffsetDateTime>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO messaging.ingest_health AS h (healthy_since, heard_at, reported_at)
        SELECT CASE WHEN fresh THEN now END, CASE WHEN $2::timestamptz IS NOT NULL THEN least($2, now) END, now
        FROM (SELECT now, coalesce($1::timestamptz > now - interval '30 seconds', true) AS fresh FROM (SELECT messaging.now_() AS now OFFSET 0) clock) report
        ON CONFLICT (one) DO UPDATE
        SET reported_at = excluded.reported_at,
            heard_at = greatest(h.heard_at, excluded.heard_at),
            healthy_since = CASE
                WHEN excluded.healthy_since IS NULL THEN NULL
                WHEN h.reported_at < excluded.reported_at - interval '15 seconds' THEN excluded.healthy_since
                ELSE coalesce(h.healthy_since, excluded.healthy_since)
            END
        "#,
        oldest_pending,
        newest,
    )
    .execute(conn)
    .await?;
    Ok(())
}
