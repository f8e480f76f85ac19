//! Who wants which events where, and how far each has come.

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// Events are delivered.
pub(crate) const ACTIVE: i16 = 1;

/// The target answered 410.
pub(crate) const GONE: i16 = 1;
/// What came next in the log is kept no more.
pub(crate) const BEHIND: i16 = 3;

/// A subscription as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) application_id: Uuid,
    pub(crate) position: i64,
    pub(crate) state: i16,
    pub(crate) reason: i16,
    pub(crate) name: String,
    pub(crate) patterns: Vec<String>,
    pub(crate) target: Vec<u8>,
    pub(crate) secret: Vec<u8>,
    /// Only while it still signs.
    pub(crate) previous_secret: Option<Vec<u8>>,
    pub(crate) previous_until: Option<OffsetDateTime>,
    pub(crate) failing_since: Option<OffsetDateTime>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
    /// Position of the newest event of its log.
    pub(crate) head: i64,
}

/// A subscription to create. Sealed where it is secret.
#[derive(Debug)]
pub(crate) struct New<'a> {
    pub(crate) id: Uuid,
    pub(crate) application: Uuid,
    pub(crate) name: &'a str,
    pub(crate) patterns: &'a [String],
    pub(crate) target: &'a [u8],
    pub(crate) secret: &'a [u8],
}

/// What to change; `None`: as it was.
#[derive(Debug, Default)]
pub(crate) struct Change<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) patterns: Option<&'a [String]>,
    pub(crate) target: Option<&'a [u8]>,
}

/// Creates a subscription at the end of its log. `false`: the application has `max` of them.
pub(crate) async fn create(pool: &PgPool, new: &New<'_>, max: i64) -> sqlx::Result<bool> {
    let created = sqlx::query!(
        "-- subscription.create
        INSERT INTO tracking.subscription (position, created_at, updated_at, id, application_id, name, patterns, target, secret)
        SELECT coalesce((SELECT h.position FROM tracking.head h WHERE h.application_id = $2), 0), tracking.now_(), tracking.now_(),
            $1, $2, $3, $4, $5, $6
        WHERE (SELECT count(*) FROM tracking.subscription s WHERE s.application_id = $2) < $7",
        new.id,
        new.application,
        new.name,
        new.patterns,
        new.target,
        new.secret,
        max
    )
    .execute(pool)
    .await?;
    Ok(created.rows_affected() == 1)
}

/// One of an application's subscriptions.
pub(crate) async fn find(pool: &PgPool, application: Uuid, id: Uuid) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        r#"-- subscription.find
        SELECT s.id, s.application_id, s.position, s.state, s.reason, s.name, s.patterns, s.target, s.secret,
            CASE WHEN s.previous_until > tracking.now_() THEN s.previous_secret END AS previous_secret,
            CASE WHEN s.previous_until > tracking.now_() THEN s.previous_until END AS previous_until,
            s.failing_since, s.created_at, s.updated_at, coalesce(h.position, 0) AS "head!"
        FROM tracking.subscription s
        LEFT JOIN tracking.head h ON h.application_id = s.application_id
        WHERE s.id = $2 AND s.application_id = $1"#,
        application,
        id
    )
    .fetch_optional(pool)
    .await
}

/// An application's subscriptions after one of them, in the order of ids.
pub(crate) async fn list(pool: &PgPool, application: Uuid, after: Uuid, limit: i64) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"-- subscription.list
        SELECT s.id, s.application_id, s.position, s.state, s.reason, s.name, s.patterns, s.target, s.secret,
            CASE WHEN s.previous_until > tracking.now_() THEN s.previous_secret END AS previous_secret,
            CASE WHEN s.previous_until > tracking.now_() THEN s.previous_until END AS previous_until,
            s.failing_since, s.created_at, s.updated_at, coalesce(h.position, 0) AS "head!"
        FROM tracking.subscription s
        LEFT JOIN tracking.head h ON h.application_id = s.application_id
        WHERE s.application_id = $1 AND s.id > $2
        ORDER BY s.id
        LIMIT $3"#,
        application,
        after,
        limit
    )
    .fetch_all(pool)
    .await
}

/// Changes a subscription. `false`: there is none.
pub(crate) async fn update(pool: &PgPool, application: Uuid, id: Uuid, change: &Change<'_>) -> sqlx::Result<bool> {
    let updated = sqlx::query!(
        "-- subscription.update
        UPDATE tracking.subscription
        SET name = coalesce($3, name), patterns = coalesce($4, patterns), target = coalesce($5, target),
            version = version + 1, updated_at = tracking.now_()
        WHERE id = $2 AND application_id = $1",
        application,
        id,
        change.name,
        change.patterns,
        change.target
    )
    .execute(pool)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Pauses an active subscription. `false`: there is none, of whatever state.
pub(crate) async fn pause(pool: &PgPool, application: Uuid, id: Uuid) -> sqlx::Result<bool> {
    let updated = sqlx::query!(
        "-- subscription.pause
        UPDATE tracking.subscription
        SET updated_at = CASE WHEN state = 1 THEN tracking.now_() ELSE updated_at END, state = CASE WHEN state = 1 THEN 2 ELSE state END
        WHERE id = $2 AND application_id = $1",
        application,
        id
    )
    .execute(pool)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Activates a subscription; its failures are forgotten. One that was left behind goes on with the oldest event there is. `false`: there is none.
pub(crate) async fn resume(pool: &PgPool, application: Uuid, id: Uuid) -> sqlx::Result<bool> {
    let updated = sqlx::query!(
        "-- subscription.resume
        UPDATE tracking.subscription s
        SET state = 1, updated_at = CASE WHEN s.state = 1 THEN s.updated_at ELSE tracking.now_() END,
            failing_since = CASE WHEN s.state = 1 THEN s.failing_since END, failures = CASE WHEN s.state = 1 THEN s.failures ELSE 0 END,
            position = CASE WHEN s.reason = 3
                THEN greatest(s.position, coalesce((SELECT h.earliest - 1 FROM tracking.head h WHERE h.application_id = s.application_id), 0))
                ELSE s.position END,
            reason = 0, version = s.version + CASE WHEN s.state = 1 THEN 0 ELSE 1 END
        WHERE s.id = $2 AND s.application_id = $1",
        application,
        id
    )
    .execute(pool)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Puts a new secret in the place of the old one, which signs on for 24 hours. `false`: there is none.
pub(crate) async fn rotate(pool: &PgPool, application: Uuid, id: Uuid, secret: &[u8]) -> sqlx::Result<bool> {
    let updated = sqlx::query!(
        "-- subscription.rotate
        UPDATE tracking.subscription
        SET previous_secret = secret, previous_until = tracking.now_() + interval '24 hours', secret = $3,
            version = version + 1, updated_at = tracking.now_()
        WHERE id = $2 AND application_id = $1",
        application,
        id,
        secret
    )
    .execute(pool)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Deletes a subscription with what is still to be delivered. `false`: there is none.
pub(crate) async fn delete(pool: &PgPool, application: Uuid, id: Uuid) -> sqlx::Result<bool> {
    let deleted = sqlx::query!(
        "-- subscription.delete
        DELETE FROM tracking.subscription WHERE id = $2 AND application_id = $1",
        application,
        id
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Disables an active subscription, to be announced.
pub(crate) async fn disable(connection: &mut PgConnection, id: Uuid, reason: i16) -> sqlx::Result<()> {
    sqlx::query!(
        "-- subscription.disable
        UPDATE tracking.subscription
        SET state = 3, reason = $2, announce = true, disabled_at = tracking.now_(), updated_at = tracking.now_()
        WHERE id = $1 AND state = 1",
        id,
        reason
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Disables what this process owns and that has failed without a success for `seconds`, three times at least and over twelve hours.
pub(crate) async fn disable_failing(pool: &PgPool, owner: Uuid, seconds: f64) -> sqlx::Result<u64> {
    let disabled = sqlx::query!(
        "-- subscription.disable_failing
        UPDATE tracking.subscription
        SET state = 3, reason = 2, announce = true, disabled_at = tracking.now_(), updated_at = tracking.now_()
        WHERE owner = $1 AND state = 1 AND failures >= 3
            AND failing_since <= tracking.now_() - make_interval(secs => $2)
            AND failed_at - failing_since >= least(interval '12 hours', make_interval(secs => $2 / 2))",
        owner,
        seconds
    )
    .execute(pool)
    .await?;
    Ok(disabled.rows_affected())
}

/// A disabled subscription whose event is still to be recorded.
#[derive(Debug)]
pub(crate) struct Unannounced {
    pub(crate) id: Uuid,
    pub(crate) application_id: Uuid,
    pub(crate) reason: i16,
    pub(crate) disabled_at: OffsetDateTime,
}

/// Subscriptions that were disabled and not announced.
pub(crate) async fn unannounced(pool: &PgPool) -> sqlx::Result<Vec<Unannounced>> {
    sqlx::query_as!(
        Unannounced,
        r#"-- subscription.unannounced
        SELECT id, application_id, reason, disabled_at AS "disabled_at!"
        FROM tracking.subscription WHERE announce AND disabled_at IS NOT NULL
        LIMIT 100"#
    )
    .fetch_all(pool)
    .await
}

/// Notes that the events of these were recorded.
pub(crate) async fn announced(pool: &PgPool, ids: &[Uuid], disabled: &[OffsetDateTime]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- subscription.announced
        UPDATE tracking.subscription s SET announce = false
        FROM unnest($1::uuid[], $2::timestamptz[]) AS g (id, disabled_at)
        WHERE s.id = g.id AND s.disabled_at = g.disabled_at",
        ids,
        disabled
    )
    .execute(pool)
    .await?;
    Ok(())
}
