//! Stored messages on their way to a Meta that accepts at once: intent, call, record; against a bare client that only calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use outeract_dev::Service;
use outeract_domain::{Content, PhoneNumberId, Recipient, Text};
use outeract_graph::wire::Message;
use outeract_graph::{Client as Graph, Outcome, Token};
use outeract_seal::Secret;

use super::accept::Clients;
use crate::cpu::Watch;
use crate::load::{self, Measured};
use crate::report::Report;
use crate::stage::{Stage, Tenant};

const ROUNDS: usize = 3;
const MESSAGES: u64 = 30_000;
const IN_FLIGHT: usize = 64;

pub(crate) async fn run() -> Result<Report> {
    let in_flight = IN_FLIGHT.to_string();
    let mut stage = Stage::start(true, &[(Service::Messaging, "MESSAGING_CALLS_IN_FLIGHT", &in_flight)]).await?;
    // Thirty numbers of a thousand a second each: Meta's limits are not what is measured.
    let tenant = stage.tenant("Dispatch", 30, 1_000).await?;
    let mut report = Report::default();
    for _ in 0..ROUNDS {
        let watch = stage.watch();
        bare(&mut report, &watch, &stage).await?;
        dispatch(&mut report, &mut stage, &tenant).await?;
    }
    let ratio = report.median("dispatched/s") / report.median("bare client/s");
    report.at_least("dispatch ÷ bare client, 64 in flight", ratio, 0.33);
    Ok(report)
}

/// The bare client: the same calls, nothing else.
async fn bare(report: &mut Report, watch: &Watch, stage: &Stage) -> Result<()> {
    let http = outeract_egress::Client::new(&outeract_egress::Config::default())?;
    let graph = Graph::new(http, &format!("{}/bare", stage.urls.get("GRAPH_URL")?), "v25.0");
    let token = Arc::new(Token::with_proof(Secret::from("token"), "0".repeat(64)));
    let number: Arc<PhoneNumberId> = Arc::new("1065".parse()?);
    let text = Text::new("Hello, your order has left our warehouse.".to_owned(), None, "body")
        .map_err(|_| anyhow::anyhow!("a text"))?;
    let content = Arc::new(Content::Text(text));
    let to: Arc<Recipient> = Arc::new("+14155559999".parse()?);
    let before = watch.sample()?;
    let lanes = (0..IN_FLIGHT).map(|_| {
        let (graph, token, number, content, to) = (
            graph.clone(),
            Arc::clone(&token),
            Arc::clone(&number),
            Arc::clone(&content),
            Arc::clone(&to),
        );
        move || {
            let (graph, token, number, content, to) = (
                graph.clone(),
                Arc::clone(&token),
                Arc::clone(&number),
                Arc::clone(&content),
                Arc::clone(&to),
            );
            async move {
                let Ok(message) = Message::new(&to, &content, None, "evt_01jd00000000000000000000aa.1") else {
                    return false;
                };
                matches!(
                    graph.send_message(&token, &number, message.to_json()).await,
                    Outcome::Accepted { .. }
                )
            }
        }
    });
    let measured = load::closed(lanes.collect(), Duration::from_secs(4)).await?;
    report.row("bare client", &measured, &watch.sample()?.since(&before));
    Ok(())
}

/// Stores messages while the service that sends is held still, then lets it go and times it.
async fn dispatch(report: &mut Report, stage: &mut Stage, tenant: &Tenant) -> Result<()> {
    hold(stage, true).await?;
    let clients = Clients::connect(stage.urls.get("MESSAGING_URL")?, tenant).await?;
    store(&clients, MESSAGES).await?;
    hold(stage, false).await?;
    let watch = stage.watch();
    stage.count_statements().await?;
    let (before, begun, waiting) = (watch.sample()?, Instant::now(), queued(stage).await?);
    // The first second or so is start and takeover: count from the first message gone.
    let mut first = None;
    let done = loop {
        let left = queued(stage).await?;
        if left < waiting && first.is_none() {
            first = Some((Instant::now(), left));
        }
        if left == 0 {
            break Instant::now();
        }
        anyhow::ensure!(
            begun.elapsed() < Duration::from_mins(2),
            "{left} messages are still waiting"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let (start, left) = first.context("messages left at once")?;
    let per_second = left as f64 / (done - start).as_secs_f64();
    let measured = Measured {
        operations: MESSAGES,
        failed: 0,
        per_second,
        p50_ms: 0.0,
        p99_ms: 0.0,
        max_ms: 0.0,
    };
    report.row("dispatched", &measured, &watch.sample()?.since(&before));
    stage.print_statements().await?;
    Ok(())
}

/// Holds or releases every number, as a push from the connection service would, and starts messaging anew so that it acts at once.
pub(super) async fn hold(stage: &mut Stage, held: bool) -> Result<()> {
    sqlx::query("UPDATE messaging.connection SET paused = $1, version = version + 1000")
        .bind(held)
        .execute(&stage.pool)
        .await?;
    let messaging = stage.suite.service(Service::Messaging).map_err(anyhow::Error::msg)?;
    messaging.stop(Duration::from_secs(20)).map_err(anyhow::Error::msg)?;
    messaging.start().map_err(anyhow::Error::msg)?;
    messaging
        .wait_until_ready(Duration::from_secs(20))
        .map_err(anyhow::Error::msg)
}

pub(super) async fn store(clients: &Arc<Clients>, count: u64) -> Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..128 {
        let clients = Arc::clone(clients);
        tasks.spawn(async move {
            let mut stored = 0;
            while stored < count / 128 {
                stored += u64::from(Arc::clone(&clients).send(lane).await);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done?;
    }
    Ok(())
}

async fn queued(stage: &Stage) -> Result<i64> {
    Ok(
        sqlx::query_scalar("SELECT count(*) FROM messaging.queue WHERE phone_number_id <> ''")
            .fetch_one(&stage.pool)
            .await?,
    )
}
