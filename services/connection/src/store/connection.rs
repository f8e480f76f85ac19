//! Connected numbers.

use outeract_domain::{ApplicationId, ConnectionId};
use sqlx::{PgConnection, PgExecutor, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Position;
use crate::meta::Portfolio;

/// The unique index that lets one number be held by one connection only.
pub(crate) const NUMBER_HELD: &str = "connection_number_held";

/// A connection as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) id: Uuid,
    pub(crate) application_id: Uuid,
    pub(crate) version: i64,
    pub(crate) token_version: i64,
    pub(crate) state: i16,
    pub(crate) paused: bool,
    /// The application's setting: the number of outeract.connection.v1.AutoMarkRead.
    pub(crate) auto_mark_read: i16,
    pub(crate) name: String,
    pub(crate) waba_id: String,
    pub(crate) phone_number_id: String,
    pub(crate) display_number_sealed: Vec<u8>,
    pub(crate) verified_name: String,
    pub(crate) throughput_per_second: i32,
    pub(crate) quality_rating: String,
    /// Empty: not known.
    pub(crate) portfolio_id: String,
    /// Meta's word. Empty: not known.
    pub(crate) messaging_limit: String,
    pub(crate) messaging_limit_at: Option<OffsetDateTime>,
    pub(crate) token_expires_at: Option<OffsetDateTime>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
    /// Why it is not active, in Meta's word. Empty: not known.
    pub(crate) state_reason: String,
    /// When that, or what it may not send, ends by itself.
    pub(crate) resume_at: Option<OffsetDateTime>,
    /// It sends nothing outside windows.
    pub(crate) restricted_outside: bool,
}

/// A connection that the application has for a number already.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: Uuid,
    pub(crate) phone_number_id: String,
    pub(crate) grant_id: Uuid,
}

/// A number to be connected: a new id, or the id of the connection that it has already.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    pub(crate) id: ConnectionId,
    pub(crate) phone_number_id: String,
    pub(crate) display_number_sealed: Vec<u8>,
    pub(crate) verified_name: String,
    /// `None`: a connection that exists keeps its name, a new one gets `default_name`.
    pub(crate) name: Option<String>,
    pub(crate) default_name: String,
    pub(crate) state: i16,
    pub(crate) throughput_per_second: i32,
    pub(crate) quality_rating: String,
    pub(crate) portfolio: Portfolio,
}

/// What a call to Meta in a connection's name needs.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) id: Uuid,
    pub(crate) application: ApplicationId,
    pub(crate) token_sealed: Vec<u8>,
    pub(crate) token_version: i64,
    pub(crate) state: i16,
}

/// Which of the numbers another application holds.
pub(crate) async fn held_by_others(
    db: &PgPool,
    application: ApplicationId,
    numbers: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT phone_number_id FROM connection.connection
        WHERE phone_number_id = ANY ($2) AND state <> 4 AND application_id <> $1"#,
        application.uuid(),
        numbers
    )
    .fetch_all(db)
    .await
}

/// The connections that the application has for these numbers, ended ones too. The application must be locked.
pub(crate) async fn known(
    db: &mut PgConnection,
    application: ApplicationId,
    numbers: &[String],
) -> sqlx::Result<Vec<Known>> {
    sqlx::query_as!(
        Known,
        r#"SELECT id, phone_number_id, grant_id FROM connection.connection
        WHERE application_id = $1 AND phone_number_id = ANY ($2)"#,
        application.uuid(),
        numbers
    )
    .fetch_all(db)
    .await
}

/// Makes the connections, or renews them: a known id keeps its row and gets the new token. Written in the order of the numbers, so that two
/// applications that claim the same ones cannot wait for each other in a circle.
pub(crate) async fn connect(
    db: &mut PgConnection,
    application: ApplicationId,
    waba_id: &str,
    grant_id: Uuid,
    numbers: &[Number],
) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = numbers.iter().map(|number| number.id.uuid()).collect();
    let phones: Vec<String> = numbers.iter().map(|number| number.phone_number_id.clone()).collect();
    let displays: Vec<Vec<u8>> = numbers
        .iter()
        .map(|number| number.display_number_sealed.clone())
        .collect();
    let verified: Vec<String> = numbers.iter().map(|number| number.verified_name.clone()).collect();
    let names: Vec<Option<String>> = numbers.iter().map(|number| number.name.clone()).collect();
    let defaults: Vec<String> = numbers.iter().map(|number| number.default_name.clone()).collect();
    let states: Vec<i16> = numbers.iter().map(|number| number.state).collect();
    let throughputs: Vec<i32> = numbers.iter().map(|number| number.throughput_per_second).collect();
    let qualities: Vec<String> = numbers.iter().map(|number| number.quality_rating.clone()).collect();
    let portfolios: Vec<String> = numbers.iter().map(|number| number.portfolio.id.clone()).collect();
    let limits: Vec<String> = numbers
        .iter()
        .map(|number| number.portfolio.messaging_limit.clone())
        .collect();
    sqlx::query!(
        r#"WITH new AS (
            SELECT * FROM unnest($4::uuid[], $5::text[], $6::bytea[], $7::text[], $8::text[], $9::text[],
                    $10::smallint[], $11::integer[], $12::text[], $13::text[], $14::text[])
                AS new (id, phone_number_id, display, verified_name, name, default_name, state, throughput, quality, portfolio, messaging_limit)
        ), renewed AS (
            UPDATE connection.connection AS connection
            SET grant_id = $3, version = version + 1, token_version = token_version + 1, state = new.state,
                state_reason = '', resume_at = NULL, restricted_outside = false, name = coalesce(new.name, connection.name), waba_id = $2, display_number_sealed = new.display,
                verified_name = new.verified_name, throughput_per_second = new.throughput,
                quality_rating = new.quality, portfolio_id = coalesce(nullif(new.portfolio, ''), connection.portfolio_id),
                messaging_limit = coalesce(nullif(new.messaging_limit, ''), connection.messaging_limit),
                messaging_limit_at = CASE WHEN new.messaging_limit = '' THEN connection.messaging_limit_at ELSE connection.now_() END,
                examine_at = connection.now_() + interval '1 day', updated_at = connection.now_()
            FROM new WHERE connection.id = new.id
            RETURNING connection.id
        )
        INSERT INTO connection.connection (id, application_id, grant_id, version, token_version, state, name, waba_id,
            phone_number_id, display_number_sealed, verified_name, throughput_per_second, quality_rating,
            portfolio_id, messaging_limit, messaging_limit_at, examine_at)
        SELECT id, $1, $3, 1, 1, state, coalesce(name, default_name), $2,
            phone_number_id, display, verified_name, throughput, quality,
            portfolio, messaging_limit, CASE WHEN messaging_limit <> '' THEN connection.now_() END, connection.now_() + interval '1 day'
        FROM new WHERE id NOT IN (SELECT id FROM renewed) ORDER BY phone_number_id"#,
        application.uuid(),
        waba_id,
        grant_id,
        &ids,
        &phones,
        &displays,
        &verified,
        &names as &[Option<String>],
        &defaults,
        &states,
        &throughputs,
        &qualities,
        &portfolios,
        &limits
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One of the application's connections.
pub(crate) async fn get(db: &PgPool, application: ApplicationId, id: ConnectionId) -> sqlx::Result<Option<Connection>> {
    sqlx::query_as!(
        Connection,
        r#"SELECT c.id, c.application_id, c.version, c.token_version, c.state, c.paused, c.name, c.waba_id,
            c.phone_number_id, c.display_number_sealed, c.verified_name, c.throughput_per_second, c.quality_rating,
            c.portfolio_id, c.messaging_limit, c.messaging_limit_at, g.expires_at AS token_expires_at, c.created_at, c.updated_at, a.auto_mark_read,
            c.state_reason, c.resume_at, c.restricted_outside
        FROM connection.connection c JOIN connection.token_grant g ON g.id = c.grant_id JOIN connection.application a ON a.id = c.application_id
        WHERE c.application_id = $1 AND c.id = $2"#,
        application.uuid(),
        id.uuid()
    )
    .fetch_optional(db)
    .await
}

/// The application's connections after a position, oldest first.
pub(crate) async fn list(
    db: &PgPool,
    application: ApplicationId,
    after: Option<Position>,
    limit: i64,
) -> sqlx::Result<Vec<Connection>> {
    sqlx::query_as!(
        Connection,
        r#"SELECT c.id, c.application_id, c.version, c.token_version, c.state, c.paused, c.name, c.waba_id,
            c.phone_number_id, c.display_number_sealed, c.verified_name, c.throughput_per_second, c.quality_rating,
            c.portfolio_id, c.messaging_limit, c.messaging_limit_at, g.expires_at AS token_expires_at, c.created_at, c.updated_at, a.auto_mark_read,
            c.state_reason, c.resume_at, c.restricted_outside
        FROM connection.connection c JOIN connection.token_grant g ON g.id = c.grant_id JOIN connection.application a ON a.id = c.application_id
        WHERE c.application_id = $1 AND ($2::timestamptz IS NULL OR (c.created_at, c.id) > ($2, $3))
        ORDER BY c.created_at, c.id LIMIT $4"#,
        application.uuid(),
        after.map(|after| after.at),
        after.map(|after| after.id),
        limit
    )
    .fetch_all(db)
    .await
}

/// Connections of every application with these ids.
pub(crate) async fn with_ids(db: impl PgExecutor<'_>, ids: &[Uuid]) -> sqlx::Result<Vec<Connection>> {
    sqlx::query_as!(
        Connection,
        r#"SELECT c.id, c.application_id, c.version, c.token_version, c.state, c.paused, c.name, c.waba_id,
            c.phone_number_id, c.display_number_sealed, c.verified_name, c.throughput_per_second, c.quality_rating,
            c.portfolio_id, c.messaging_limit, c.messaging_limit_at, g.expires_at AS token_expires_at, c.created_at, c.updated_at, a.auto_mark_read,
            c.state_reason, c.resume_at, c.restricted_outside
        FROM connection.connection c JOIN connection.token_grant g ON g.id = c.grant_id JOIN connection.application a ON a.id = c.application_id
        WHERE c.id = ANY ($1)"#,
        ids
    )
    .fetch_all(db)
    .await
}

/// Connections of every application after an id, in the order of their ids.
pub(crate) async fn list_all(db: &PgPool, after: Uuid, limit: i64) -> sqlx::Result<Vec<Connection>> {
    sqlx::query_as!(
        Connection,
        r#"SELECT c.id, c.application_id, c.version, c.token_version, c.state, c.paused, c.name, c.waba_id,
            c.phone_number_id, c.display_number_sealed, c.verified_name, c.throughput_per_second, c.quality_rating,
            c.portfolio_id, c.messaging_limit, c.messaging_limit_at, g.expires_at AS token_expires_at, c.created_at, c.updated_at, a.auto_mark_read,
            c.state_reason, c.resume_at, c.restricted_outside
        FROM connection.connection c JOIN connection.token_grant g ON g.id = c.grant_id JOIN connection.application a ON a.id = c.application_id
        WHERE c.id > $1 ORDER BY c.id LIMIT $2"#,
        after,
        limit
    )
    .fetch_all(db)
    .await
}

/// The grant that a connection uses.
pub(crate) async fn grant(db: &PgPool, id: ConnectionId) -> sqlx::Result<Option<Grant>> {
    sqlx::query!(
        r#"SELECT g.id, g.application_id, g.token_sealed, c.token_version, c.state
        FROM connection.connection c JOIN connection.token_grant g ON g.id = c.grant_id WHERE c.id = $1"#,
        id.uuid()
    )
    .map(|row| Grant {
        id: row.id,
        application: ApplicationId::from_uuid(row.application_id),
        token_sealed: row.token_sealed,
        token_version: row.token_version,
        state: row.state,
    })
    .fetch_optional(db)
    .await
}
