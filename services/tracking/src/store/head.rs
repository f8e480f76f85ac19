//! Where each log ends.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// The ends of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Position of the newest event; 0 when there was none yet.
    pub(crate) head: i64,
    /// Position of the oldest event that is still kept.
    pub(crate) earliest: i64,
}

// === impl Ends ===

impl Ends {
    /// A log in which nothing was ever recorded.
    pub(crate) const EMPTY: Self = Self { head: 0, earliest: 1 };

    /// Whether a reader that has everything up to `position` would miss events that are kept no more.
    pub(crate) fn lost_after(&self, position: i64) -> bool {
        position < self.earliest - 1
    }
}

/// Makes sure that the applications' logs exist. Locks rows in the order of ids, as every statement on this table does.
pub(crate) async fn create(connection: &mut PgConnection, applications: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- head.create
        INSERT INTO tracking.head (application_id)
        SELECT DISTINCT i.id FROM unnest($1::uuid[]) AS i (id) ORDER BY i.id
        ON CONFLICT (application_id) DO NOTHING",
        applications
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The ends of an application's log.
pub(crate) async fn ends(pool: &PgPool, application: Uuid) -> sqlx::Result<Ends> {
    let ends = sqlx::query_as!(
        Ends,
        "-- head.ends
        SELECT position AS head, earliest FROM tracking.head WHERE application_id = $1",
        application
    )
    .fetch_optional(pool)
    .await?;
    Ok(ends.unwrap_or(Ends::EMPTY))
}
