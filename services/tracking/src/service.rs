use std::sync::Arc;

use outeract_egress::guard::{Guarded, Limits, Lookup, SystemLookup};
use outeract_proto::tracking::internal::v1::tracking_internal_service_server::TrackingInternalServiceServer;
use outeract_proto::tracking::v1::event_service_server::EventServiceServer;
use outeract_proto::tracking::v1::subscription_service_server::SubscriptionServiceServer;
use outeract_rpc::{BoxError, RemoteKeys};
use outeract_runtime::{Context, Endpoints, OnExit, Service};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

use crate::acknowledge::Acknowledger;
use crate::config::Config;
use crate::erase::Eraser;
use crate::hooks::{self, Parts, Sender, Vault};
use crate::maintenance;
use crate::read::{Reader, Waiters};
use crate::record::Recorder;
use crate::rpc::{Events, Internal};
use crate::sealed::Bodies;
use crate::stream::{self, Streamer, Streams};

/// Connections that readers leave to the flushers.
const FLUSHERS: usize = 2;

/// The tracking service.
#[derive(Debug)]
pub struct Tracking;

impl Service for Tracking {
    const NAME: &'static str = "tracking";
    type Config = Config;

    fn migrator() -> &'static Migrator {
        static MIGRATOR: Migrator = sqlx::migrate!();
        &MIGRATOR
    }

    async fn build(context: Context, config: Config) -> Result<Endpoints, BoxError> {
        let keys = context.authenticator(RemoteKeys::new(context.channel(&config.connection)?));
        let pool = context.db.clone();
        let bodies = Bodies::new(Arc::clone(&context.key_ring), Arc::clone(&context.random));
        let streams = Arc::new(Streams::new(config.streams_per_application));
        let waiters = Arc::new(Waiters::default());

        let (recorder, flushers) =
            Recorder::new(pool.clone(), bodies.clone(), Arc::clone(&streams), Arc::clone(&waiters));
        for flusher in flushers {
            context.tasks.spawn("record", OnExit::StopProcess, flusher.run());
        }
        let (acknowledger, flushers) = Acknowledger::new(pool.clone(), Arc::clone(&streams), bodies.cursors().clone());
        for flusher in flushers {
            context.tasks.spawn("acknowledge", OnExit::StopProcess, flusher.run());
        }
        let soft = context.stop.soft().clone();
        let listen = stream::poll(pool.clone(), Arc::clone(&streams));
        context.tasks.spawn("streams.poll", OnExit::StopProcess, async move {
            soft.run_until_cancelled(listen).await;
        });
        let soft = context.stop.soft().clone();
        let maintain = maintenance::run(pool.clone(), config.retention, config.webhook_retention);
        context.tasks.spawn("maintenance", OnExit::StopProcess, async move {
            soft.run_until_cancelled(maintain).await;
        });

        let slots = (pool.options().get_max_connections() as usize).saturating_sub(FLUSHERS);
        let reader = Arc::new(Reader::new(
            pool.clone(),
            bodies.clone(),
            context.page_tokens.clone(),
            waiters,
            Arc::clone(&context.clock),
            slots,
        ));
        let lookup = SystemLookup::new().ok_or("the machine's name servers cannot be read")?;
        let lookup: Arc<dyn Lookup> = Arc::new(lookup);
        let guarded = Guarded::new(config.webhook_policy, Limits::default(), &lookup)?;
        let recorder = Arc::new(recorder);
        let vault = Vault::new(Arc::clone(&context.key_ring), Arc::clone(&context.random));
        let eraser = Arc::new(Eraser::new(pool.clone(), bodies, vault.clone(), Arc::clone(&reader)));
        let (subscriptions, supervisor, flushers) = hooks::open(Parts {
            pool,
            reader: Arc::clone(&reader),
            recorder: Arc::clone(&recorder),
            tokens: context.page_tokens.clone(),
            vault,
            sender: Sender::new(guarded, Arc::clone(&context.clock)),
            random: Arc::clone(&context.random),
            disable_after: config.webhook_disable_after,
        });
        for flusher in flushers {
            context.tasks.spawn("deliveries", OnExit::StopProcess, flusher.run());
        }
        let soft = context.stop.soft().clone();
        context
            .tasks
            .spawn("webhooks", OnExit::StopProcess, supervisor.run(soft));
        let events = Events {
            streamer: Streamer::new(Arc::clone(&reader), streams),
            reader,
            acknowledger,
        };
        Ok(Endpoints::new(keys)
            .application(
                Routes::new(EventServiceServer::new(events)).add_service(SubscriptionServiceServer::new(subscriptions)),
            )
            .internal(Routes::new(TrackingInternalServiceServer::new(Internal {
                recorder,
                eraser,
            }))))
    }
}
