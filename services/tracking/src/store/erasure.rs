//! Users erased from the log: their events, the children of these, and what subscribers answered.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// An event of a contact, where it stands in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) position: i64,
    pub(crate) event_id: Uuid,
    pub(crate) event_type: i16,
}

/// An event, or a child of one.
#[derive(Debug)]
pub(crate) struct Kin {
    pub(crate) id: Uuid,
    pub(crate) erased: bool,
    pub(crate) body: Vec<u8>,
}

/// A delivery, or one that is tried again.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) subscription_id: Uuid,
    pub(crate) id: Uuid,
    pub(crate) attempt_log: Vec<u8>,
    /// It is tried again.
    pub(crate) retry: bool,
}

/// What was erased under one erasure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) events: i64,
    pub(crate) deliveries: i64,
}

/// The next events of a contact.
pub(crate) async fn of_contact(
    pool: &PgPool,
    application: Uuid,
    contact: Uuid,
    after: i64,
    most: i64,
) -> sqlx::Result<Vec<Place>> {
    sqlx::query_as!(
        Place,
        r#"-- erasure.of_contact
        SELECT position AS "position!", event_id AS "event_id!", event_type AS "event_type!" FROM tracking.of_contact($1, $2, $3, $4)"#,
        application,
        contact,
        after,
        most
    )
    .fetch_all(pool)
    .await
}

/// Events with their children: at most `most` of each, those that are not erased first. `times` are the lowest and the highest id with each event's time bits.
pub(crate) async fn kin(
    pool: &PgPool,
    application: Uuid,
    events: &[Uuid],
    times: &[(Uuid, Uuid)],
    most: i64,
) -> sqlx::Result<Vec<Kin>> {
    let (lows, highs): (Vec<Uuid>, Vec<Uuid>) = times.iter().copied().unzip();
    sqlx::query_as!(
        Kin,
        r#"-- erasure.kin
        SELECT id AS "id!", erased AS "erased!", body AS "body!" FROM tracking.kin($1, $2, $3, $4, $5)"#,
        application,
        events,
        &lows,
        &highs,
        most
    )
    .fetch_all(pool)
    .await
}

/// What there is of these deliveries.
pub(crate) async fn answered(pool: &PgPool, subscriptions: &[Uuid], ids: &[Uuid]) -> sqlx::Result<Vec<Answered>> {
    sqlx::query_as!(
        Answered,
        r#"-- erasure.answered
        SELECT d.subscription_id AS "subscription_id!", d.id AS "id!", d.attempt_log AS "attempt_log!", d.retry AS "retry!"
        FROM unnest($1::uuid[], $2::uuid[]) AS a (subscription, id)
        CROSS JOIN LATERAL (
            (SELECT d.subscription_id, d.id, d.attempt_log, false AS retry FROM tracking.delivery d WHERE d.subscription_id = a.subscription AND d.id = a.id LIMIT 1)
            UNION ALL
            (SELECT r.subscription_id, r.id, r.attempt_log, true FROM tracking.retry r WHERE r.subscription_id = a.subscription AND r.id = a.id LIMIT 1)
        ) d"#,
        subscriptions,
        ids
    )
    .fetch_all(pool)
    .await
}

/// Replaces what is kept of attempts, unless another attempt was noted meanwhile. Gives how many.
pub(crate) async fn replace(connection: &mut PgConnection, found: &[Answered], logs: &[Vec<u8>]) -> sqlx::Result<i64> {
    let subscriptions: Vec<Uuid> = found.iter().map(|one| one.subscription_id).collect();
    let ids: Vec<Uuid> = found.iter().map(|one| one.id).collect();
    let before: Vec<&[u8]> = found.iter().map(|one| one.attempt_log.as_slice()).collect();
    let retries: Vec<bool> = found.iter().map(|one| one.retry).collect();
    sqlx::query_scalar!(
        r#"-- erasure.replace
        WITH given AS MATERIALIZED (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[], $5::bool[]) AS g (subscription_id, id, before, attempt_log, retry)
        ), ended AS (
            UPDATE tracking.delivery d SET attempt_log = g.attempt_log
            FROM given g WHERE NOT g.retry AND d.subscription_id = g.subscription_id AND d.id = g.id AND d.attempt_log = g.before
            RETURNING d.id
        ), waiting AS (
            UPDATE tracking.retry r SET attempt_log = g.attempt_log
            FROM given g WHERE g.retry AND r.subscription_id = g.subscription_id AND r.id = g.id AND r.attempt_log = g.before
            RETURNING r.id
        )
        SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM waiting) AS "count!""#,
        &subscriptions,
        &ids,
        before as _,
        logs,
        &retries
    )
    .fetch_one(connection)
    .await
}

/// Takes what events said of their user. Gives how many were not erased before.
pub(crate) async fn blank(
    connection: &mut PgConnection,
    application: Uuid,
    events: &[Uuid],
    bodies: &[Vec<u8>],
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- erasure.blank
        SELECT tracking.blank($1, $2, $3) AS "count!""#,
        application,
        events,
        bodies
    )
    .fetch_one(connection)
    .await
}

/// Counts what was erased. Gives the sum of it.
pub(crate) async fn add(connection: &mut PgConnection, id: Uuid, application: Uuid, more: Sum) -> sqlx::Result<Sum> {
    sqlx::query_as!(
        Sum,
        "-- erasure.add
        INSERT INTO tracking.erasure AS e (at, id, application_id, events, deliveries) VALUES (tracking.now_(), $1, $2, $3, $4)
        ON CONFLICT (id) DO UPDATE SET events = e.events + excluded.events, deliveries = e.deliveries + excluded.deliveries
        RETURNING events, deliveries",
        id,
        application,
        more.events,
        more.deliveries
    )
    .fetch_one(connection)
    .await
}

/// Forgets erasures that were asked for more than `days` ago.
pub(crate) async fn forget(pool: &PgPool, days: i32) -> sqlx::Result<u64> {
    let gone = sqlx::query!(
        "-- erasure.forget
        DELETE FROM tracking.erasure WHERE at < tracking.now_() - make_interval(days => $1)",
        days
    )
    .execute(pool)
    .await?;
    Ok(gone.rows_affected())
}
