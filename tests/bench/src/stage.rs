//! What scenarios run on: release binaries, a private Postgres with the settings of a small server, floors as processes.

use std::env;
use std::time::Duration;

use anyhow::{Context, Result};
use outeract_dev::{
    Instance, Postgres, PostgresPrograms, Process, Program, Psql, Redis, RedisProgram, Service, Suite, SuiteOptions,
};
use outeract_e2e::{Admin, Api, Urls, open_windows};
use outeract_proto::tracking::internal::v1::tracking_internal_service_client::TrackingInternalServiceClient;
use outeract_rpc::{Channel, ServiceCredential};
use outeract_simulator::Switches;
use outeract_simulator::control::{Client as Simulator, NewWorld, Tier, WorldCreated};
use sqlx::PgPool;

use crate::cpu::Watch;

/// Everything that a scenario needs.
pub(crate) struct Stage {
    pub(crate) suite: Suite,
    pub(crate) postgres: Postgres,
    pub(crate) simulator: Simulator,
    pub(crate) admin: Admin,
    pub(crate) urls: Urls,
    pub(crate) pool: PgPool,
    instance: Instance,
    _redis: Redis,
}

/// An application with its numbers.
pub(crate) struct Tenant {
    pub(crate) api: Api,
    pub(crate) meta: WorldCreated,
    pub(crate) connections: Vec<String>,
}

const POSTGRES: &[(&str, &str)] = &[
    ("shared_buffers", "2GB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("synchronous_commit", "on"),
    ("fsync", "on"),
    ("full_page_writes", "on"),
];

/// Load comes from one application, and to few users: what limits either is not what is measured.
const UNLIMITED: [(&str, &str); 2] = [("RPC_QUOTA_PER_MINUTE", "0"), ("RPC_APPLICATION_CALLS", "1024")];

/// `BENCH_STATEMENTS=1` prints what each statement cost Postgres; measuring that has a cost of its own.
fn statements_wanted() -> bool {
    env::var_os("BENCH_STATEMENTS").is_some()
}

impl Stage {
    /// Begins to count statements anew, if that is wanted.
    pub(crate) async fn count_statements(&self) -> Result<()> {
        if statements_wanted() {
            sqlx::query("SELECT pg_stat_statements_reset()")
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }

    /// Prints the statements that took longest since the count began, if that is wanted.
    pub(crate) async fn print_statements(&self) -> Result<()> {
        if !statements_wanted() {
            return Ok(());
        }
        let rows: Vec<(i64, f64, i64, String)> = sqlx::query_as(
            "SELECT calls, total_exec_time, rows, regexp_replace(left(query, 400), '\\s+', ' ', 'g') FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 25",
        )
        .fetch_all(&self.pool)
        .await?;
        for (calls, milliseconds, rows, text) in rows {
            println!(
                "  {milliseconds:9.0} ms {calls:7} calls {:7.0} us each {rows:8} rows  {}",
                milliseconds * 1_000.0 / calls.max(1) as f64,
                text.chars().take(150).collect::<String>()
            );
        }
        Ok(())
    }

    /// Starts everything; `bare` sends Graph calls to the simulator's floor, which accepts everything at once.
    pub(crate) async fn start(bare: bool, settings: &[(Service, &str, &str)]) -> Result<Self> {
        let instance = Instance::create().map_err(anyhow::Error::msg)?;
        let programs = PostgresPrograms::find().map_err(anyhow::Error::msg)?;
        let mut settings_of_postgres = POSTGRES.to_vec();
        if statements_wanted() {
            settings_of_postgres.push(("shared_preload_libraries", "pg_stat_statements"));
        }
        let postgres = Postgres::start(&instance, &programs, &settings_of_postgres).map_err(anyhow::Error::msg)?;
        let redis =
            Redis::start(&instance, &RedisProgram::find().map_err(anyhow::Error::msg)?).map_err(anyhow::Error::msg)?;
        let psql = Psql::find().map_err(anyhow::Error::msg)?;
        psql.run(&postgres.url("postgres"), &["-c", "CREATE DATABASE outeract"])
            .map_err(anyhow::Error::msg)?;
        let options = SuiteOptions::new(postgres.url("outeract"), redis.url(), "target/bench/logs");
        let mut suite = Suite::new(&instance, options).map_err(anyhow::Error::msg)?;
        if bare {
            let floor = format!("{}/bare", suite.graph_base_url());
            suite
                .service(Service::Messaging)
                .map_err(anyhow::Error::msg)?
                .set("GRAPH_BASE_URL", &floor);
        }
        for service in Service::ALL {
            suite
                .service(service)
                .map_err(anyhow::Error::msg)?
                .set("OUTERACT_LOG", "warn");
        }
        println!("  the pair rate and the applications' quotas are switched off");
        for service in Service::ALL {
            let service = suite.service(service).map_err(anyhow::Error::msg)?;
            for (key, value) in UNLIMITED {
                service.set(key, value);
            }
        }
        let messaging = suite.service(Service::Messaging).map_err(anyhow::Error::msg)?;
        messaging.set("MESSAGING_PAIR_INTERVAL", "0s");
        for (service, key, value) in settings {
            suite.service(*service).map_err(anyhow::Error::msg)?.set(key, value);
        }
        suite.migrate().map_err(anyhow::Error::msg)?;
        suite.start(Duration::from_mins(1)).map_err(anyhow::Error::msg)?;
        let urls = Urls::new(suite.client_environment());
        let simulator = Simulator::new(urls.get("GRAPH_URL")?)?;
        let admin = Admin::new(&urls)?;
        let pool = PgPool::connect(&postgres.url("outeract")).await?;
        if statements_wanted() {
            sqlx::query("CREATE EXTENSION pg_stat_statements")
                .execute(&pool)
                .await?;
        }
        Ok(Self {
            suite,
            postgres,
            simulator,
            admin,
            urls,
            pool,
            instance,
            _redis: redis,
        })
    }

    /// An application with `numbers` numbers of `throughput` messages a second each, and no limit of Meta's but that. A thousand users have written to each number.
    pub(crate) async fn tenant(&self, name: &str, numbers: usize, throughput: u32) -> Result<Tenant> {
        let api = self.admin.create_application(name).await?;
        let new = NewWorld {
            numbers_per_waba: numbers,
            throughput,
            tier: Tier::Unlimited,
            ..NewWorld::default()
        };
        let meta = self.simulator.create_world(&new).await?;
        let waba = meta.wabas.first().context("a WABA")?;
        let connections = api.connect(&waba.token, &waba.waba_id).await?;
        let connections = connections.into_iter().map(|connection| connection.id).collect();
        println!("  the simulator's window, pair rate and tier are switched off");
        let switches = Switches {
            throughput: true,
            ..Switches::OFF
        };
        self.simulator.set_switches(switches).await?;
        open_windows(&self.pool, (0..1_000).map(|user| format!("+1415555{user:04}"))).await?;
        Ok(Tenant { api, meta, connections })
    }

    /// Watches the services, Postgres, the simulator and this process.
    pub(crate) fn watch(&mut self) -> Watch {
        let mut watch = Watch::default();
        for service in Service::ALL {
            if let Some(pid) = self.suite.service(service).ok().and_then(outeract_dev::Replica::pid) {
                watch.add(service.name(), pid);
            }
        }
        watch.add("postgres", self.postgres.pid());
        if let Some(simulator) = self.suite.simulator() {
            watch.add("simulator", simulator.pid());
        }
        watch.add_self("load");
        watch
    }

    /// Starts a floor as a process of its own; it ends when what is returned is dropped.
    pub(crate) fn floor(&self, kind: &str) -> Result<(Process, String)> {
        let port = self.instance.port().map_err(anyhow::Error::msg)?;
        let address = format!("127.0.0.1:{port}");
        let program = Program::new(env::current_exe()?, format!("target/bench/logs/{kind}.log"))
            .arguments(["__floor", kind, &address])
            .environment([
                ("FLOOR_APP_SECRET".to_owned(), self.urls.get("APP_SECRET")?.to_owned()),
                ("FLOOR_DATABASE_URL".to_owned(), self.postgres.url("outeract")),
            ]);
        let mut process = self.instance.spawn(kind, &program).map_err(anyhow::Error::msg)?;
        let reachable = || std::net::TcpStream::connect(&address).is_ok();
        process
            .wait_until(Duration::from_secs(20), reachable)
            .map_err(anyhow::Error::msg)?;
        Ok((process, address))
    }

    /// The tracking service as the webhook service sees it.
    pub(crate) fn tracking(&self) -> Result<TrackingInternalServiceClient<Channel>> {
        let service = Service::Webhook;
        let credential =
            ServiceCredential::new(service.name(), self.suite.secrets().of(service)).context("a credential")?;
        let channel = Channel::new(self.urls.get("TRACKING_INTERNAL_URL")?, credential)?;
        Ok(TrackingInternalServiceClient::new(channel))
    }

    /// Bytes of WAL written so far.
    pub(crate) async fn wal_bytes(&self) -> Result<f64> {
        let bytes: f64 = sqlx::query_scalar("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8")
            .fetch_one(&self.pool)
            .await?;
        Ok(bytes)
    }
}
