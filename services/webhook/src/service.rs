use std::sync::Arc;

use outeract_domain::WebhookId;
use outeract_proto::webhook::admin::v1::admin_service_server::AdminServiceServer;
use outeract_proto::webhook::internal::v1::webhook_internal_service_server::WebhookInternalServiceServer;
use outeract_proto::webhook::v1::webhook_service_server::WebhookServiceServer;
use outeract_rpc::{BoxError, RemoteKeys};
use outeract_runtime::{Context, Endpoints, OnExit, Service};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

use crate::board::{Board, LANES};
use crate::config::Config;
use crate::decode::{Decoder, Siblings};
use crate::edge::{self, Durable, Storage};
use crate::projection::Projection;
use crate::rpc::Rpc;
use crate::{budget, ingest, ledger, report, upkeep};

/// The webhook service.
#[derive(Debug)]
pub struct Webhook;

/// Names of the tasks that decode lanes.
const LANE_TASKS: [&str; LANES] = ["decode.0", "decode.1", "decode.2", "decode.3"];

impl Service for Webhook {
    const NAME: &'static str = "webhook";
    const EDGE: bool = true;

    type Config = Config;

    fn migrator() -> &'static Migrator {
        static MIGRATOR: Migrator = sqlx::migrate!();
        &MIGRATOR
    }

    async fn build(context: Context, config: Config) -> Result<Endpoints, BoxError> {
        let board = Arc::new(Board::default());
        let connection = context.channel(&config.connection)?;
        let messaging = context.channel(&config.messaging)?;
        let tracking = context.channel(&config.tracking)?;
        let projection = Projection {
            db: context.db.clone(),
            keyring: Arc::clone(&context.key_ring),
            random: Arc::clone(&context.random),
            board: Arc::clone(&board),
        };
        let tasks = &context.tasks;
        let soft = context.stop.soft();

        let pull = soft
            .clone()
            .run_until_cancelled_owned(projection.clone().pull(connection.clone()));
        tasks.spawn("projection.pull", OnExit::StopProcess, drop_output(pull));
        let report = soft
            .clone()
            .run_until_cancelled_owned(report::report(context.db.clone(), messaging.clone()));
        tasks.spawn("ingest.report", OnExit::StopProcess, drop_output(report));
        let upkeep = upkeep::upkeep(context.db.clone(), Arc::clone(&context.clock), config.keep);
        tasks.spawn(
            "upkeep",
            OnExit::StopProcess,
            drop_output(soft.clone().run_until_cancelled_owned(upkeep)),
        );
        let decoder = decode(&context, &board, Siblings::new(connection.clone(), messaging, tracking));
        measure(&context, &board, &decoder, config.storage_budget);

        let rpc = Rpc {
            db: context.db.clone(),
            keyring: Arc::clone(&context.key_ring),
            pages: context.page_tokens.clone(),
            clock: Arc::clone(&context.clock),
            random: Arc::clone(&context.random),
            board: Arc::clone(&board),
            projection,
            decoder,
        };
        let application = Routes::new(WebhookServiceServer::new(rpc.clone()));
        let internal =
            Routes::new(AdminServiceServer::new(rpc.clone())).add_service(WebhookInternalServiceServer::new(rpc));
        let endpoints = Endpoints::new(context.authenticator(RemoteKeys::new(connection)));
        Ok(endpoints
            .application(application)
            .internal(internal)
            .edge(ingest_router(&context, &config, board)))
    }
}

fn decode(context: &Context, board: &Arc<Board>, siblings: Siblings) -> Arc<Decoder> {
    let decoder = Arc::new(Decoder {
        db: context.db.clone(),
        keyring: Arc::clone(&context.key_ring),
        board: Arc::clone(board),
        siblings,
        holder: WebhookId::new(&*context.clock, &*context.random).uuid(),
        stop: context.stop.clone(),
    });
    // A decoder that panics is a fault of one webhook: the others go on, and it starts again where it stood.
    for (lane, name) in LANE_TASKS.into_iter().enumerate() {
        let decoder = Arc::clone(&decoder);
        context.tasks.restart(name, move || Arc::clone(&decoder).lane(lane));
    }
    let unparking = Arc::clone(&decoder);
    context.tasks.restart("unpark", move || Arc::clone(&unparking).unpark());
    let watching = Arc::clone(&decoder);
    context
        .tasks
        .restart("decode.watch", move || Arc::clone(&watching).watch());
    let replaying = Arc::clone(&decoder);
    context.tasks.restart("replay", move || Arc::clone(&replaying).replay());
    let (erasing, random) = (Arc::clone(&decoder), Arc::clone(&context.random));
    context
        .tasks
        .restart("erase", move || Arc::clone(&erasing).erase(Arc::clone(&random)));
    decoder
}

/// What is measured again and again.
fn measure(context: &Context, board: &Arc<Board>, decoder: &Decoder, budget: u64) {
    let soft = context.stop.soft();
    let ledger = ledger::keep(context.db.clone(), decoder.holder);
    let ledger = soft.clone().run_until_cancelled_owned(ledger);
    context.tasks.spawn("ledger", OnExit::StopProcess, drop_output(ledger));
    let room = budget::watch(context.db.clone(), Arc::clone(board), budget);
    let room = soft.clone().run_until_cancelled_owned(room);
    context.tasks.spawn("budget", OnExit::StopProcess, drop_output(room));
}

fn ingest_router(context: &Context, config: &Config, board: Arc<Board>) -> axum::Router {
    let mut first = [0];
    context.random.fill(&mut first);
    let (ingest, flushers) = ingest::new(context.db.clone(), Arc::clone(&board), usize::from(first[0]) % LANES);
    for flusher in flushers {
        // Not told to stop: it ends when the edge has answered its last request and goes.
        context.tasks.spawn("ingest.flush", OnExit::StopProcess, flusher.run());
    }
    let durable = Durable {
        ingest,
        board,
        keyring: Arc::clone(&context.key_ring),
        clock: Arc::clone(&context.clock),
        random: Arc::clone(&context.random),
    };
    edge::router(&config.credentials, Storage::Durable(durable))
}

async fn drop_output<T>(future: impl Future<Output = T> + Send) {
    future.await;
}
