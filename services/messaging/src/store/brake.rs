//! Until when Meta takes nothing, and from whom.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Who waits: the numbers of the scopes in the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Target {
    pub scope: i16,
    pub key: String,
}

/// A brake to write down.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Set<'a> {
    pub target: &'a Target,
    /// From now.
    pub seconds: f64,
    pub probe: bool,
    pub reason: &'a str,
}

/// A brake that holds.
#[derive(Debug)]
pub(crate) struct Brake {
    pub scope: i16,
    pub key: String,
    /// Seconds until it ends.
    pub left: f64,
    pub probe: bool,
}

/// A brake that holds a message's number back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub scope: i16,
    pub until: OffsetDateTime,
    pub reason: String,
}

pub(crate) const NUMBER: i16 = 1;
pub(crate) const NUMBER_CAMPAIGNS: i16 = 2;
pub(crate) const WABA: i16 = 3;
pub(crate) const WABA_CAMPAIGNS: i16 = 4;
pub(crate) const APP: i16 = 5;

/// Sets brakes, or makes them longer; never shorter.
pub(crate) async fn set(conn: &mut PgConnection, brakes: &[Set<'_>]) -> sqlx::Result<()> {
    let scopes: Vec<_> = brakes.iter().map(|brake| brake.target.scope).collect();
    let keys: Vec<_> = brakes.iter().map(|brake| brake.target.key.as_str()).collect();
    let seconds: Vec<_> = brakes.iter().map(|brake| brake.seconds).collect();
    let probes: Vec<_> = brakes.iter().map(|brake| brake.probe).collect();
    let reasons: Vec<_> = brakes.iter().map(|brake| brake.reason).collect();
    sqlx::query!(
        r#"
        INSERT INTO messaging.brake AS b (scope, key, since, until, probe, reason)
        SELECT scope, key, now, now + make_interval(secs => seconds), probe, reason
        FROM unnest($1::smallint[], $2::text[], $3::float8[], $4::boolean[], $5::text[]) AS new (scope, key, seconds, probe, reason)
        CROSS JOIN (SELECT messaging.now_() AS now OFFSET 0) clock
        ORDER BY scope, key
        ON CONFLICT (scope, key) DO UPDATE
        SET since = CASE WHEN b.until > excluded.since THEN b.since ELSE excluded.since END, until = excluded.until,
            probe = excluded.probe OR b.probe AND b.until > excluded.since, reason = excluded.reason
        WHERE b.until < excluded.until
        "#,
        &scopes,
        keys as _,
        &seconds,
        &probes,
        reasons as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lifts brakes.
pub(crate) async fn lift(conn: &mut PgConnection, targets: &[&Target]) -> sqlx::Result<()> {
    let scopes: Vec<_> = targets.iter().map(|target| target.scope).collect();
    let keys: Vec<_> = targets.iter().map(|target| target.key.as_str()).collect();
    sqlx::query!(
        r#"
        DELETE FROM messaging.brake b USING unnest($1::smallint[], $2::text[]) AS gone (scope, key) WHERE b.scope = gone.scope AND b.key = gone.key
        "#,
        &scopes,
        keys as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Every brake that holds: at most two for each number and WABA, and one.
pub(crate) async fn all(conn: &mut PgConnection) -> sqlx::Result<Vec<Brake>> {
    sqlx::query_as!(
        Brake,
        r#"
        SELECT b.scope, b.key, extract(epoch FROM b.until - clock.now)::float8 AS "left!", b.probe
        FROM messaging.brake b CROSS JOIN (SELECT messaging.now_() AS now OFFSET 0) clock WHERE b.until > clock.now
        "#
    )
    .fetch_all(conn)
    .await
}

/// What holds messages of a connection back, campaigns or others.
pub(crate) async fn standing(conn: &mut PgConnection, connection: Uuid, campaign: bool) -> sqlx::Result<Vec<Standing>> {
    sqlx::query_as!(
        Standing,
        r#"
        SELECT b.scope, b.until, b.reason
        FROM messaging.connection c
        CROSS JOIN LATERAL (VALUES (1::smallint, c.phone_number_id), (2::smallint, c.phone_number_id), (3::smallint, c.waba_id), (4::smallint, c.waba_id), (5::smallint, '')) AS whose (scope, key)
        CROSS JOIN LATERAL (SELECT * FROM messaging.brake b WHERE b.scope = whose.scope AND b.key = whose.key LIMIT 1) b
        WHERE c.connection_id = $1 AND b.until > messaging.now_() AND (b.scope NOT IN (2, 4) OR $2)
        ORDER BY b.scope
        "#,
        connection,
        campaign,
    )
    .fetch_all(conn)
    .await
}

/// Forgets what holds no longer. Gives how many.
pub(crate) async fn purge(conn: &mut PgConnection) -> sqlx::Result<u64> {
    let done = sqlx::query!("DELETE FROM messaging.brake WHERE until <= messaging.now_()")
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
