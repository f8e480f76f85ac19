use std::str::FromStr;
use std::time::Duration;

use metrics::gauge;
use outeract_seal::Secret;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Error, PgConnection};
use tokio::time::timeout;

use crate::transaction::PATIENCE;

const ACQUIRE: Duration = Duration::from_secs(2);
/// A connection that rested longer is asked whether it still lives.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_mins(5);
const LIFETIME: Duration = Duration::from_mins(30);

/// Where a service's database is and how much of it the service may use.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// `postgres://outeract_<service>:<password>@<host>/<database>`.
    pub url: Secret,
    /// The pool's size.
    pub max_connections: u32,
}

/// A pool for `service`. Fails when the database cannot be reached within two seconds.
///
/// Statements are cut at 5 s, waits for locks at 2 s, idle transactions at 10 s, and waits for a connection at 2 s.
pub async fn connect(config: &PostgresConfig, service: &str) -> Result<PgPool, Error> {
    let options = options(&config.url)?.application_name(&format!("outeract-{service}"));
    PgPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(IDLE)
        .max_lifetime(LIFETIME)
        // A busy connection proves itself: asking before each use would cost a round trip per statement.
        .test_before_acquire(false)
        .before_acquire(|conn, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED_IDLE {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        // The pool itself asks a returned connection whether it lives, and without end: a caller that was cancelled before a silent server
        // would cost a slot for ever.
        .after_release(|conn, _| {
            Box::pin(async move {
                timeout(PATIENCE, conn.ping())
                    .await
                    .map_err(|_| Error::PoolTimedOut)??;
                Ok(true)
            })
        })
        .after_connect(|conn, _| Box::pin(bound(conn)))
        .connect_with(options)
        .await
}

/// Sets the gauge `postgres_pool_connections` by `state` (`busy`, `idle`).
pub fn record_pool(pool: &PgPool) {
    let idle = pool.num_idle().min(pool.size() as usize);
    gauge!("postgres_pool_connections", "state" => "idle").set(idle as f64);
    gauge!("postgres_pool_connections", "state" => "busy").set((pool.size() as usize - idle) as f64);
}

/// The URL's options, without what `PgBouncer` refuses at the start of a session.
pub(crate) fn options(url: &Secret) -> Result<PgConnectOptions, Error> {
    Ok(PgConnectOptions::from_str(url.expose())?.extra_float_digits(None))
}

/// The bounds of every statement. `bootstrap.sql` gives them to the roles too; roles made otherwise are bound by this.
pub(crate) async fn bound(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query(
        "SELECT set_config('statement_timeout', '5s', false), set_config('lock_timeout', '2s', false), \
         set_config('idle_in_transaction_session_timeout', '10s', false)",
    )
    .persistent(false)
    .execute(conn)
    .await?;
    Ok(())
}
