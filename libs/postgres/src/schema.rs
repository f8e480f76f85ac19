use std::collections::HashMap;
use std::time::Duration;

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Error, PgPool};
use tokio::time::{Instant, sleep};

/// One migrator per database at a time, of whatever service.
const LOCK: i64 = 7_381_240_917_523_384_100;
const LOCK_POLL: Duration = Duration::from_millis(200);
const LOCK_PATIENCE: Duration = Duration::from_mins(10);

/// Why a schema is not the one that this program knows.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Migrations are missing: run `migrate` first.
    #[error("migrations {0:?} are missing in {1}: run `migrate` first")]
    Missing(Vec<i64>, String),
    /// A newer program has migrated it.
    #[error("{1} has migrations {0:?}, which this version does not know: run the newer version")]
    Newer(Vec<i64>, String),
    /// A migration was edited after it had been applied.
    #[error("migration {0} was applied to {1} with another content")]
    Changed(i64, String),
    /// Somebody else is migrating for more than ten minutes.
    #[error("another migration is running")]
    Locked,
    /// A migration failed.
    #[error("a migration failed")]
    Migrate(#[from] MigrateError),
    /// Postgres failed.
    #[error("postgres failed")]
    Database(#[from] Error),
}

/// Applies what is missing, on a connection of its own and without the statement timeout. Refuses a schema that a newer version has migrated.
///
/// The lock is tried, not waited for: a session that waits in a statement holds a snapshot, and `CREATE INDEX CONCURRENTLY` waits for
/// snapshots.
pub async fn migrate(pool: &PgPool, migrator: &Migrator) -> Result<(), SchemaError> {
    let mut conn = PgConnection::connect_with(&pool.connect_options()).await?;
    let outcome = locked(&mut conn, migrator).await;
    // Closing ends the session's locks and settings, whatever happened.
    let closed = conn.close().await;
    outcome?;
    Ok(closed?)
}

async fn locked(conn: &mut PgConnection, migrator: &Migrator) -> Result<(), SchemaError> {
    let give_up = Instant::now() + LOCK_PATIENCE;
    while !sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut *conn)
        .await?
    {
        if Instant::now() > give_up {
            return Err(SchemaError::Locked);
        }
        sleep(LOCK_POLL).await;
    }
    sqlx::query("SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '10s', false)")
        .execute(&mut *conn)
        .await?;
    let table = &*migrator.table_name;
    let applied = applied(conn, table).await?;
    match compare(migrator, &applied) {
        Ok(()) => return Ok(()),
        Err(SchemaError::Missing(..)) => {}
        Err(error) => return Err(error),
    }
    migrator.run_direct(None, conn, false).await?;
    Ok(())
}

/// Refuses a schema that lacks migrations, has newer ones, or had one edited after it was applied.
pub async fn check_schema(pool: &PgPool, migrator: &Migrator) -> Result<(), SchemaError> {
    let mut conn = pool.acquire().await?;
    let applied = applied(&mut conn, &migrator.table_name).await?;
    compare(migrator, &applied)
}

/// What `table` counts; nothing if it does not exist.
async fn applied(conn: &mut PgConnection, table: &str) -> Result<Vec<AppliedMigration>, SchemaError> {
    match conn.list_applied_migrations(table).await {
        Ok(applied) => Ok(applied),
        Err(MigrateError::Execute(Error::Database(error)))
            if matches!(error.code().as_deref(), Some("42P01" | "3F000")) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error.into()),
    }
}

fn compare(migrator: &Migrator, applied: &[AppliedMigration]) -> Result<(), SchemaError> {
    let table = || migrator.table_name.clone().into_owned();
    let ups = || {
        migrator
            .iter()
            .filter(|migration| migration.migration_type.is_up_migration())
    };
    let newer: Vec<i64> = applied
        .iter()
        .map(|found| found.version)
        .filter(|version| !migrator.version_exists(*version))
        .collect();
    if !newer.is_empty() {
        return Err(SchemaError::Newer(newer, table()));
    }
    let checksums: HashMap<i64, &[u8]> = applied.iter().map(|found| (found.version, &*found.checksum)).collect();
    if let Some(edited) = ups().find(|migration| {
        checksums
            .get(&migration.version)
            .is_some_and(|found| **found != *migration.checksum)
    }) {
        return Err(SchemaError::Changed(edited.version, table()));
    }
    let missing: Vec<i64> = ups()
        .map(|migration| migration.version)
        .filter(|version| !checksums.contains_key(version))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(SchemaError::Missing(missing, table()))
    }
}
