//! A whole installation of real processes for one test.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use outeract_dev::{Instance, Postgres, PostgresPrograms, Psql, Redis, RedisProgram, Service, Suite, SuiteOptions};
use outeract_simulator::control::{Client as Simulator, NewWorld, WorldCreated};

use crate::api::{Admin, Api, Urls};
use crate::windows::open_windows;

/// What to change of a world before it starts.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Configuration of services: (service, key, value).
    pub settings: Vec<(Service, &'static str, String)>,
}

/// Postgres, Redis, the simulator and the four services. Everything ends when it is dropped.
#[derive(Debug)]
pub struct World {
    /// The services.
    pub suite: Suite,
    /// The database server.
    pub postgres: Postgres,
    /// Redis.
    pub redis: Redis,
    /// The simulator's control API.
    pub simulator: Simulator,
    /// The operator's calls.
    pub admin: Admin,
    /// Where everything listens.
    pub urls: Urls,
}

const STARTS_WITHIN: Duration = Duration::from_mins(1);

impl World {
    /// Starts everything and waits until it is ready. `name` names the folder of logs.
    pub fn start(name: &str, options: &Options) -> Result<Self> {
        let instance = Instance::create().map_err(anyhow::Error::msg)?;
        let programs = PostgresPrograms::find().map_err(anyhow::Error::msg)?;
        let postgres = Postgres::start(&instance, &programs, &[]).map_err(anyhow::Error::msg)?;
        let redis =
            Redis::start(&instance, &RedisProgram::find().map_err(anyhow::Error::msg)?).map_err(anyhow::Error::msg)?;
        let psql = Psql::find().map_err(anyhow::Error::msg)?;
        psql.run(&postgres.url("postgres"), &["-c", "CREATE DATABASE outeract"])
            .map_err(anyhow::Error::msg)?;
        let suite_options = SuiteOptions::new(postgres.url("outeract"), redis.url(), logs(name));
        let mut suite = Suite::new(&instance, suite_options).map_err(anyhow::Error::msg)?;
        for (service, key, value) in &options.settings {
            suite.service(*service).map_err(anyhow::Error::msg)?.set(key, value);
        }
        suite.migrate().map_err(anyhow::Error::msg)?;
        suite.start(STARTS_WITHIN).map_err(anyhow::Error::msg)?;
        let variables: BTreeMap<String, String> = suite.client_environment();
        let urls = Urls::new(variables);
        let simulator = Simulator::new(urls.get("GRAPH_URL")?)?;
        let admin = Admin::new(&urls)?;
        Ok(Self {
            suite,
            postgres,
            redis,
            simulator,
            admin,
            urls,
        })
    }

    /// An application with one WABA of `numbers` numbers connected: the application, the WABA at Meta, and the connections' ids in the order of the numbers.
    pub async fn connected(&self, name: &str, new: &NewWorld) -> Result<(Api, WorldCreated, Vec<String>)> {
        let api = self.admin.create_application(name).await?;
        let meta = self.simulator.create_world(new).await?;
        let mut connections = Vec::new();
        for waba in &meta.wabas {
            connections.extend(api.connect(&waba.token, &waba.waba_id).await.context("connecting")?);
        }
        Ok((
            api,
            meta,
            connections.into_iter().map(|connection| connection.id).collect(),
        ))
    }

    /// Users have written to every number that is connected, a moment ago.
    pub async fn users_have_written(&self, users: impl IntoIterator<Item = String>) -> Result<()> {
        let db = sqlx::PgPool::connect(&self.database_url()).await?;
        open_windows(&db, users).await
    }

    /// The database, in the superuser's role.
    pub fn database_url(&self) -> String {
        self.postgres.url("outeract")
    }
}

fn logs(name: &str) -> PathBuf {
    let root = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(PathBuf::new, |crate_root| PathBuf::from(crate_root).join("../.."));
    root.join("target/dev/logs").join(name)
}
