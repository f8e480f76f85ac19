//! How many unique users a portfolio writes to outside the window in any 24 hours: exactly, whatever happens to Redis. The arithmetic stands in the migration.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A message that needs a place, or held one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub portfolio: &'a str,
    pub contact: Uuid,
    pub message: Uuid,
}

/// Whether there was a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserved {
    /// Where the claim stood among the others, from 1.
    pub ordinal: i64,
    pub granted: bool,
    /// Places of the portfolio that were taken before and after the statement.
    pub before: i64,
    pub after: i64,
    /// How many there are; none: without limit.
    pub most: Option<i32>,
}

/// The places of a portfolio that one minute holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub portfolio: String,
    /// Minutes since 1970.
    pub minute: i32,
    pub members: i32,
}

/// What Meta says of a portfolio's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told<'a> {
    pub portfolio: &'a str,
    /// None: unlimited.
    pub unique_users: Option<i32>,
    pub at: OffsetDateTime,
}

/// A portfolio whose limit was raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raised {
    pub portfolio: String,
    pub told_at: OffsetDateTime,
}

/// Takes places for messages outside the window. One per claim; a message that holds one already keeps it.
pub(crate) async fn reserve(conn: &mut PgConnection, claims: &[Claim<'_>]) -> sqlx::Result<Vec<Reserved>> {
    let (portfolios, contacts, messages) = columns(claims);
    sqlx::query_as!(
        Reserved,
        r#"
        SELECT place AS "ordinal!", granted AS "granted!", before AS "before!", after AS "after!", most
        FROM messaging.reserve_quota($1::text[], $2::uuid[], $3::uuid[])
        "#,
        portfolios as _,
        &contacts,
        &messages,
    )
    .fetch_all(conn)
    .await
}

/// Gives back the places that messages held which Meta refused for good. Gives how many places are free now that were not.
pub(crate) async fn release(conn: &mut PgConnection, claims: &[Claim<'_>]) -> sqlx::Result<i64> {
    let (portfolios, contacts, messages) = columns(claims);
    sqlx::query_scalar!(
        r#"SELECT messaging.release_quota($1::text[], $2::uuid[], $3::uuid[]) AS "freed!""#,
        portfolios as _,
        &contacts,
        &messages,
    )
    .fetch_one(conn)
    .await
}

/// Which minutes hold the places of portfolios, the oldest first, and the time in seconds since 1970.
pub(crate) async fn buckets(conn: &mut PgConnection, portfolios: &[&str]) -> sqlx::Result<(Vec<Bucket>, f64)> {
    let now = sqlx::query_scalar!(r#"SELECT extract(epoch FROM messaging.now_())::float8 AS "now!""#)
        .fetch_one(&mut *conn)
        .await?;
    let buckets = sqlx::query_as!(
        Bucket,
        r#"
        SELECT b.portfolio_id AS portfolio, b.minute, b.members
        FROM unnest($1::text[]) AS asked (portfolio)
        CROSS JOIN LATERAL (
            SELECT * FROM messaging.quota_minute b WHERE b.portfolio_id = asked.portfolio AND b.members > 0 ORDER BY b.minute DESC LIMIT 1441
        ) b
        ORDER BY b.portfolio_id, b.minute
        "#,
        portfolios as _,
    )
    .fetch_all(conn)
    .await?;
    Ok((buckets, now))
}

/// A portfolio's places, as far as a contact is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// How many there are; none: without limit.
    pub most: Option<i32>,
    pub used: i64,
    /// The contact has one.
    pub placed: bool,
    /// When the next place comes free.
    pub next_at: Option<OffsetDateTime>,
}

/// Whether there is room in a portfolio; none: nobody was written to from it yet.
pub(crate) async fn room(
    conn: &mut PgConnection,
    portfolio: &str,
    contact: Option<Uuid>,
) -> sqlx::Result<Option<Room>> {
    sqlx::query_as!(
        Room,
        r#"
        SELECT p.unique_users AS most, taken.used AS "used!",
               EXISTS (
                   SELECT FROM messaging.quota_member m WHERE m.portfolio_id = $1 AND m.contact_id = $2 AND m.minute >= clock.oldest
               ) AS "placed!",
               to_timestamp((taken.first + 1441) * 60::bigint) AS next_at
        FROM (SELECT messaging.this_minute() - 1440 AS oldest OFFSET 0) clock
        CROSS JOIN LATERAL (SELECT p.unique_users FROM messaging.portfolio p WHERE p.id = $1 LIMIT 1) p
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(b.members), 0)::bigint AS used, min(b.minute) FILTER (WHERE b.members > 0) AS first
            FROM messaging.quota_minute b WHERE b.portfolio_id = $1 AND b.minute >= clock.oldest
        ) taken
        "#,
        portfolio,
        contact,
    )
    .fetch_optional(conn)
    .await
}

/// Takes over what Meta says of portfolios' limits, unless it said something else later. In the order of portfolios, each once.
pub(crate) async fn tell(conn: &mut PgConnection, told: &[Told<'_>]) -> sqlx::Result<()> {
    let portfolios: Vec<_> = told.iter().map(|told| told.portfolio).collect();
    let limits: Vec<_> = told.iter().map(|told| told.unique_users).collect();
    let times: Vec<_> = told.iter().map(|told| told.at).collect();
    sqlx::query!(
        r#"
        INSERT INTO messaging.portfolio AS p (id, unique_users, told_at)
        SELECT told.portfolio, told.unique_users, told.at FROM unnest($1::text[], $2::integer[], $3::timestamptz[]) AS told (portfolio, unique_users, at)
        ON CONFLICT (id) DO UPDATE
        SET unique_users = excluded.unique_users, told_at = excluded.told_at,
            raised = p.raised OR coalesce(excluded.unique_users > p.unique_users, p.unique_users IS NOT NULL)
        WHERE excluded.told_at > p.told_at
        "#,
        portfolios as _,
        &limits as _,
        &times,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The portfolio that a WABA belongs to has become known: what was counted under the WABA is counted there.
pub(crate) async fn join(conn: &mut PgConnection, waba: &str, portfolio: &str) -> sqlx::Result<()> {
    sqlx::query!("SELECT messaging.join_portfolios($1, $2)", waba, portfolio)
        .execute(conn)
        .await?;
    Ok(())
}

/// Portfolios whose limit was raised, and not all of whose messages were woken since.
pub(crate) async fn raised(conn: &mut PgConnection) -> sqlx::Result<Vec<Raised>> {
    sqlx::query_as!(
        Raised,
        "SELECT id AS portfolio, told_at FROM messaging.portfolio WHERE raised ORDER BY id LIMIT 100"
    )
    .fetch_all(conn)
    .await
}

/// What waits for a place may go now: one page of a number's queue in the order of ids, after `after`. Gives the last id that was looked at, none at the end, and how many were woken.
pub(crate) async fn wake(
    conn: &mut PgConnection,
    number: &str,
    after: Uuid,
    limit: i64,
    reason: &str,
) -> sqlx::Result<(Option<Uuid>, i64)> {
    let row = sqlx::query!(
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), page AS MATERIALIZED (
            SELECT q.message_id, (q.state = 1 AND q.reason = $4 AND q.ready_at > clock.now) IS TRUE AS waits
            FROM clock CROSS JOIN messaging.queue q WHERE q.phone_number_id = $1 AND q.message_id > $2 ORDER BY q.message_id LIMIT $3
        ), woken AS (
            UPDATE messaging.queue q SET ready_at = clock.now, updated_at = clock.now
            FROM clock
            WHERE q.phone_number_id = $1 AND q.message_id = ANY (ARRAY(SELECT message_id FROM page WHERE waits)) AND q.state = 1 AND q.reason = $4
            RETURNING q.message_id
        )
        SELECT (SELECT message_id FROM page ORDER BY message_id DESC LIMIT 1) AS last, (SELECT count(*) FROM woken) AS "woken!"
        "#,
        number,
        after,
        limit,
        reason,
    )
    .fetch_one(conn)
    .await?;
    Ok((row.last, row.woken))
}

/// All that waited for a place in the portfolio was woken. A limit that was raised again since is looked after again.
pub(crate) async fn woken(conn: &mut PgConnection, raised: &Raised) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE messaging.portfolio SET raised = false WHERE id = $1 AND told_at = $2",
        raised.portfolio,
        raised.told_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets who was written to more than 24 hours ago: one page in the order of portfolio and contact, after `after`. Gives the last that was looked at, none at the end, and how many went.
pub(crate) async fn purge(
    conn: &mut PgConnection,
    after: (&str, Uuid),
    limit: i64,
) -> sqlx::Result<(Option<(String, Uuid)>, i64)> {
    let row = sqlx::query!(
        r#"
        WITH last AS MATERIALIZED (
            SELECT page.portfolio_id, page.contact_id
            FROM (
                SELECT m.portfolio_id, m.contact_id FROM messaging.quota_member m
                WHERE (m.portfolio_id, m.contact_id) > ($1, $2) ORDER BY m.portfolio_id, m.contact_id LIMIT $3
            ) page
            ORDER BY page.portfolio_id DESC, page.contact_id DESC LIMIT 1
        ), gone AS (
            DELETE FROM messaging.quota_member m
            WHERE (m.portfolio_id, m.contact_id) > ($1, $2) AND (m.portfolio_id, m.contact_id) <= ((SELECT portfolio_id FROM last), (SELECT contact_id FROM last))
              AND m.minute < (SELECT messaging.this_minute()) - 1440
            RETURNING 1
        )
        SELECT (SELECT portfolio_id FROM last) AS portfolio, (SELECT contact_id FROM last) AS contact, (SELECT count(*) FROM gone) AS "gone!"
        "#,
        after.0,
        after.1,
        limit,
    )
    .fetch_one(conn)
    .await?;
    Ok((row.portfolio.zip(row.contact), row.gone))
}

fn columns<'a>(claims: &[Claim<'a>]) -> (Vec<&'a str>, Vec<Uuid>, Vec<Uuid>) {
    (
        claims.iter().map(|claim| claim.portfolio).collect(),
        claims.iter().map(|claim| claim.contact).collect(),
        claims.iter().map(|claim| claim.message).collect(),
    )
}
