//! Names that readers go by, and how far each has come.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// A consumer as its newest stream finds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) epoch: i64,
    /// Everything up to this position is acknowledged.
    pub(crate) position: i64,
}

/// Acknowledgements, a column each.
#[derive(Debug, Default)]
pub(crate) struct Acknowledgements {
    pub(crate) applications: Vec<Uuid>,
    pub(crate) names: Vec<String>,
    pub(crate) positions: Vec<i64>,
    /// `None`: not fenced.
    pub(crate) epochs: Vec<Option<i64>>,
}

/// What became of an acknowledgement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledged {
    /// Where the consumer stands now; `None`: there is no such consumer.
    pub(crate) position: Option<i64>,
    /// A newer stream has taken over.
    pub(crate) fenced: bool,
    /// The log does not reach that far.
    pub(crate) beyond: bool,
}

/// How an open stream's consumer stands.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) application: Uuid,
    pub(crate) name: String,
    pub(crate) epoch: i64,
    pub(crate) position: i64,
    /// Position of the newest event of its log.
    pub(crate) head: i64,
}

/// Takes a consumer over from whoever has it, or creates it before the oldest event. `None`: the application has `max` consumers.
pub(crate) async fn open(pool: &PgPool, application: Uuid, name: &str, max: i64) -> sqlx::Result<Option<Opened>> {
    let taken = sqlx::query_as!(
        Opened,
        "-- consumer.take
        UPDATE tracking.consumer SET epoch = epoch + 1, updated_at = tracking.now_()
        WHERE application_id = $1 AND name = $2
        RETURNING epoch, position",
        application,
        name
    )
    .fetch_optional(pool)
    .await?;
    if taken.is_some() {
        return Ok(taken);
    }
    sqlx::query_as!(
        Opened,
        "-- consumer.create
        INSERT INTO tracking.consumer AS c (application_id, name, position, epoch, updated_at)
        SELECT $1, $2, coalesce((SELECT h.earliest - 1 FROM tracking.head h WHERE h.application_id = $1), 0), 1, tracking.now_()
        WHERE (SELECT count(*) FROM tracking.consumer o WHERE o.application_id = $1) < $3
        ON CONFLICT (application_id, name) DO UPDATE SET epoch = c.epoch + 1, updated_at = excluded.updated_at
        RETURNING epoch, position",
        application,
        name,
        max
    )
    .fetch_optional(pool)
    .await
}

/// Where a consumer stands; `None`: there is no such consumer.
pub(crate) async fn position(pool: &PgPool, application: Uuid, name: &str) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "-- consumer.position
        SELECT position FROM tracking.consumer WHERE application_id = $1 AND name = $2",
        application,
        name
    )
    .fetch_optional(pool)
    .await
}

/// Moves consumers forward; one result each, in the same order. Rows are locked in the order of their keys.
pub(crate) async fn acknowledge(
    connection: &mut PgConnection,
    given: &Acknowledgements,
) -> sqlx::Result<Vec<Acknowledged>> {
    sqlx::query_as!(
        Acknowledged,
        r#"-- consumer.acknowledge
        WITH given AS (
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS g (application_id, name, position, epoch, place)
        ), locked AS MATERIALIZED (
            SELECT c.application_id, c.name, c.position, c.epoch
            FROM tracking.consumer c
            WHERE (c.application_id, c.name) IN (SELECT g.application_id, g.name FROM given g)
            ORDER BY c.application_id, c.name
            FOR UPDATE OF c
        ), judged AS (
            SELECT g.place, g.application_id, g.name, g.position AS wanted, l.position AS held,
                g.epoch IS DISTINCT FROM l.epoch AND g.epoch IS NOT NULL AND l.epoch IS NOT NULL AS fenced,
                g.position > coalesce(h.position, 0) AS beyond
            FROM given g
            LEFT JOIN locked l ON l.application_id = g.application_id AND l.name = g.name
            LEFT JOIN tracking.head h ON h.application_id = g.application_id
        ), furthest AS (
            SELECT application_id, name, max(wanted) AS position
            FROM judged WHERE NOT fenced AND NOT beyond AND wanted > held
            GROUP BY application_id, name
        ), moved AS (
            UPDATE tracking.consumer c SET position = f.position, updated_at = tracking.now_()
            FROM furthest f
            WHERE c.application_id = f.application_id AND c.name = f.name
        )
        SELECT greatest(j.held, f.position) AS position, j.fenced AS "fenced!", j.beyond AS "beyond!"
        FROM judged j
        LEFT JOIN furthest f ON f.application_id = j.application_id AND f.name = j.name
        ORDER BY j.place"#,
        &given.applications,
        &given.names,
        &given.positions,
        &given.epochs as &[Option<i64>],
    )
    .fetch_all(connection)
    .await
}

/// How the consumers of open streams stand. One that is missing here is no more.
pub(crate) async fn standings(pool: &PgPool, applications: &[Uuid], names: &[String]) -> sqlx::Result<Vec<Standing>> {
    sqlx::query_as!(
        Standing,
        r#"-- consumer.standings
        SELECT c.application_id AS application, c.name, c.epoch, c.position, coalesce(h.position, 0) AS "head!"
        FROM unnest($1::uuid[], $2::text[]) AS o (application_id, name)
        JOIN tracking.consumer c ON c.application_id = o.application_id AND c.name = o.name
        LEFT JOIN tracking.head h ON h.application_id = c.application_id"#,
        applications,
        names
    )
    .fetch_all(pool)
    .await
}
