//! Webhooks of one, ten and a hundred messages, from the first byte until all are in the log; against events that are only recorded, in full batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outeract_clock::{Clock as _, SystemClock};
use outeract_domain::{ApplicationId, ConnectionId, ContactId, Wamid};
use outeract_events::Inbound;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::{MessageContent, TextContent};
use outeract_proto::tracking::internal::v1::tracking_internal_service_client::TrackingInternalServiceClient;
use outeract_proto::tracking::internal::v1::{EventRecord, RecordEventsRequest, RecordResult};
use outeract_proto::tracking::v1::MessagePayload;
use outeract_rpc::Channel;
use uuid::Uuid;

use crate::cpu::Watch;
use crate::load;
use crate::report::Report;
use crate::source::{Source, drained};
use crate::stage::{Stage, Tenant};

const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_secs(4);
/// Messages of a webhook, and webhooks in flight.
const SIZES: [(u64, usize); 3] = [(1, 256), (10, 64), (100, 16)];
/// Events of one call that only records, and calls in flight: as many as the webhook service makes of each.
const BATCH: usize = 500;
const CALLERS: usize = 4;

type Internal = TrackingInternalServiceClient<Channel>;

pub(crate) async fn run() -> Result<Report> {
    let mut stage = Stage::start(false, &[]).await?;
    let tenant = stage.tenant("Apply", 1, 1_000).await?;
    let source = Source::new(&stage, &tenant)?;
    let address = stage
        .urls
        .get("WEBHOOK_EDGE_URL")?
        .trim_start_matches("http://")
        .to_owned();
    let watch = stage.watch();
    let mut report = Report::default();
    for _ in 0..ROUNDS {
        record(&mut report, &watch, stage.tracking()?, &tenant).await?;
        for (items, in_flight) in SIZES {
            let (before, begun) = (watch.sample()?, Instant::now());
            let mut measured = source.post(&address, in_flight, items, TIME).await?;
            drained(&stage).await?;
            ensure!(measured.failed == 0, "{} webhooks were not taken", measured.failed);
            measured.operations *= items;
            measured.per_second = measured.operations as f64 / begun.elapsed().as_secs_f64();
            report.row(&applied(items), &measured, &watch.sample()?.since(&before));
        }
    }
    for (items, _) in SIZES {
        let ratio = report.median(&format!("{}/s", applied(items))) / report.median("only recorded/s");
        report.at_least(
            &format!("messages of webhooks of {items} ÷ events only recorded"),
            ratio,
            0.4,
        );
    }
    Ok(report)
}

fn applied(items: u64) -> String {
    format!("applied, webhooks of {items}")
}

/// Records events in full batches and nothing else.
async fn record(report: &mut Report, watch: &Watch, tracking: Internal, tenant: &Tenant) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let application: ApplicationId = tenant.api.application_id.parse()?;
    let connection: ConnectionId = tenant.connections.first().context("a connection")?.parse()?;
    let lanes = (0..CALLERS).map(|_| {
        let (tracking, next) = (tracking.clone(), Arc::clone(&next));
        move || {
            let (mut tracking, next) = (tracking.clone(), Arc::clone(&next));
            async move {
                let first = next.fetch_add(BATCH as u64, Ordering::Relaxed);
                let events = (first..)
                    .take(BATCH)
                    .map(|number| event(application, connection, number));
                let Ok(events) = events.collect::<Result<_>>() else {
                    return false;
                };
                let answer = tracking.record_events(RecordEventsRequest { events }).await;
                answer.is_ok_and(|answer| {
                    let mut results = answer.get_ref().results();
                    results.all(|result| result == RecordResult::Recorded)
                })
            }
        }
    });
    let before = watch.sample()?;
    let mut measured = load::closed(lanes.collect(), TIME).await?;
    ensure!(measured.failed == 0, "{} batches were not recorded", measured.failed);
    measured.operations *= BATCH as u64;
    measured.per_second *= BATCH as f64;
    report.row("only recorded", &measured, &watch.sample()?.since(&before));
    Ok(())
}

/// The event that a message of a webhook becomes.
fn event(application: ApplicationId, connection: ConnectionId, number: u64) -> Result<EventRecord> {
    let now = SystemClock.now();
    let user = 14_155_550_000 + number % 1_000;
    let wamid = format!("wamid.HBgLMTQxNTU1NTAwMDAVAgASGBQzQUJFTkNI{}", Uuid::new_v4().simple());
    let text = "Hello, I would like to know when my order will arrive. Thank you for your help, it is rather urgent this time.";
    let content = MessageContent {
        kind: Some(Kind::Text(TextContent {
            body: text.to_owned(),
            preview_url: None,
        })),
    };
    let inbound = Inbound {
        application,
        connection,
        number: &"106540352242922".parse()?,
        wamid: &Wamid::new(wamid).context("a wamid")?,
        occurred: now,
        received: now,
        business: "+15550783881",
        from: &format!("+{user}"),
        contact: ContactId::from_uuid(Uuid::from_u128(u128::from(user))),
        name: "Bench User",
        echo: false,
        payload: MessagePayload {
            content: Some(content),
            reply_to_external_message_id: "wamid.HBgLMTQxNTU1NTAwMDAVAgARGBI5QTNDQTVCM0Q0Q0Q2RTY3RTcA".to_owned(),
            ..MessagePayload::default()
        },
    };
    Ok(inbound.record())
}
