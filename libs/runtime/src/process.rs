use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use outeract_clock::{SystemClock, SystemRandom};
use outeract_postgres::{check_schema, connect};
use outeract_rpc::page::PageTokens;
use outeract_rpc::{Admission, BoxError, Limits, Server};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::{self, Base};
use crate::config::Env;
use crate::health::Health;
use crate::http1::Http1;
use crate::ops::Ops;
use crate::probe::Probes;
use crate::service::{Context, Service};
use crate::stop::Stop;
use crate::tasks::{OnExit, Tasks};
use crate::telemetry::{LogControl, Telemetry};

/// A service that runs. [`crate::main`] makes one; tests may make several in one process, without its telemetry.
pub struct Process {
    addresses: Addresses,
    terminate: CancellationToken,
    stop: Stop,
    tasks: Tasks,
    health: Health,
    db: PgPool,
    listeners: JoinSet<&'static str>,
    ops: JoinSet<()>,
    delay: Duration,
    grace: Duration,
}

/// Where a process listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// gRPC for applications.
    pub application: SocketAddr,
    /// gRPC for siblings and operators.
    pub internal: SocketAddr,
    /// Probes and measures.
    pub ops: SocketAddr,
    /// The HTTP edge, where the service has one.
    pub edge: Option<SocketAddr>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that had begun was finished.
    Finished,
    /// The deadline or a second signal ended what had not finished.
    Forced,
    /// A task without which it cannot do had ended.
    Failed,
}

/// What is bound before anything runs.
struct Listeners {
    application: TcpListener,
    internal: TcpListener,
    edge: Option<TcpListener>,
}

/// How long the database may be away when the process begins.
const DATABASE_PATIENCE: Duration = Duration::from_secs(30);
const DATABASE_PAUSE: Duration = Duration::from_secs(1);
/// After the hard stop, tasks get this long to notice it.
const NOTICE: Duration = Duration::from_secs(1);

/// What a process takes from `main`, if it has one.
#[derive(Clone)]
pub(crate) struct Instruments {
    log: LogControl,
    metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
}

// === impl Instruments ===

impl Instruments {
    pub(crate) fn of(telemetry: &Telemetry) -> Self {
        Self {
            log: telemetry.log.clone(),
            metrics: Some(telemetry.metrics.clone()),
        }
    }

    fn none() -> Self {
        Self {
            log: LogControl::new(crate::telemetry::LogFilter::default(), Box::new(|_| true)),
            metrics: None,
        }
    }
}

// === impl Process ===

impl Process {
    /// Starts the service `S` as `env` says, in this process and without touching its telemetry and signals.
    pub async fn start<S: Service>(env: &Env) -> Result<Self, BoxError> {
        let (base, config) = base::read::<S>(env)?;
        Self::start_with::<S>(base, config, Instruments::none()).await
    }

    pub(crate) async fn start_with<S: Service>(
        base: Base,
        config: S::Config,
        instruments: Instruments,
    ) -> Result<Self, BoxError> {
        let context = context::<S>(&base).await?;
        check_schema(&context.db, S::migrator()).await?;
        let (stop, tasks, health) = (context.stop.clone(), context.tasks.clone(), context.health.clone());
        let db = context.db.clone();

        let ops_listener = TcpListener::bind(base.ops_listen).await?;
        let ops_address = ops_listener.local_addr()?;
        let ops = Ops {
            health: health.clone(),
            db: db.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
            log: instruments.log,
            metrics: instruments.metrics.clone(),
        };
        let mut ops_tasks = JoinSet::new();
        // Never drained: it answers until the process is gone.
        ops_tasks.spawn(Http1::ops().serve(ops_listener, ops.router(), CancellationToken::new()));
        if let Some(metrics) = instruments.metrics {
            ops_tasks.spawn(upkeep(metrics));
        }

        let listeners = bind(&base).await?;
        let mut addresses = listeners.addresses(ops_address)?;
        let endpoints = S::build(context, config).await?;
        if endpoints.edge.is_none() {
            addresses.edge = None;
        }
        let mut process = Self {
            addresses,
            terminate: CancellationToken::new(),
            stop,
            tasks,
            health,
            db,
            listeners: JoinSet::new(),
            ops: ops_tasks,
            delay: base.shutdown_delay,
            grace: base.shutdown_grace,
        };
        process.listen::<S>(&base, listeners, endpoints)?;
        process.health.set_process(true);
        tracing::info!(
            application = %addresses.application,
            internal = %addresses.internal,
            ops = %addresses.ops,
            "Started outeract-{}",
            S::NAME
        );
        Ok(process)
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Stops the process as a first SIGTERM does, when called once, and as a second does, when called again.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + 'static {
        let (terminate, stop) = (self.terminate.clone(), self.stop.clone());
        move || {
            if terminate.is_cancelled() {
                stop.abort();
            }
            terminate.cancel();
        }
    }

    /// Runs until it is stopped or fails, then stops in order: not ready, the delay, the soft stop with a drain of at most the grace, the hard stop.
    pub async fn wait(mut self) -> Outcome {
        tokio::select! {
            () = self.terminate.cancelled() => {
                self.health.set_process(false);
                tracing::info!(delay_ms = self.delay.as_millis() as u64, "Stopping: no longer ready");
                tokio::select! {
                    () = tokio::time::sleep(self.delay) => {}
                    () = self.stop.soft().cancelled() => {}
                }
            }
            () = self.stop.soft().cancelled() => self.health.set_process(false),
            Some(ended) = self.listeners.join_next() => {
                tracing::error!(listener = ended.unwrap_or("panicked"), "A listener ended that should not");
                return self.end(true).await;
            }
        }
        self.end(false).await
    }

    async fn end(mut self, failed: bool) -> Outcome {
        let began = Instant::now();
        tracing::info!(grace_ms = self.grace.as_millis() as u64, "Stopping: draining");
        self.stop.begin();
        let drained = {
            let finished = async {
                while self.listeners.join_next().await.is_some() {}
                // With the last connection go the routes and with them the handles that background tasks wait for.
                self.tasks.ended().await;
            };
            tokio::select! {
                () = finished => true,
                () = tokio::time::sleep(self.grace) => false,
                () = self.stop.hard().cancelled() => false,
            }
        };
        if !drained {
            tracing::warn!(
                connections_open = !self.listeners.is_empty(),
                tasks = self.tasks.running().join(" "),
                "Stopping: ending what has not finished"
            );
            self.stop.abort();
            self.listeners.abort_all();
            let _ = tokio::time::timeout(NOTICE, self.tasks.ended()).await;
        }
        let _ = tokio::time::timeout(NOTICE, self.db.close()).await;
        self.ops.abort_all();
        let outcome = match (failed || self.tasks.failed(), drained) {
            (true, _) => Outcome::Failed,
            (false, true) => Outcome::Finished,
            (false, false) => Outcome::Forced,
        };
        tracing::info!(elapsed_ms = began.elapsed().as_millis() as u64, ?outcome, "Stopped");
        outcome
    }

    fn listen<S: Service>(
        &mut self,
        base: &Base,
        listeners: Listeners,
        endpoints: crate::service::Endpoints,
    ) -> Result<(), BoxError> {
        let soft = self.stop.soft().clone();
        let probes = Probes::new(S::NAME, base.reflection);
        self.tasks.spawn(
            "health",
            OnExit::StopProcess,
            probes.follow(&self.health, self.stop.clone()),
        );
        let application = probes.application(endpoints.application)?;
        let internal = probes.internal(endpoints.internal)?;
        let keys = endpoints.keys;
        let limits = Limits {
            quota: base.quota,
            ..Limits::application()
        };
        let application = Server::new(Admission::Applications(keys.clone()), application, limits, soft.clone());
        let siblings = Admission::Siblings(base.peers.clone(), keys);
        let internal = Server::new(siblings, internal, Limits::internal(), soft.clone());
        self.spawn_listener("application", application.serve(listeners.application));
        self.spawn_listener("internal", internal.serve(listeners.internal));
        if let (Some(router), Some(listener)) = (endpoints.edge, listeners.edge) {
            let edge = Http1::edge().serve(listener, router, soft.clone());
            self.spawn_listener("edge", edge);
        }
        Ok(())
    }

    fn spawn_listener(&mut self, name: &'static str, serve: impl Future<Output = ()> + Send + 'static) {
        self.listeners.spawn(async move {
            serve.await;
            name
        });
    }
}

/// What the service and its commands work with.
pub(crate) async fn context<S: Service>(base: &Base) -> Result<Context, BoxError> {
    let stop = Stop::new();
    Ok(Context {
        identity: base.identity.clone(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        db: patient_connect(base, S::NAME).await?,
        key_ring: Arc::clone(&base.key_ring),
        page_tokens: PageTokens::new(&base.key_ring.keyed_hash("page-token", b"")),
        tasks: Tasks::new(stop.clone()),
        stop,
        health: Health::new(),
    })
}

/// Processes and their database often begin together.
async fn patient_connect(base: &Base, name: &'static str) -> Result<PgPool, sqlx::Error> {
    let give_up = Instant::now() + DATABASE_PATIENCE;
    loop {
        match connect(&base.postgres, name).await {
            Ok(db) => return Ok(db),
            Err(cause @ (sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut)) if Instant::now() < give_up => {
                tracing::warn!(%cause, "The database is away; trying again");
                tokio::time::sleep(DATABASE_PAUSE).await;
            }
            Err(cause) => return Err(cause),
        }
    }
}

async fn bind(base: &Base) -> Result<Listeners, std::io::Error> {
    Ok(Listeners {
        application: TcpListener::bind(base.listen).await?,
        internal: TcpListener::bind(base.internal_listen).await?,
        edge: match base.edge_listen {
            Some(address) => Some(TcpListener::bind(address).await?),
            None => None,
        },
    })
}

/// Histograms keep every sample until someone looks.
async fn upkeep(metrics: metrics_exporter_prometheus::PrometheusHandle) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        metrics.run_upkeep();
    }
}

// === impl Listeners ===

impl Listeners {
    fn addresses(&self, ops: SocketAddr) -> Result<Addresses, std::io::Error> {
        Ok(Addresses {
            application: self.application.local_addr()?,
            internal: self.internal.local_addr()?,
            ops,
            edge: self.edge.as_ref().map(TcpListener::local_addr).transpose()?,
        })
    }
}
