//! Holds that operators place on the queue, and what they did. A deed and its line in the audit log are one statement.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// What is held back: the numbers of the scopes in the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub scope: i16,
    pub key: String,
}

/// What an operator did, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deed<'a> {
    pub id: Uuid,
    pub operator: Uuid,
    pub action: &'a str,
    /// The target as the contract names it.
    pub target: &'a str,
    pub reason: &'a str,
}

/// A hold.
#[derive(Debug)]
pub(crate) struct Hold {
    pub scope: i16,
    pub key: String,
    pub reason: String,
    pub operator: Uuid,
    pub at: OffsetDateTime,
}

/// A line of the audit log.
#[derive(Debug)]
pub(crate) struct Entry {
    pub id: Uuid,
    pub at: OffsetDateTime,
    pub operator: Uuid,
    pub action: String,
    pub target: String,
    pub reason: String,
}

pub(crate) const NUMBER: i16 = 1;
pub(crate) const CONNECTION: i16 = 2;
pub(crate) const APPLICATION: i16 = 3;

/// Holds at a time.
pub(crate) const MOST: i64 = 1_000;

/// Whether there is such a thing to hold: a connection of this number, with this id, or of this application.
pub(crate) async fn exists(conn: &mut PgConnection, target: &Target) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        SELECT EXISTS (
            SELECT FROM messaging.connection c
            WHERE CASE $1::smallint WHEN 1 THEN c.phone_number_id WHEN 2 THEN c.connection_id::text WHEN 3 THEN c.application_id::text END = $2
        ) AS "exists!"
        "#,
        target.scope,
        target.key,
    )
    .fetch_one(conn)
    .await
}

/// Places a hold, or renews it. None: there are too many.
pub(crate) async fn place(
    conn: &mut PgConnection,
    target: &Target,
    deed: &Deed<'_>,
) -> sqlx::Result<Option<OffsetDateTime>> {
    sqlx::query_scalar!(
        r#"
        WITH placed AS (
            INSERT INTO messaging.hold (scope, key, reason, operator_key_id, at)
            SELECT $1, $2, $3, $4, messaging.now_()
            WHERE EXISTS (SELECT FROM messaging.hold h WHERE h.scope = $1 AND h.key = $2) OR (SELECT count(*) FROM messaging.hold) < $5
            ON CONFLICT (scope, key) DO UPDATE SET reason = excluded.reason, operator_key_id = excluded.operator_key_id, at = excluded.at
            RETURNING at
        ), noted AS (
            INSERT INTO messaging.audit (id, at, operator_key_id, action, target, reason)
            SELECT $6, at, $4, $7, $8, $3 FROM placed
        )
        SELECT at FROM placed
        "#,
        target.scope,
        target.key,
        deed.reason,
        deed.operator,
        MOST,
        deed.id,
        deed.action,
        deed.target,
    )
    .fetch_optional(conn)
    .await
}

/// Releases a hold. False: there is none.
pub(crate) async fn release(conn: &mut PgConnection, target: &Target, deed: &Deed<'_>) -> sqlx::Result<bool> {
    let released = sqlx::query_scalar!(
        r#"
        WITH released AS (
            DELETE FROM messaging.hold WHERE scope = $1 AND key = $2 RETURNING messaging.now_() AS at
        ), noted AS (
            INSERT INTO messaging.audit (id, at, operator_key_id, action, target, reason)
            SELECT $3, at, $4, $5, $6, $7 FROM released
        )
        SELECT at AS "at!" FROM released
        "#,
        target.scope,
        target.key,
        deed.id,
        deed.operator,
        deed.action,
        deed.target,
        deed.reason,
    )
    .fetch_optional(conn)
    .await?;
    Ok(released.is_some())
}

/// Every hold, the newest first.
pub(crate) async fn all(conn: &mut PgConnection) -> sqlx::Result<Vec<Hold>> {
    sqlx::query_as!(
        Hold,
        "SELECT scope, key, reason, operator_key_id AS operator, at FROM messaging.hold ORDER BY at DESC, scope, key"
    )
    .fetch_all(conn)
    .await
}

/// Lines of the audit log, the newest first, before `before`.
pub(crate) async fn entries(conn: &mut PgConnection, before: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<Entry>> {
    sqlx::query_as!(
        Entry,
        r#"
        SELECT id, at, operator_key_id AS operator, action, target, reason FROM messaging.audit
        WHERE id < coalesce($1, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid) ORDER BY id DESC LIMIT $2
        "#,
        before,
        limit,
    )
    .fetch_all(conn)
    .await
}
