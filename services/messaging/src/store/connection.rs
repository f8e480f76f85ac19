//! What is known of connections.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A connection as the connection service described it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    pub id: Uuid,
    pub application: Uuid,
    pub version: i64,
    pub token_version: i64,
    pub throughput_per_second: i32,
    pub state: i16,
    pub paused: bool,
    pub auto_mark_read: bool,
    /// Nothing may be sent outside windows.
    pub restricted_outside: bool,
    pub waba_id: String,
    pub phone_number_id: String,
    pub display_number_sealed: Vec<u8>,
    /// The portfolio that owns the WABA. Empty: not known.
    pub portfolio_id: String,
}

/// What the connection service told of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub connection: Connection,
    /// The portfolio's limit of unique users, none for no limit, and when Meta said so.
    pub limit: Option<(Option<i32>, OffsetDateTime)>,
}

/// Takes over what is newer than what is known, and what Meta said of the portfolios' limits later than what is known of those. In the order of ids. Gives the WABAs that were counted for
/// themselves and whose portfolio has become known.
pub(crate) async fn take_over(conn: &mut PgConnection, snapshots: &[Snapshot]) -> sqlx::Result<Vec<(String, String)>> {
    let connections: Vec<_> = snapshots.iter().map(|snapshot| &snapshot.connection).collect();
    let portfolios: Vec<_> = connections
        .iter()
        .map(|connection| connection.portfolio_id.as_str())
        .collect();
    let limits: Vec<_> = snapshots
        .iter()
        .map(|snapshot| snapshot.limit.and_then(|(users, _)| users))
        .collect();
    let told: Vec<_> = snapshots
        .iter()
        .map(|snapshot| snapshot.limit.map(|(_, at)| at))
        .collect();
    let ids: Vec<_> = connections.iter().map(|connection| connection.id).collect();
    let applications: Vec<_> = connections.iter().map(|connection| connection.application).collect();
    let versions: Vec<_> = connections.iter().map(|connection| connection.version).collect();
    let tokens: Vec<_> = connections.iter().map(|connection| connection.token_version).collect();
    let throughputs: Vec<_> = connections
        .iter()
        .map(|connection| connection.throughput_per_second)
        .collect();
    let states: Vec<_> = connections.iter().map(|connection| connection.state).collect();
    let paused: Vec<_> = connections.iter().map(|connection| connection.paused).collect();
    let reads: Vec<_> = connections.iter().map(|connection| connection.auto_mark_read).collect();
    let restricted: Vec<_> = connections
        .iter()
        .map(|connection| connection.restricted_outside)
        .collect();
    let wabas: Vec<_> = connections
        .iter()
        .map(|connection| connection.waba_id.as_str())
        .collect();
    let numbers: Vec<_> = connections
        .iter()
        .map(|connection| connection.phone_number_id.as_str())
        .collect();
    let displays: Vec<_> = connections
        .iter()
        .map(|connection| connection.display_number_sealed.as_slice())
        .collect();
    let joined = sqlx::query!(
        r#"
        WITH new AS MATERIALIZED (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::integer[], $6::smallint[], $7::boolean[], $8::text[], $9::text[], $10::bytea[], $11::text[],
                                 $12::integer[], $13::timestamptz[], $14::boolean[], $15::boolean[])
                AS new (id, application, version, token_version, throughput, state, paused, waba, number, display, portfolio, unique_users, told_at, auto_mark_read, restricted_outside)
        ), changed AS (
            INSERT INTO messaging.connection AS c (connection_id, application_id, version, token_version, throughput_per_second, state, paused, waba_id, phone_number_id,
                                                   display_number_sealed, portfolio_id, auto_mark_read, restricted_outside, updated_at)
            SELECT id, application, version, token_version, throughput, state, paused, waba, number, display, portfolio, auto_mark_read, restricted_outside, messaging.now_() FROM new
            ON CONFLICT (connection_id) DO UPDATE
            SET application_id = excluded.application_id, version = excluded.version, token_version = excluded.token_version,
                throughput_per_second = excluded.throughput_per_second, state = excluded.state, paused = excluded.paused, waba_id = excluded.waba_id,
                phone_number_id = excluded.phone_number_id, display_number_sealed = excluded.display_number_sealed, portfolio_id = excluded.portfolio_id, auto_mark_read = excluded.auto_mark_read,
                restricted_outside = excluded.restricted_outside,
                updated_at = excluded.updated_at
            WHERE excluded.version > c.version
            RETURNING c.connection_id
        ), told AS (
            INSERT INTO messaging.portfolio AS p (id, unique_users, told_at)
            SELECT DISTINCT ON (1) coalesce(nullif(portfolio, ''), waba), unique_users, told_at
            FROM new WHERE told_at IS NOT NULL AND id IN (SELECT connection_id FROM changed) ORDER BY 1, told_at DESC
            ON CONFLICT (id) DO UPDATE
            SET unique_users = excluded.unique_users, told_at = excluded.told_at,
                raised = p.raised OR coalesce(excluded.unique_users > p.unique_users, p.unique_users IS NOT NULL)
            WHERE excluded.told_at > p.told_at
        )
        SELECT DISTINCT new.waba AS "waba!", new.portfolio AS "portfolio!"
        FROM new WHERE new.portfolio NOT IN ('', new.waba) AND EXISTS (SELECT FROM messaging.portfolio p WHERE p.id = new.waba)
        "#,
        &ids,
        &applications,
        &versions,
        &tokens,
        &throughputs,
        &states,
        &paused,
        wabas as _,
        numbers as _,
        displays as _,
        portfolios as _,
        &limits as _,
        &told as _,
        &reads,
        &restricted,
    )
    .fetch_all(conn)
    .await?;
    Ok(joined.into_iter().map(|row| (row.waba, row.portfolio)).collect())
}

/// What changed since `since`, by the database's clock, and the clock.
pub(crate) async fn changed(
    conn: &mut PgConnection,
    since: OffsetDateTime,
) -> sqlx::Result<(Vec<Connection>, OffsetDateTime)> {
    // The clock is read first: what changes while this statement runs is seen again by the next.
    let now = sqlx::query_scalar!(r#"SELECT messaging.now_() AS "now!""#)
        .fetch_one(&mut *conn)
        .await?;
    let connections = sqlx::query_as!(
        Connection,
        r#"
        SELECT connection_id AS id, application_id AS application, version, token_version, throughput_per_second, state, paused, auto_mark_read, restricted_outside, waba_id, phone_number_id,
               display_number_sealed, portfolio_id
        FROM messaging.connection WHERE updated_at >= $1
        "#,
        since,
    )
    .fetch_all(conn)
    .await?;
    Ok((connections, now))
}

/// One connection.
pub(crate) async fn get(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Connection>> {
    sqlx::query_as!(
        Connection,
        r#"
        SELECT connection_id AS id, application_id AS application, version, token_version, throughput_per_second, state, paused, auto_mark_read, restricted_outside, waba_id, phone_number_id,
               display_number_sealed, portfolio_id
        FROM messaging.connection WHERE connection_id = $1
        "#,
        id,
    )
    .fetch_optional(conn)
    .await
}

// === impl Connection ===

impl Connection {
    /// The portfolio whose quota counts.
    pub(crate) fn portfolio(&self) -> &str {
        if self.portfolio_id.is_empty() {
            &self.waba_id
        } else {
            &self.portfolio_id
        }
    }
}
