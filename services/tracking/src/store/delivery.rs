//! Events on their way to subscriptions: outcomes, retries, and what is sent again.

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::log::{Body, Entry};

/// It waits for its next attempt.
pub(crate) const PENDING: i16 = 1;
/// The target answered 2xx.
pub(crate) const SUCCEEDED: i16 = 2;
/// Every attempt failed.
pub(crate) const FAILED: i16 = 3;

/// How subscriptions have moved, a column each; each subscription once.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    pub(crate) ids: Vec<Uuid>,
    pub(crate) epochs: Vec<i64>,
    pub(crate) positions: Vec<i64>,
    /// Attempts that failed after the last success.
    pub(crate) failures: Vec<i32>,
    /// An attempt succeeded.
    pub(crate) succeeded: Vec<bool>,
}

/// What became of deliveries, a column each; each delivery once.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) subscriptions: Vec<Uuid>,
    pub(crate) ids: Vec<Uuid>,
    pub(crate) events: Vec<Uuid>,
    pub(crate) types: Vec<String>,
    pub(crate) kinds: Vec<i16>,
    pub(crate) attempts: Vec<i32>,
    pub(crate) tries: Vec<i32>,
    /// Of a pending one, seconds until it is due.
    pub(crate) delays: Vec<f64>,
    pub(crate) logs: Vec<Vec<u8>>,
}

/// A delivery that waits for its next attempt.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) id: Uuid,
    pub(crate) event_id: Uuid,
    pub(crate) event_type: String,
    pub(crate) attempts: i32,
    pub(crate) tries: i32,
    pub(crate) attempt_log: Vec<u8>,
}

/// A delivery as it is stored.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) event_id: Uuid,
    pub(crate) event_type: String,
    pub(crate) outcome: i16,
    pub(crate) attempts: i32,
    pub(crate) attempt_log: Vec<u8>,
    pub(crate) due_at: Option<OffsetDateTime>,
    pub(crate) finished_at: Option<OffsetDateTime>,
}

/// Which deliveries to send again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    One(Uuid),
    /// By the times in their ids: from the first on, before the second.
    Between(OffsetDateTime, OffsetDateTime),
    FailedSince(OffsetDateTime),
}

/// Records outcomes and moves subscriptions, in one statement: a position is passed only together with what became of its event. Gives the subscriptions that moved;
/// one that is missing was taken over or deleted. Outcomes are facts and stand all the same, unless the subscription is gone.
pub(crate) async fn record(
    connection: &mut PgConnection,
    moves: &Moves,
    outcomes: &Outcomes,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"-- delivery.record
        WITH given AS (
            SELECT g.* FROM unnest($6::uuid[], $7::uuid[], $8::uuid[], $9::text[], $10::smallint[], $11::int[], $12::int[], $13::float8[], $14::bytea[])
                AS g (subscription_id, id, event_id, event_type, outcome, attempts, tries, delay, attempt_log)
            JOIN tracking.subscription s ON s.id = g.subscription_id
        ), ended AS (
            INSERT INTO tracking.delivery AS d (finished_at, subscription_id, id, event_id, attempts, outcome, event_type, attempt_log)
            SELECT tracking.now_(), g.subscription_id, g.id, g.event_id, g.attempts, g.outcome, g.event_type, g.attempt_log
            FROM given g WHERE g.outcome <> 1
            ON CONFLICT (subscription_id, id) DO UPDATE
            SET finished_at = excluded.finished_at, attempts = greatest(d.attempts, excluded.attempts), outcome = excluded.outcome,
                attempt_log = excluded.attempt_log
        ), gone AS (
            DELETE FROM tracking.retry r USING given g WHERE g.outcome <> 1 AND r.subscription_id = g.subscription_id AND r.id = g.id
        ), again AS (
            INSERT INTO tracking.retry AS r (due_at, subscription_id, id, event_id, attempts, tries, event_type, attempt_log)
            SELECT tracking.now_() + make_interval(secs => g.delay), g.subscription_id, g.id, g.event_id, g.attempts, g.tries, g.event_type, g.attempt_log
            FROM given g WHERE g.outcome = 1
            ON CONFLICT (subscription_id, id) DO UPDATE
            SET due_at = excluded.due_at, attempts = excluded.attempts, tries = excluded.tries, attempt_log = excluded.attempt_log
        )
        UPDATE tracking.subscription s
        SET position = greatest(s.position, m.position),
            failures = CASE WHEN m.succeeded THEN m.failures ELSE s.failures + m.failures END,
            failing_since = CASE
                WHEN m.failures = 0 THEN CASE WHEN m.succeeded THEN NULL ELSE s.failing_since END
                WHEN m.succeeded THEN tracking.now_()
                ELSE coalesce(s.failing_since, tracking.now_())
            END,
            failed_at = CASE WHEN m.failures > 0 THEN tracking.now_() ELSE s.failed_at END
        FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::int[], $5::bool[]) AS m (id, epoch, position, failures, succeeded)
        WHERE s.id = m.id AND s.epoch = m.epoch
        RETURNING s.id"#,
        &moves.ids,
        &moves.epochs,
        &moves.positions,
        &moves.failures,
        &moves.succeeded,
        &outcomes.subscriptions,
        &outcomes.ids,
        &outcomes.events,
        &outcomes.types,
        &outcomes.kinds,
        &outcomes.attempts,
        &outcomes.tries,
        &outcomes.delays,
        &outcomes.logs,
    )
    .fetch_all(connection)
    .await
}

/// Retries that are due, those that have waited longest first, without those that are under way.
pub(crate) async fn due(pool: &PgPool, subscription: Uuid, under_way: &[Uuid], limit: i64) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        "-- delivery.due
        SELECT id, event_id, event_type, attempts, tries, attempt_log
        FROM tracking.retry
        WHERE subscription_id = $1 AND due_at <= tracking.now_() AND id <> ALL ($2)
        ORDER BY due_at
        LIMIT $3",
        subscription,
        under_way,
        limit
    )
    .fetch_all(pool)
    .await
}

/// How many retries a subscription has, up to `most`.
pub(crate) async fn waiting(pool: &PgPool, subscription: Uuid, most: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- delivery.waiting
        SELECT count(*) AS "waiting!" FROM (SELECT FROM tracking.retry WHERE subscription_id = $1 LIMIT $2) r"#,
        subscription,
        most
    )
    .fetch_one(pool)
    .await
}

/// An event by its id, as if it stood nowhere in its log. `None`: it is kept no more.
pub(crate) async fn event(pool: &PgPool, application: Uuid, id: Uuid) -> sqlx::Result<Option<Entry>> {
    let row = sqlx::query!(
        "-- delivery.event
        SELECT connection_id, origin_event_id, body FROM tracking.event WHERE id = $2 AND application_id = $1",
        application,
        id
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Entry {
        position: 0,
        id,
        connection: row.connection_id,
        origin: row.origin_event_id,
        body: Body::Kept(row.body),
    }))
}

/// Deliveries of a subscription before an id, those with the highest ids first; pending ones stand where their id puts them.
pub(crate) async fn list(
    pool: &PgPool,
    subscription: Uuid,
    before: Uuid,
    outcome: Option<i16>,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"-- delivery.list
        SELECT id AS "id!", event_id AS "event_id!", event_type AS "event_type!", outcome AS "outcome!", attempts AS "attempts!",
            attempt_log AS "attempt_log!", due_at, finished_at
        FROM (
            (SELECT r.id, r.event_id, r.event_type, 1::smallint AS outcome, r.attempts, r.attempt_log, r.due_at, NULL::timestamptz AS finished_at
            FROM tracking.retry r
            WHERE r.subscription_id = $1 AND r.id < $2 AND coalesce($3::smallint, 1) = 1
            ORDER BY r.id DESC LIMIT $4)
            UNION ALL
            (SELECT d.id, d.event_id, d.event_type, d.outcome, d.attempts, d.attempt_log, NULL, d.finished_at
            FROM tracking.delivery d
            WHERE d.subscription_id = $1 AND d.id < $2 AND ($3::smallint IS NULL OR d.outcome = $3)
                AND NOT EXISTS (SELECT FROM tracking.retry r WHERE r.subscription_id = $1 AND r.id = d.id)
            ORDER BY d.id DESC LIMIT $4)
        ) both_
        ORDER BY id DESC
        LIMIT $4"#,
        subscription,
        before,
        outcome,
        limit
    )
    .fetch_all(pool)
    .await
}

/// One delivery of a subscription.
pub(crate) async fn find(pool: &PgPool, subscription: Uuid, id: Uuid) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        r#"-- delivery.find
        SELECT id AS "id!", event_id AS "event_id!", event_type AS "event_type!", outcome AS "outcome!", attempts AS "attempts!",
            attempt_log AS "attempt_log!", due_at, finished_at
        FROM (
            SELECT r.id, r.event_id, r.event_type, 1::smallint AS outcome, r.attempts, r.attempt_log, r.due_at, NULL::timestamptz AS finished_at
            FROM tracking.retry r WHERE r.subscription_id = $1 AND r.id = $2
            UNION ALL
            SELECT d.id, d.event_id, d.event_type, d.outcome, d.attempts, d.attempt_log, NULL, d.finished_at
            FROM tracking.delivery d WHERE d.subscription_id = $1 AND d.id = $2
        ) both_
        ORDER BY outcome
        LIMIT 1"#,
        subscription,
        id
    )
    .fetch_optional(pool)
    .await
}

/// Schedules deliveries with higher ids than `after` to be sent again at once, at most `limit`, with a fresh budget of tries. Gives their ids.
pub(crate) async fn again(
    pool: &PgPool,
    subscription: Uuid,
    which: Which,
    after: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<Uuid>> {
    let (one, from, before, failed_since) = match which {
        Which::One(id) => (Some(id), None, None, None),
        Which::Between(from, before) => (None, Some(from), Some(before), None),
        Which::FailedSince(since) => (None, None, None, Some(since)),
    };
    sqlx::query_scalar!(
        "-- delivery.again
        WITH wanted AS (
            (SELECT d.id, d.event_id, d.event_type, d.attempts, d.attempt_log
            FROM tracking.delivery d
            WHERE d.subscription_id = $1 AND d.id > $6 AND ($2::uuid IS NULL OR d.id = $2)
                AND ($3::timestamptz IS NULL OR (d.id >= tracking.first_id($3) AND d.id < tracking.first_id($4)))
                AND ($5::timestamptz IS NULL OR (d.outcome = 3 AND d.finished_at >= $5))
                AND NOT EXISTS (SELECT FROM tracking.retry r WHERE r.subscription_id = $1 AND r.id = d.id)
            ORDER BY d.id LIMIT $7)
            UNION ALL
            (SELECT r.id, r.event_id, r.event_type, r.attempts, r.attempt_log
            FROM tracking.retry r
            WHERE r.subscription_id = $1 AND r.id > $6 AND ($2::uuid IS NULL OR r.id = $2)
                AND ($3::timestamptz IS NULL OR (r.id >= tracking.first_id($3) AND r.id < tracking.first_id($4)))
                AND $5::timestamptz IS NULL
            ORDER BY r.id LIMIT $7)
            ORDER BY id
            LIMIT $7
        )
        INSERT INTO tracking.retry AS r (due_at, subscription_id, id, event_id, attempts, tries, event_type, attempt_log)
        SELECT tracking.now_(), s.id, w.id, w.event_id, w.attempts, 0, w.event_type, w.attempt_log
        FROM wanted w JOIN tracking.subscription s ON s.id = $1
        ON CONFLICT (subscription_id, id) DO UPDATE SET due_at = excluded.due_at, tries = 0
        RETURNING r.id",
        subscription,
        one,
        from,
        before,
        failed_since,
        after,
        limit
    )
    .fetch_all(pool)
    .await
}

/// Creates one partition that is soon needed, or drops one that ended before `keep_from`. Tells whether there was something to do.
pub(crate) async fn partition(pool: &PgPool, keep_from: OffsetDateTime) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- delivery.partition
        SELECT tracking.maintain_deliveries($1) AS "done!""#,
        keep_from
    )
    .fetch_one(pool)
    .await
}

/// Deletes from the default partition what ended before `keep_from`.
pub(crate) async fn strays(pool: &PgPool, keep_from: OffsetDateTime) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "-- delivery.strays
        DELETE FROM tracking.delivery_default WHERE finished_at < $1",
        keep_from
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}
