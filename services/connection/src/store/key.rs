//! Keys of applications and operators. Secrets are known by their hash only.

use outeract_domain::{ApplicationId, KeyId};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

/// A key to be stored.
#[derive(Debug, Clone)]
pub(crate) struct New {
    pub(crate) id: KeyId,
    /// `None`: an operator's.
    pub(crate) application: Option<ApplicationId>,
    pub(crate) name: String,
    pub(crate) environment: String,
    pub(crate) secret_sha256: [u8; 32],
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_at: Option<OffsetDateTime>,
}

/// A key as it is stored, without the hash.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) application: Option<ApplicationId>,
    pub(crate) name: String,
    pub(crate) environment: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) expires_at: Option<OffsetDateTime>,
    pub(crate) revoked_at: Option<OffsetDateTime>,
}

/// What decides whether a key counts.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    pub(crate) application: Option<ApplicationId>,
    pub(crate) secret_sha256: Vec<u8>,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_at: Option<OffsetDateTime>,
    pub(crate) expired: bool,
    pub(crate) revoked: bool,
}

/// Stores a key; `None` when one with this id exists.
pub(crate) async fn insert(db: &mut PgConnection, new: &New) -> sqlx::Result<Option<Key>> {
    let created_at = sqlx::query_scalar!(
        r#"INSERT INTO connection.key (id, application_id, name, environment, secret_sha256, scopes, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING RETURNING created_at"#,
        new.id.uuid(),
        new.application.map(ApplicationId::uuid),
        new.name,
        new.environment,
        new.secret_sha256.as_slice(),
        &new.scopes,
        new.expires_at
    )
    .fetch_optional(db)
    .await?;
    Ok(created_at.map(|created_at| Key {
        id: new.id,
        application: new.application,
        name: new.name.clone(),
        environment: new.environment.clone(),
        scopes: new.scopes.clone(),
        created_at,
        expires_at: new.expires_at,
        revoked_at: None,
    }))
}

/// What authentication needs of one key. Time is the database's, so that every replica agrees on an expiry.
pub(crate) async fn credential(db: &PgPool, id: KeyId) -> sqlx::Result<Option<Credential>> {
    sqlx::query!(
        r#"SELECT application_id, secret_sha256, scopes, expires_at,
            coalesce(expires_at <= connection.now_(), false) AS "expired!", revoked_at IS NOT NULL AS "revoked!"
        FROM connection.key WHERE id = $1"#,
        id.uuid()
    )
    .map(|row| Credential {
        application: row.application_id.map(ApplicationId::from_uuid),
        secret_sha256: row.secret_sha256,
        scopes: row.scopes,
        expires_at: row.expires_at,
        expired: row.expired,
        revoked: row.revoked,
    })
    .fetch_optional(db)
    .await
}

/// An application's keys, oldest first.
pub(crate) async fn list(db: &PgPool, application: ApplicationId, limit: i64) -> sqlx::Result<Vec<Key>> {
    sqlx::query!(
        r#"SELECT id, name, environment, scopes, created_at, expires_at, revoked_at FROM connection.key
        WHERE application_id = $1 ORDER BY created_at, id LIMIT $2"#,
        application.uuid(),
        limit
    )
    .map(|row| Key {
        id: KeyId::from_uuid(row.id),
        application: Some(application),
        name: row.name,
        environment: row.environment,
        scopes: row.scopes,
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
    })
    .fetch_all(db)
    .await
}

/// Revokes a key and returns it; the flag tells whether this call did it. `None`: no such key.
pub(crate) async fn revoke(db: &mut PgConnection, id: KeyId) -> sqlx::Result<Option<(Key, bool)>> {
    sqlx::query!(
        r#"WITH target AS (SELECT id, revoked_at FROM connection.key WHERE id = $1 FOR UPDATE)
        UPDATE connection.key AS key SET revoked_at = coalesce(target.revoked_at, connection.now_())
        FROM target WHERE key.id = target.id
        RETURNING key.application_id, key.name, key.environment, key.scopes, key.created_at, key.expires_at,
            key.revoked_at, target.revoked_at IS NULL AS "first!""#,
        id.uuid()
    )
    .map(|row| {
        let key = Key {
            id,
            application: row.application_id.map(ApplicationId::from_uuid),
            name: row.name,
            environment: row.environment,
            scopes: row.scopes,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
        };
        (key, row.first)
    })
    .fetch_optional(db)
    .await
}

/// Whether an operator key counts now. Nobody makes keys until the transaction ends, so the answer stays true.
pub(crate) async fn lock_and_find_operator(db: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query!("LOCK TABLE connection.key IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *db)
        .await?;
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM connection.key WHERE application_id IS NULL AND revoked_at IS NULL
            AND (expires_at IS NULL OR expires_at > connection.now_())) AS "exists!""#
    )
    .fetch_one(db)
    .await
}
