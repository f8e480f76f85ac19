//! Postgres and Redis for one command: those of the environment, or private ones.

use outeract_dev::{Instance, Postgres, PostgresPrograms, Redis, RedisProgram, Result};

/// Two databases that live as long as this value.
pub(super) struct Databases {
    /// A superuser's URL.
    pub(super) database_url: String,
    pub(super) redis_url: String,
    pub(super) instance: Instance,
    _postgres: Option<Postgres>,
    _redis: Option<Redis>,
}

impl Databases {
    /// Takes `DATABASE_URL` and `REDIS_URL`, or starts what is missing.
    pub(super) fn provide() -> Result<Self> {
        let given = |key| std::env::var(key).ok().filter(|url| !url.is_empty());
        let instance = Instance::create()?;
        let (postgres, database_url) = if let Some(url) = given("DATABASE_URL") {
            println!("Postgres: from DATABASE_URL");
            (None, url)
        } else {
            let programs = PostgresPrograms::find_or_install()?;
            let server = Postgres::start(&instance, &programs, &[])?;
            println!(
                "Postgres: {} on port {}, from {}",
                programs.version(),
                server.port(),
                programs.directory().display()
            );
            let url = server.url("postgres");
            (Some(server), url)
        };
        let (redis, redis_url) = if let Some(url) = given("REDIS_URL") {
            println!("Redis: from REDIS_URL");
            (None, url)
        } else {
            let server = Redis::start(&instance, &RedisProgram::find_or_install()?)?;
            println!("Redis: {}", server.url());
            let url = server.url();
            (Some(server), url)
        };
        Ok(Self {
            database_url,
            redis_url,
            instance,
            _postgres: postgres,
            _redis: redis,
        })
    }
}
