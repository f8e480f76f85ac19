use std::path::{Path, PathBuf};

use outeract_postgres::{Passwords, PostgresConfig, SERVICES, bootstrap, migrate};
use outeract_seal::Secret;
use sha2::{Digest as _, Sha256};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Error, PgConnection};

use crate::admin::execute;
use crate::database::{PASSWORD, role_url};

/// The template's name: it changes with anything that would change its content.
pub(crate) fn name(services: &[String]) -> Result<String, String> {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    add(outeract_postgres::BOOTSTRAP_SQL.as_bytes());
    for service in services {
        if !SERVICES.contains(&service.as_str()) {
            return Err(format!("there is no service {service}"));
        }
        add(service.as_bytes());
        for file in files(&migrations(service)) {
            add(file.file_name().unwrap_or_default().as_encoded_bytes());
            add(&std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?);
        }
    }
    Ok(format!("outeract_template_{}", hex::encode(&hash.finalize()[..8])))
}

pub(crate) async fn exists(conn: &mut PgConnection, template: &str) -> Result<bool, Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(template)
        .fetch_one(conn)
        .await
}

/// Builds the template, unless another process has meanwhile. The caller holds the build lock alone.
pub(crate) async fn build(
    conn: &mut PgConnection,
    options: &PgConnectOptions,
    template: &str,
    services: &[String],
) -> Result<(), String> {
    let describe = |error: Error| error.to_string();
    if exists(conn, template).await.map_err(describe)? {
        return Ok(());
    }
    drop_unused(conn).await.map_err(describe)?;
    let draft = format!("{template}_draft");
    execute(conn, format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)"))
        .await
        .map_err(describe)?;
    execute(conn, format!("CREATE DATABASE {draft}"))
        .await
        .map_err(describe)?;
    let passwords = missing_passwords(conn).await.map_err(describe)?;
    let options = options.clone().database(&draft);
    let mut inside = options.connect().await.map_err(describe)?;
    bootstrap(&mut inside, &passwords).await.map_err(describe)?;
    inside.close().await.map_err(describe)?;
    for service in services {
        apply(&options, service)
            .await
            .map_err(|error| format!("migrations of {service}: {error}"))?;
    }
    // A template that failed half-way never gets the name.
    execute(conn, format!("ALTER DATABASE {draft} RENAME TO {template}"))
        .await
        .map_err(describe)?;
    execute(conn, format!("ALTER DATABASE {template} ALLOW_CONNECTIONS false"))
        .await
        .map_err(describe)
}

/// Notes the time for [`drop_unused`].
pub(crate) async fn mark_used(conn: &mut PgConnection, template: &str) {
    // Another process may note the same at the same time; one of them is enough.
    let _ = execute(
        conn,
        format!(
            "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE {template} IS %L', extract(epoch FROM clock_timestamp())::bigint); END $$"
        ),
    )
    .await;
}

/// Drops templates that no test has used for an hour: each edit of a migration leaves one behind.
async fn drop_unused(conn: &mut PgConnection) -> Result<(), Error> {
    let unused: Vec<String> = sqlx::query_scalar(
        r"SELECT datname::text FROM pg_database
          WHERE datname LIKE 'outeract\_template\_%'
            AND coalesce(shobj_description(oid, 'pg_database')::bigint, 0) < extract(epoch FROM clock_timestamp()) - 3600",
    )
    .fetch_all(&mut *conn)
    .await?;
    for template in unused {
        execute(conn, format!("DROP DATABASE IF EXISTS {template} WITH (FORCE)")).await?;
    }
    Ok(())
}

/// Gives a password to roles that have none yet: the roles of a developer's instance keep theirs.
async fn missing_passwords(conn: &mut PgConnection) -> Result<Passwords, Error> {
    let known: Vec<String> = sqlx::query_scalar("SELECT rolname::text FROM pg_authid WHERE rolpassword IS NOT NULL")
        .fetch_all(conn)
        .await?;
    let password = |service: &str| (!known.contains(&format!("outeract_{service}"))).then(|| Secret::from(PASSWORD));
    Ok(Passwords {
        connection: password("connection"),
        messaging: password("messaging"),
        webhook: password("webhook"),
        tracking: password("tracking"),
    })
}

/// Applies a service's migrations as its own role, just as the service does.
async fn apply(options: &PgConnectOptions, service: &str) -> Result<(), Box<dyn std::error::Error>> {
    let directory = migrations(service);
    if files(&directory).is_empty() {
        return Ok(());
    }
    let mut migrator = Migrator::new(directory.as_path()).await?;
    // What the service's sqlx.toml says.
    migrator.dangerous_set_table_name(format!("{service}._sqlx_migrations"));
    let config = PostgresConfig {
        url: role_url(options, service),
        max_connections: 1,
    };
    let pool = outeract_postgres::connect(&config, service).await?;
    let outcome = migrate(&pool, &migrator).await;
    pool.close().await;
    outcome.map_err(|error| chain(&error).into())
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn migrations(service: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../services")
        .join(service)
        .join("migrations")
}

/// The SQL files of a directory in order; none if it does not exist.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    files
}
