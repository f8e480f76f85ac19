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
    pub waba_id: String,
    pub phone_number_id: String,
    pub display_number_sealed: Vec<u8>,
}

/// Takes over what is newer than what is known. In the order of ids.
pub(crate) async fn take_over(conn: &mut PgConnection, connections: &[Connection]) -> sqlx::Result<()> {
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
    sqlx::query!(
        r#"
        INSERT INTO messaging.connection AS c (connection_id, application_id, version, token_version, throughput_per_second, state, paused, waba_id, phone_number_id,
                                               display_number_sealed, auto_mark_read, updated_at)
        SELECT new.*, messaging.now_()
        FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::integer[], $6::smallint[], $7::boolean[], $8::text[], $9::text[], $10::bytea[], $11::boolean[]) AS new
        ON CONFLICT (connection_id) DO UPDATE
        SET application_id = excluded.application_id, version = excluded.version, token_version = excluded.token_version,
            throughput_per_second = excluded.throughput_per_second, state = excluded.state, paused = excluded.paused, waba_id = excluded.waba_id,
            phone_number_id = excluded.phone_number_id, display_number_sealed = excluded.display_number_sealed, auto_mark_read = excluded.auto_mark_read,
            updated_at = excluded.updated_at
        WHERE excluded.version > c.version
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
        &reads,
    )
    .execute(conn)
    .await?;
    Ok(())
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
        SELECT connection_id AS id, application_id AS application, version, token_version, throughput_per_second, state, paused, auto_mark_read, waba_id, phone_number_id,
               display_number_sealed
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
        SELECT connection_id AS id, application_id AS application, version, token_version, throughput_per_second, state, paused, auto_mark_read, waba_id, phone_number_id,
               display_number_sealed
        FROM messaging.connection WHERE connection_id = $1
        "#,
        id,
    )
    .fetch_optional(conn)
    .await
}
