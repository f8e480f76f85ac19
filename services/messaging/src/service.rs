//! The service put together.

use std::sync::Arc;
use std::time::Duration;

use outeract_buckets::{Buckets, BucketsConfig};
use outeract_egress as egress;
use outeract_graph::Client;
use outeract_proto::messaging::admin::v1::admin_service_server::AdminServiceServer;
use outeract_proto::messaging::internal::v1::messaging_internal_service_server::MessagingInternalServiceServer;
use outeract_proto::messaging::v1::contact_service_server::ContactServiceServer;
use outeract_proto::messaging::v1::file_service_server::FileServiceServer;
use outeract_proto::messaging::v1::messaging_service_server::MessagingServiceServer;
use outeract_proto::messaging::v1::template_service_server::TemplateServiceServer;
use outeract_proto::webhook::internal::v1::webhook_internal_service_client::WebhookInternalServiceClient;
use outeract_rpc::{BoxError, RemoteKeys};
use outeract_runtime::{Context, Endpoints, OnExit, Service};
use sqlx::migrate::Migrator;
use tonic::service::Routes;
use uuid::Uuid;

use crate::accept::prepare::Preparer;
use crate::accept::{Acceptor, Contacts};
use crate::apply::Applier;
use crate::config::{Config, Timing};
use crate::contacts::{self, Bell, Consent, Learner, Registry};
use crate::dispatch::{self, Aftermath, Credentials, Dispatch, Needs};
use crate::erase::Eraser;
use crate::files;
use crate::forward::{self, Forwarder, Sweeper};
use crate::ids::MessageIds;
use crate::limits::{Limits, Waker};
use crate::projection::{self, Keeper, Projection};
use crate::receipts::Receipts;
use crate::rpc;
use crate::templates;
use crate::upkeep;
use crate::vault::Vault;
use crate::waiters::Waiters;
use crate::window::Windows;

/// The messaging service.
#[derive(Debug)]
pub struct Messaging;

/// Most bytes of an answer to a message, and of one about an account.
const SEND_ANSWER: usize = 64 * 1024;
const MANAGEMENT_ANSWER: usize = 8 * 1024 * 1024;
/// Connections that are kept for calls about accounts: there are few at a time.
const MANAGEMENT_IDLE: usize = 4;
/// Callers that wait for Meta's answer at a time.
const WAITERS: usize = 4_096;
/// For a call that carries a whole file to Meta.
const MEDIA_CALL: Duration = Duration::from_mins(5);
/// Connections for such calls that are kept for the next.
const MEDIA_CONNECTIONS: usize = 8;
/// Largest message of an upload: a chunk has 64 KiB at most, and one of twice that is told so instead of being cut off.
const UPLOAD_MESSAGE: usize = 256 << 10;

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
#[expect(clippy::too_many_lines, reason = "a list of what there is, in the order it is made")]
pub async fn build(context: Context, config: Config, timing: Timing) -> Result<Endpoints, BoxError> {
    let connection = context.channel(&config.connection_url)?;
    let tracking = context.channel(&config.tracking_url)?;
    let webhook = context.channel(&config.webhook_url)?;
    let graph = graph(&config, timing, SEND_ANSWER, config.calls_in_flight)?;
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
    let contacts = Contacts::new(Arc::clone(&context.clock), Arc::clone(&context.random), vault.clone());
    let bell = Bell::default();
    let registry = Registry::new(context.db.clone(), vault.clone(), contacts.clone(), bell.clone());
    let learner = Learner::start(&context, registry.clone());
    let consent = Consent::new(
        context.db.clone(),
        Arc::clone(&context.clock),
        Arc::clone(&context.random),
        bell.clone(),
    );
    let forwarder = Forwarder::start(&context, tracking.clone());
    let windows = Windows::new();
    let aftermath = Aftermath::start(&context, windows.clone(), projection.clone(), consent.clone());
    let keys = context.authenticator(RemoteKeys::new(connection.clone()));
    let credentials = Credentials::new(connection.clone());
    let templates = templates::start(
        &context,
        templates::Needs {
            projection: projection.clone(),
            credentials: credentials.clone(),
            graph: self::graph(&config, timing, MANAGEMENT_ANSWER, MANAGEMENT_IDLE)?,
            buckets: buckets.clone(),
            timing,
        },
    );

    let needs = files::Needs {
        config: &config,
        timing,
        vault: vault.clone(),
        projection: projection.clone(),
        credentials: credentials.clone(),
        graph: media_client(&config)?,
        tracking: tracking.clone(),
    };
    let (files, media) = files::start(&context, needs)?;

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
        credentials,
        graph,
        media,
        buckets,
        templates: templates.clone(),
        learner: learner.clone(),
    };
    let Dispatch {
        hints,
        recorder,
        reader,
        traffic,
    } = dispatch::start(&context, needs);
    let receipts = Receipts::start(&context, vault.clone(), projection.clone(), reader.clone());
    let acceptor = Acceptor::start(&context, contacts.clone(), windows.clone(), hints.clone(), forwarder);

    let sweeper = Sweeper {
        db: context.db.clone(),
        vault: vault.clone(),
        projection: projection.clone(),
        client: forward::recorder(tracking.clone()),
        aftermath: aftermath.clone(),
        worker,
        cursor: (Vec::new(), Uuid::nil()),
    };
    context.tasks.spawn(
        "forward.sweep",
        OnExit::StopProcess,
        forward::sweep(sweeper, timing, context.stop.clone()),
    );
    look_after(&context, &keeper, &projection, timing, worker);

    context.tasks.spawn(
        "contacts.tell",
        OnExit::StopProcess,
        contacts::tell(context.db.clone(), tracking.clone(), bell.clone(), context.stop.clone()),
    );
    context.tasks.spawn(
        "contacts.follow",
        OnExit::StopProcess,
        contacts::follow(registry.clone(), worker, timing.refresh, context.stop.clone()),
    );
    context.tasks.spawn(
        "limits",
        OnExit::StopProcess,
        Waker::new(context.db.clone(), projection.clone(), worker).run(timing, context.stop.clone()),
    );

    let erasures = Bell::default();
    let eraser = Eraser {
        db: context.db.clone(),
        clock: Arc::clone(&context.clock),
        random: Arc::clone(&context.random),
        vault: vault.clone(),
        contacts: contacts.clone(),
        recorder: recorder.clone(),
        hints: hints.clone(),
        files: files.clone(),
        webhook: WebhookInternalServiceClient::new(webhook),
        tracking: forward::recorder(tracking),
        told: bell,
        asked: erasures.clone(),
        timing,
    };
    context
        .tasks
        .spawn("erase", OnExit::StopProcess, eraser.run(context.stop.clone()));

    let people = rpc::Contacts {
        clock: Arc::clone(&context.clock),
        random: Arc::clone(&context.random),
        erasures,
        db: context.db.clone(),
        vault: vault.clone(),
        pages: context.page_tokens.clone(),
        projection: projection.clone(),
        known: contacts,
        consent: consent.clone(),
    };
    let applier = Applier {
        db: context.db.clone(),
        clock: Arc::clone(&context.clock),
        vault: vault.clone(),
        projection: projection.clone(),
        keeper,
        registry,
        learner,
        consent,
        recorder: recorder.clone(),
        receipts,
        traffic,
        windows,
        aftermath,
        templates: templates.clone(),
        files: files.clone(),
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
        templates,
        files: files.clone(),
    };
    let files = rpc::Files {
        context: context.clone(),
        files,
        stall: timing.upload_stall,
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
        .application(applications(application, files, people))
        .internal(
            Routes::new(MessagingInternalServiceServer::new(internal)).add_service(AdminServiceServer::new(admin)),
        ))
}

/// What applications call.
fn applications(messaging: rpc::Messaging, files: rpc::Files, people: rpc::Contacts) -> Routes {
    let templates = rpc::Templates {
        context: messaging.context.clone(),
        projection: messaging.preparer.projection.clone(),
        room: messaging.preparer.templates.clone(),
    };
    Routes::new(MessagingServiceServer::new(messaging))
        .add_service(TemplateServiceServer::new(templates))
        .add_service(ContactServiceServer::new(people))
        .add_service(FileServiceServer::new(files).max_decoding_message_size(UPLOAD_MESSAGE))
}

/// Calls Meta, takes answers of so many bytes, and keeps so many connections.
fn graph(config: &Config, timing: Timing, answer: usize, idle: usize) -> Result<Client, egress::Invalid> {
    let http = egress::Client::new(&egress::Config {
        total_timeout: timing.call_budget,
        response_limit: answer,
        idle_connections: idle,
        ..egress::Config::default()
    })?;
    Ok(Client::new(http, &config.graph_base_url, &config.graph_api_version))
}

fn media_client(config: &Config) -> Result<Client, BoxError> {
    let http = egress::Client::new(&egress::Config {
        total_timeout: MEDIA_CALL,
        idle_connections: MEDIA_CONNECTIONS,
        ..egress::Config::default()
    })?;
    Ok(Client::new(http, &config.graph_base_url, &config.graph_api_version))
}

/// What is done now and then, whatever else happens.
fn look_after(context: &Context, keeper: &Arc<Keeper>, projection: &Projection, timing: Timing, worker: Uuid) {
    context.tasks.spawn(
        "projection",
        OnExit::StopProcess,
        projection::keep(Arc::clone(keeper), timing, context.stop.clone()),
    );
    context.tasks.spawn(
        "projection.holds",
        OnExit::StopProcess,
        projection::keep_holds(projection.clone(), timing, context.stop.clone()),
    );
    context.tasks.spawn(
        "projection.brakes",
        OnExit::StopProcess,
        projection::keep_brakes(projection.clone(), timing, context.stop.clone()),
    );
    context.tasks.spawn(
        "upkeep",
        OnExit::StopProcess,
        upkeep::keep_house(context.db.clone(), worker, context.stop.clone()),
    );
}

fn worker_id(context: &Context) -> Uuid {
    let mut bytes = [0; 16];
    context.random.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
