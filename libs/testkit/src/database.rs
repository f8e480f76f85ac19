use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use outeract_postgres::{PostgresConfig, SERVICES};
use outeract_seal::Secret;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::admin;

/// Of the services' roles, where they had none.
pub(crate) const PASSWORD: &str = "dev";

/// A database of one test: cloned from a template with the schemas that were asked for, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    options: PgConnectOptions,
    admin: PgPool,
    clock: Mutex<SqlClock>,
}

/// What the schemas' `now_()` tells.
#[derive(Debug, Clone, Copy)]
enum SqlClock {
    /// The real time, and so much.
    Running(Duration),
    Stopped(OffsetDateTime),
}

/// The superuser's URL of the test run's Postgres.
///
/// # Panics
/// When `DATABASE_URL` is not set.
pub fn database_url() -> Secret {
    let url = std::env::var("DATABASE_URL")
        .unwrap_or_else(|_| panic!("DATABASE_URL is not set: run the tests by `cargo dev test`"));
    Secret::new(url)
}

pub(crate) fn options() -> PgConnectOptions {
    PgConnectOptions::from_str(database_url().expose()).expect("DATABASE_URL is a Postgres URL")
}

/// The same database, seen by a service's role.
pub(crate) fn role_url(options: &PgConnectOptions, service: &str) -> Secret {
    let options = options
        .clone()
        .username(&format!("outeract_{service}"))
        .password(PASSWORD);
    Secret::new(options.to_url_lossy().to_string())
}

// === impl TestDatabase ===

impl TestDatabase {
    /// A database with the roles, the four schemas, and the migrations of `services`.
    ///
    /// # Panics
    /// When it cannot be made, with the reason.
    pub async fn create(services: &[&str]) -> Self {
        // Before anything else: a missing DATABASE_URL is said in this test, not in a thread.
        let options = options();
        let name = admin::create(services).await;
        let options = options.database(&name);
        let admin = PgPoolOptions::new()
            .max_connections(2)
            .connect_lazy_with(options.clone());
        Self {
            name,
            options,
            admin,
            clock: Mutex::new(SqlClock::Running(Duration::ZERO)),
        }
    }

    /// A database with the migrations of all four services.
    pub async fn create_all() -> Self {
        Self::create(&SERVICES).await
    }

    /// The URL for `service`'s role.
    pub fn url(&self, service: &str) -> Secret {
        role_url(&self.options, service)
    }

    /// A pool of at most four connections as `service`'s role.
    ///
    /// # Panics
    /// When the role cannot connect.
    pub async fn pool(&self, service: &str) -> PgPool {
        let config = PostgresConfig {
            url: self.url(service),
            max_connections: 4,
        };
        outeract_postgres::connect(&config, service)
            .await
            .expect("the service's role connects")
    }

    /// A small pool as superuser, to look behind a service's back.
    pub fn admin(&self) -> &PgPool {
        &self.admin
    }

    /// Stops the database's clock at `at`.
    pub async fn set_time(&self, at: OffsetDateTime) {
        self.set_clock(SqlClock::Stopped(at)).await;
    }

    /// Moves the database's clock on by `by`: it runs on if it ran, and stands still if it stood.
    pub async fn advance(&self, by: Duration) {
        let now = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        self.set_clock(match now {
            SqlClock::Running(ahead) => SqlClock::Running(ahead + by),
            SqlClock::Stopped(at) => SqlClock::Stopped(at + by),
        })
        .await;
    }

    async fn set_clock(&self, clock: SqlClock) {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = clock;
        let body = match clock {
            SqlClock::Running(ahead) => {
                format!(
                    "SELECT clock_timestamp() + interval '{} microseconds'",
                    ahead.whole_microseconds()
                )
            }
            SqlClock::Stopped(at) => {
                format!(
                    "SELECT timestamptz '{}'",
                    at.format(&Rfc3339).expect("a year that Postgres knows")
                )
            }
        };
        let mut conn = self.admin.acquire().await.expect("the test database");
        for service in SERVICES {
            let found: bool = sqlx::query_scalar("SELECT to_regprocedure($1) IS NOT NULL")
                .bind(format!("{service}.now_()"))
                .fetch_one(&mut *conn)
                .await
                .expect("the catalog");
            if found {
                let sql = format!(
                    "CREATE OR REPLACE FUNCTION {service}.now_() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS $$ {body} $$"
                );
                admin::execute(&mut conn, sql)
                    .await
                    .expect("the schema's clock is replaced");
            }
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        admin::drop_database(std::mem::take(&mut self.name));
    }
}
