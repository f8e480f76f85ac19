//! A thousand subscribers of which three hundred are dead and a hundred hang: what the others notice.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use outeract_clock::{Clock as _, SystemClock, SystemRandom};
use outeract_dev::Service;
use outeract_domain::{ApplicationId, EventId};
use outeract_e2e::Api;
use outeract_events::timestamp;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::{MessageContent, TextContent};
use outeract_proto::tracking::internal::v1::tracking_internal_service_client::TrackingInternalServiceClient;
use outeract_proto::tracking::internal::v1::{EventRecord, RecordEventsRequest, RecordResult};
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{CreateSubscriptionRequest, DeleteSubscriptionRequest, Event, MessagePayload};
use outeract_rpc::Channel;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::load::{self, Measured};
use crate::report::Report;
use crate::stage::Stage;

/// Applications, and subscriptions of each.
const APPLICATIONS: usize = 20;
const EACH: usize = 50;
/// Of each application's: nobody listens; nobody answers.
const DEAD: usize = 15;
const HANGING: usize = 5;
/// Events of each application, and the pause between two.
const EVENTS: usize = 40;
const PAUSE: Duration = Duration::from_millis(500);
/// All that live have everything within this time after the last event.
const PATIENCE: Duration = Duration::from_mins(1);
const ROUNDS: usize = 2;

type Internal = TrackingInternalServiceClient<Channel>;

/// When each event was made, and when it came to each subscriber.
#[derive(Clone, Default)]
struct Board(Arc<Mutex<Times>>);

#[derive(Default)]
struct Times {
    made: HashMap<String, Instant>,
    arrived: Vec<(String, Instant)>,
}

pub(crate) async fn run() -> Result<Report> {
    let settings = [(Service::Tracking, "TRACKING_WEBHOOK_ALLOW_PRIVATE", "127.0.0.0/8")];
    let mut stage = Stage::start(false, &settings).await?;
    let internal = stage.tracking()?;
    let mut apis = Vec::new();
    for index in 0..APPLICATIONS {
        apis.push(stage.admin.create_application(&format!("Webhooks {index}")).await?);
    }
    let watch = stage.watch();
    let mut report = Report::default();
    for _ in 0..ROUNDS {
        for (name, dead, hanging) in [("all live", 0, 0), ("300 dead, 100 hanging", DEAD, HANGING)] {
            let before = watch.sample()?;
            let measured = round(&stage, &internal, &apis, dead, hanging).await?;
            report.row(name, &measured, &watch.sample()?.since(&before));
        }
    }
    let ratio = report.median("300 dead, 100 hanging p99") / report.median("all live p99");
    report.at_most("p99 of the live ones ÷ p99 where all live", ratio, 2.0);
    Ok(report)
}

async fn round(stage: &Stage, internal: &Internal, apis: &[Api], dead: usize, hanging: usize) -> Result<Measured> {
    let board = Board::default();
    let mut servers = JoinSet::new();
    let address = serve(&board, &mut servers).await?;
    // Bound and let go.
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let mut created = Vec::new();
    for api in apis {
        for index in 0..EACH {
            let url = match index {
                index if index < dead => format!("http://{nobody}/"),
                index if index < dead + hanging => format!("http://{address}/hang"),
                _ => format!("http://{address}/hook/{index}"),
            };
            let request = CreateSubscriptionRequest {
                name: format!("subscriber {index}"),
                target_url: url,
                event_patterns: vec!["message.*".to_owned()],
                secret: String::new(),
            };
            let answer = api
                .subscriptions
                .clone()
                .create_subscription(request)
                .await?
                .into_inner();
            created.push((api, answer.subscription.context("a subscription")?.id));
        }
    }
    owned(stage, created.len()).await?;
    let live = apis.len() * (EACH - dead - hanging);
    let begun = Instant::now();
    let mut ticks = interval(PAUSE);
    for _ in 0..EVENTS {
        ticks.tick().await;
        for api in apis {
            board.record(internal, api).await?;
        }
    }
    let wanted = live * EVENTS;
    let arrived = async {
        while board.arrived() < wanted {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, arrived)
        .await
        .with_context(|| format!("{} of {wanted} deliveries arrived", board.arrived()))?;
    let measured = board.measured(begun.elapsed())?;
    for (api, id) in created {
        let request = DeleteSubscriptionRequest { id };
        api.subscriptions.clone().delete_subscription(request).await?;
    }
    Ok(measured)
}

/// A server that answers at once, or never.
async fn serve(board: &Board, servers: &mut JoinSet<()>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/hook/{index}", post(arrived))
        .route("/hang", post(std::future::pending::<StatusCode>))
        .with_state(board.clone());
    servers.spawn(async move { drop(axum::serve(listener, router).await) });
    Ok(address)
}

async fn arrived(State(board): State<Board>, body: Bytes) -> StatusCode {
    let now = Instant::now();
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    let event = body["event_id"].as_str().unwrap_or_default().to_owned();
    board.times().arrived.push((event, now));
    StatusCode::OK
}

/// Waits until every subscription is some process's.
async fn owned(stage: &Stage, count: usize) -> Result<()> {
    let owned = async {
        loop {
            let found: i64 = sqlx::query_scalar("SELECT count(*) FROM tracking.subscription WHERE owner IS NOT NULL")
                .fetch_one(&stage.pool)
                .await?;
            if found == count as i64 {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, owned)
        .await
        .context("nobody takes the subscriptions")?
}

// === impl Board ===

impl Board {
    fn times(&self) -> MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(&self) -> usize {
        self.times().arrived.len()
    }

    /// Records an event of an application.
    async fn record(&self, internal: &Internal, api: &Api) -> Result<()> {
        let application: ApplicationId = api.application_id.parse()?;
        let id = EventId::new(&SystemClock, &SystemRandom);
        let now = Some(timestamp::to_proto(SystemClock.now()));
        let content = MessageContent {
            kind: Some(Kind::Text(TextContent {
                body: "hello".to_owned(),
                preview_url: None,
            })),
        };
        let message = MessagePayload {
            platform: "whatsapp".to_owned(),
            role: "user".to_owned(),
            content: Some(content),
            ..MessagePayload::default()
        };
        let event = Event {
            event_type: "message.inbound".to_owned(),
            occur_time: now,
            receive_time: now,
            payload: Some(Payload::Message(message)),
            ..Event::default()
        };
        let record = EventRecord {
            application_id: application.bytes(),
            id: id.bytes(),
            event: Some(event),
            ..EventRecord::default()
        };
        self.times().made.insert(id.to_string(), Instant::now());
        let request = RecordEventsRequest { events: vec![record] };
        let answer = internal.clone().record_events(request).await?.into_inner();
        ensure!(
            answer.results().eq([RecordResult::Recorded]),
            "an event was not recorded"
        );
        Ok(())
    }

    fn measured(&self, took: Duration) -> Result<Measured> {
        let times = self.times();
        let mut latencies = load::histogram();
        for (event, at) in &times.arrived {
            let made = times.made.get(event).context("an event that nobody made")?;
            latencies.saturating_record(at.duration_since(*made).as_micros() as u64);
        }
        Ok(load::measured(&latencies, 0, took))
    }
}
