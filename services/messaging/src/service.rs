//! The service put together.

use std::sync::Arc;

use outeract_buckets::{Buckets, BucketsConfig};
use outeract_egress as egress;
use outeract_graph::Client;
use outeract_proto::messaging::admin::v1::admin_service_server::AdminServiceServer;
use outeract_proto::messaging::internal::v1::messaging_internal_service_server::MessagingInternalServiceServer;
use outeract_proto::messaging::v1::messaging_service_server::MessagingServiceServer;
use outeract_rpc::{BoxError, RemoteKeys};
use outeract_runtime::{Context, Endpoints, OnExit, Service};
use sqlx::migrate::Migrator;
use tonic::service::Routes;
use uuid::Uuid;

use crate::accept::prepare::Preparer;
use crate::accept::{Acceptor, Contacts};
use crate::apply::Applier;
use crate::config::{Config, Timing};
use crate::dispatch::{self, Aftermath, Dispatch, Needs};
use crate::forward::{self, Forwarder, Sweeper};
use crate::ids::MessageIds;
use crate::limits::{Limits, Waker};
use crate::projection::{self, Keeper, Projection};
use crate::receipts::Receipts;
use crate::rpc;
use crate::upkeep;
use crate::vault::Vault;
use crate::waiters::Waiters;
use crate::window::Windows;

/// The messaging service.
#[derive(Debug)]
pub struct Messaging;

/// Callers that wait for Meta's answer at a time.
const WAITERS: usize = 4_096;

impl Service for Messaging {
    const NAME: &'static str = "messaging";
    type Config = Config;

    fn migrator() -> &'static Migrator {
        migrator()
    }

    async fn build(context: Context, config: Config) -> Result<Endpoints, BoxError> {
        build(context, config, Timing::default()).await
    }
}

/// The migrations of the schema `messaging`.
pub fn migrator() -> &'static Migrator {
    static MIGRATOR: Migrator = sqlx::migrate!();
    &MIGRATOR
}

/// Wires the service and begins its tasks.
pub async fn build(context: Context, config: Config, timing: Timing) -> Result<Endpoints, BoxError> {
    let connection = context.channel(&config.connection_url)?;
    let tracking = context.channel(&config.tracking_url)?;
    let http = egress::Client::new(&egress::Config {
        total_timeout: timing.call_budget,
        idle_connections: config.calls_in_flight,
        ..egress::Config::default()
    })?;
    let graph = Client::new(http, &config.graph_base_url, &config.graph_api_version);
    let buckets = Buckets::connect(&BucketsConfig {
        url: config.redis_url.clone(),
        prefix: config.redis_prefix.clone(),
        max_replicas: config.max_replicas,
    })?;
    let worker = worker_id(&context);
    let vault = Vault::new(Arc::clone(&context.key_ring), Arc::clone(&context.random));
    let projection = Projection::new(context.db.clone(), vault.clone());
    let keeper = Arc::new(Keeper::new(projection.clone(), connection.clone()));
    let waiters = Waiters::new(WAITERS);
    let contacts = Contacts::new(Arc::clone(&context.clock), Arc::clone(&context.random));
    let forwarder = Forwarder::start(&context, tracking.clone());
    let windows = Windows::new();
    let aftermath = Aftermath::start(&context, windows.clone(), projection.clone());
    let keys = context.authenticator(RemoteKeys::new(connection.clone()));

    let needs = Needs {
        config,
        timing,
        worker,
        vault: vault.clone(),
        projection: projection.clone(),
        windows: windows.clone(),
        aftermath: aftermath.clone(),
        waiters: waiters.clone(),
        forwarder: forwarder.clone(),
        connection,
        graph,
        buckets,
    };
    let Dispatch {
        hints,
        recorder,
        reader,
    } = dispatch::start(&context, needs);
    let receipts = Receipts::start(&context, vault.clone(), projection.clone(), reader.clone());
    let acceptor = Acceptor::start(&context, contacts.clone(), windows.clone(), hints.clone(), forwarder);

    let sweeper = Sweeper {
        db: context.db.clone(),
        vault: vault.clone(),
        projection: projection.clone(),
        client: forward::recorder(tracking),
        aftermath: aftermath.clone(),
        worker,
        cursor: (Vec::new(), Uuid::nil()),
    };
    context.tasks.spawn(
        "forward.sweep",
        OnExit::StopProcess,
        forward::sweep(sweeper, timing, context.stop.clone()),
    );
    context.tasks.spawn(
        "projection",
        OnExit::StopProcess,
        projection::keep(Arc::clone(&keeper), timing, context.stop.clone()),
    );
    context.tasks.spawn(
        "projection.holds",
        OnExit::StopProcess,
        projection::keep_holds(projection.clone(), timing, context.stop.clone()),
    );
    context.tasks.spawn(
        "limits",
        OnExit::StopProcess,
        Waker::new(context.db.clone(), projection.clone(), worker).run(timing, context.stop.clone()),
    );
    context.tasks.spawn(
        "upkeep",
        OnExit::StopProcess,
        upkeep::keep_house(context.db.clone(), worker, context.stop.clone()),
    );

    let applier = Applier {
        db: context.db.clone(),
        clock: Arc::clone(&context.clock),
        vault: vault.clone(),
        projection: projection.clone(),
        keeper,
        contacts,
        recorder: recorder.clone(),
        receipts,
        windows,
        aftermath,
        limits: Limits::new(context.db.clone(), projection.clone()),
    };
    let internal = rpc::Internal {
        context: context.clone(),
        projection: projection.clone(),
        applier: Arc::new(applier),
        hints: hints.clone(),
        waiters: waiters.clone(),
    };
    let admin = rpc::Admin {
        context: context.clone(),
        projection: projection.clone(),
    };
    let ids = MessageIds::new(Arc::clone(&context.clock), Arc::clone(&context.random));
    let preparer = Preparer {
        vault: vault.clone(),
        ids: Arc::new(ids),
        projection: projection.clone(),
    };
    let application = rpc::Messaging {
        context,
        vault,
        preparer,
        projection,
        acceptor,
        waiters,
        hints,
        recorder,
        reader,
        patience: time::Duration::try_from(timing.patience).unwrap_or(time::Duration::MAX),
    };
    Ok(Endpoints::new(keys)
        .application(Routes::new(MessagingServiceServer::new(application)))
        .internal(
            Routes::new(MessagingInternalServiceServer::new(internal)).add_service(AdminServiceServer::new(admin)),
        ))
}

fn worker_id(context: &Context) -> Uuid {
    let mut bytes = [0; 16];
    context.random.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
