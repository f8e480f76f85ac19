use outeract_seal::Secret;
use sqlx::{Connection as _, Error, PgConnection};

/// `bootstrap.sql`, for whoever runs it with psql.
pub const BOOTSTRAP_SQL: &str = include_str!("../bootstrap.sql");

/// The four owners of a schema.
pub const SERVICES: [&str; 4] = ["connection", "messaging", "webhook", "tracking"];

/// Passwords to give to the services' roles; a role without one keeps what it has.
#[derive(Debug, Clone, Default)]
pub struct Passwords {
    /// Of `outeract_connection`.
    pub connection: Option<Secret>,
    /// Of `outeract_messaging`.
    pub messaging: Option<Secret>,
    /// Of `outeract_webhook`.
    pub webhook: Option<Secret>,
    /// Of `outeract_tracking`.
    pub tracking: Option<Secret>,
}

/// Makes the roles and schemas in the database of `conn`, as `bootstrap.sql` says. Harmless to repeat.
pub async fn bootstrap(conn: &mut PgConnection, passwords: &Passwords) -> Result<(), Error> {
    let mut tx = conn.begin().await?;
    for (setting, password) in [
        ("outeract.connection_password", &passwords.connection),
        ("outeract.messaging_password", &passwords.messaging),
        ("outeract.webhook_password", &passwords.webhook),
        ("outeract.tracking_password", &passwords.tracking),
    ] {
        let password = password.as_ref().map_or("", |password| password.expose());
        // Of this transaction only.
        sqlx::query("SELECT set_config($1, $2, true)")
            .bind(setting)
            .bind(password)
            .execute(&mut *tx)
            .await?;
    }
    sqlx::raw_sql(BOOTSTRAP_SQL).execute(&mut *tx).await?;
    tx.commit().await
}

// === impl Passwords ===

impl Passwords {
    /// The same password for all four: for databases that only tests see.
    pub fn same(password: &str) -> Self {
        let password = || Some(Secret::from(password));
        Self {
            connection: password(),
            messaging: password(),
            webhook: password(),
            tracking: password(),
        }
    }
}
