use std::sync::Arc;

use outeract_proto::connection::admin::v1::admin_service_server::AdminServiceServer;
use outeract_proto::connection::internal::v1::connection_internal_service_server::ConnectionInternalServiceServer;
use outeract_proto::connection::v1::application_service_server::ApplicationServiceServer;
use outeract_proto::connection::v1::connection_service_server::ConnectionServiceServer;
use outeract_rpc::BoxError;
use outeract_runtime::{Context, Endpoints, OnExit, Service};
use sqlx::migrate::Migrator;
use tokio::sync::Notify;
use tonic::service::Routes;

use crate::bootstrap;
use crate::config::Config;
use crate::desk::Desk;
use crate::examine::Examiner;
use crate::keys::StoredKeys;
use crate::meta::Meta;
use crate::push::{Courier, Push};
use crate::standing::Resumer;
use crate::subscription::{Callback, Subscriber};

/// The connection service, for [`outeract_runtime::main`].
#[derive(Debug)]
pub struct Connection;

static MIGRATOR: Migrator = sqlx::migrate!();

// === impl Connection ===

impl Service for Connection {
    const NAME: &'static str = "connection";
    const COMMANDS: &'static [(&'static str, &'static str)] =
        &[("bootstrap", "make the first operator key and print it, once")];

    type Config = Config;

    fn migrator() -> &'static Migrator {
        &MIGRATOR
    }

    async fn build(context: Context, config: Config) -> Result<Endpoints, BoxError> {
        if let Some(key) = &config.operator_key {
            bootstrap::register(&context.db, key, Arc::clone(&context.random)).await?;
        }
        let callback = config.callback.clone();
        let desk = desk(&context, config)?;
        spawn_couriers(&context, &desk);
        spawn_examiner(&context, &desk);
        spawn_resumer(&context, &desk);
        if let Some(callback) = callback {
            spawn_subscriber(&context, &desk, callback);
        }
        let application = Routes::new(ApplicationServiceServer::new(desk.clone()))
            .add_service(ConnectionServiceServer::new(desk.clone()));
        let internal = Routes::new(ConnectionInternalServiceServer::new(desk.clone()))
            .add_service(AdminServiceServer::new(desk.clone()));
        Ok(Endpoints::new(desk.keys).application(application).internal(internal))
    }

    async fn command(name: &str, context: Context, _config: Config) -> Result<(), BoxError> {
        match name {
            "bootstrap" => bootstrap::print_first_key(&context).await,
            unknown => Err(format!("no command {unknown}").into()),
        }
    }
}

fn desk(context: &Context, config: Config) -> Result<Desk, BoxError> {
    let http = outeract_egress::Client::new(&outeract_egress::Config::default())?;
    let graph = outeract_graph::Client::new(http, &config.graph, &config.graph_version);
    Ok(Desk {
        db: context.db.clone(),
        ring: Arc::clone(&context.key_ring),
        clock: Arc::clone(&context.clock),
        random: Arc::clone(&context.random),
        meta: Arc::new(Meta::new(graph, config.app_id, config.app_secret)),
        keys: context.authenticator(StoredKeys::new(context.db.clone())),
        pages: context.page_tokens.clone(),
        push: Push::new(context.channel(&config.messaging)?, context.channel(&config.webhook)?),
        connected: Arc::new(Notify::new()),
    })
}

fn spawn_couriers(context: &Context, desk: &Desk) {
    for target in desk.push.targets() {
        let courier = Courier {
            target: target.clone(),
            db: desk.db.clone(),
            ring: Arc::clone(&desk.ring),
            random: Arc::clone(&desk.random),
        };
        let stop = context.stop.soft().clone();
        context.tasks.spawn(target.task(), OnExit::StopProcess, async move {
            stop.run_until_cancelled(courier.run()).await;
        });
    }
}

fn spawn_examiner(context: &Context, desk: &Desk) {
    let examiner = Examiner {
        db: desk.db.clone(),
        ring: Arc::clone(&desk.ring),
        random: Arc::clone(&desk.random),
        meta: Arc::clone(&desk.meta),
        push: desk.push.clone(),
    };
    let stop = context.stop.soft().clone();
    context.tasks.spawn("examination", OnExit::StopProcess, async move {
        stop.run_until_cancelled(examiner.run()).await;
    });
}

fn spawn_resumer(context: &Context, desk: &Desk) {
    let resumer = Resumer {
        db: desk.db.clone(),
        random: Arc::clone(&desk.random),
        push: desk.push.clone(),
    };
    let stop = context.stop.soft().clone();
    let run = stop.run_until_cancelled_owned(resumer.run());
    context
        .tasks
        .spawn("connection.resume", OnExit::StopProcess, async move {
            run.await;
        });
}

fn spawn_subscriber(context: &Context, desk: &Desk, callback: Callback) {
    let subscriber = Subscriber {
        callback,
        db: desk.db.clone(),
        ring: Arc::clone(&desk.ring),
        meta: Arc::clone(&desk.meta),
        connected: Arc::clone(&desk.connected),
    };
    let stop = context.stop.soft().clone();
    context
        .tasks
        .spawn("app-subscription", OnExit::StopProcess, async move {
            stop.run_until_cancelled(subscriber.run()).await;
        });
}
