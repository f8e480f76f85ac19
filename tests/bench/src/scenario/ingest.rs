//! Webhooks: stored durably and answered 200, against the same route without storage and against one insert for each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use outeract_graph::signature::sign;
use outeract_proto::webhook::admin::v1::SetDecodingRequest;
use outeract_seal::Secret;

use crate::cpu::Watch;
use crate::http::Connection;
use crate::load::{self, Measured};
use crate::report::Report;
use crate::stage::Stage;

const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_secs(4);

struct Source {
    phone_number_id: String,
    waba_id: String,
    secret: Secret,
    next: AtomicU64,
}

pub(crate) async fn run() -> Result<Report> {
    let mut stage = Stage::start(false, &[]).await?;
    let tenant = stage.tenant("Ingest", 1, 1_000).await?;
    let waba = tenant.meta.wabas.first().context("a WABA")?;
    let source = Arc::new(Source {
        phone_number_id: waba.numbers.first().context("a number")?.phone_number_id.clone(),
        waba_id: waba.waba_id.clone(),
        secret: Secret::from(stage.urls.get("APP_SECRET")?),
        next: AtomicU64::new(0),
    });
    let real = stage
        .urls
        .get("WEBHOOK_EDGE_URL")?
        .trim_start_matches("http://")
        .to_owned();
    let (bare, bare_at) = stage.floor("ingest-without-storage")?;
    let (single, single_at) = stage.floor("ingest-one-by-one")?;
    let mut watch = stage.watch();
    watch.add("floor", bare.pid());
    watch.add("floor", single.pid());

    let mut report = Report::default();
    decoding(&stage, false).await?;
    for _ in 0..ROUNDS {
        for in_flight in [64, 256] {
            for (name, address) in [
                ("without storage", &bare_at),
                ("one by one", &single_at),
                ("stored", &real),
            ] {
                measure(
                    &mut report,
                    &watch,
                    &format!("{name} @{in_flight}"),
                    address,
                    in_flight,
                    &source,
                )
                .await?;
            }
        }
    }
    decoding(&stage, true).await?;
    // What was stored above is decoded first: the next rounds are to keep up with themselves.
    drained(&stage).await?;
    for _ in 0..ROUNDS {
        measure(&mut report, &watch, "without storage @256 (2)", &bare_at, 256, &source).await?;
        kept_up(&mut report, &stage, &watch, &real, &source).await?;
    }
    verdicts(&mut report);
    Ok(report)
}

fn verdicts(report: &mut Report) {
    let stored = report.median("stored @256/s");
    report.at_least(
        "ingest ÷ without storage, decoding paused, 256 in flight",
        stored / report.median("without storage @256/s"),
        0.40,
    );
    report.at_least(
        "ingest ÷ one insert a request, 256 in flight",
        stored / report.median("one by one @256/s"),
        3.5,
    );
    report.at_most(
        "p50 ÷ p50 of one insert a request, 64 in flight",
        report.median("stored @64 p50") / report.median("one by one @64 p50"),
        0.4,
    );
    let ratio = report.median("decoded/s") / report.median("without storage @256 (2)/s");
    report.at_least("ingest ÷ without storage, decoding keeping up", ratio, 0.20);
}

async fn measure(
    report: &mut Report,
    watch: &Watch,
    name: &str,
    address: &str,
    in_flight: usize,
    source: &Arc<Source>,
) -> Result<()> {
    let before = watch.sample()?;
    let measured = closed(address, in_flight, source, TIME).await?;
    report.row(name, &measured, &watch.sample()?.since(&before));
    Ok(())
}

/// Webhooks a second from the first one sent until the last one decoded.
async fn kept_up(report: &mut Report, stage: &Stage, watch: &Watch, address: &str, source: &Arc<Source>) -> Result<()> {
    let before = watch.sample()?;
    let begun = std::time::Instant::now();
    let mut measured = closed(address, 256, source, TIME).await?;
    drained(stage).await?;
    let took = begun.elapsed().as_secs_f64();
    measured.per_second = measured.operations as f64 / took;
    report.row("stored and decoded", &measured, &watch.sample()?.since(&before));
    report.figure("decoded/s", measured.per_second);
    Ok(())
}

async fn closed(address: &str, in_flight: usize, source: &Arc<Source>, time: Duration) -> Result<Measured> {
    let mut lanes = Vec::new();
    for _ in 0..in_flight {
        let connection = Arc::new(tokio::sync::Mutex::new(Connection::open(address).await?));
        let source = Arc::clone(source);
        lanes.push(move || {
            let (connection, source) = (Arc::clone(&connection), Arc::clone(&source));
            async move {
                let body = source.body();
                let header = format!("x-hub-signature-256: {}", sign(body.as_bytes(), &source.secret));
                connection
                    .lock()
                    .await
                    .post(outeract_webhook::PATH, &header, body.as_bytes())
                    .await
                    .unwrap_or(false)
            }
        });
    }
    load::closed(lanes, time).await
}

impl Source {
    /// A text message from one of a thousand users, as Meta writes it.
    fn body(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let user = 14_155_550_000 + number % 1_000;
        format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"{waba}","changes":[{{"value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550783881","phone_number_id":"{phone}"}},"contacts":[{{"profile":{{"name":"Bench User"}},"wa_id":"{user}","user_id":"US.{user}"}}],"messages":[{{"from":"{user}","from_user_id":"US.{user}","id":"wamid.HBgLMTQxNTU1NTAwMDAVAgASGBQzQUJFTkNI{number:020}","timestamp":"{at}","type":"text","text":{{"body":"Hello, I would like to know when my order will arrive. Thank you for your help, it is rather urgent this time."}},"context":{{"from":"15550783881","id":"wamid.HBgLMTQxNTU1NTAwMDAVAgARGBI5QTNDQTVCM0Q0Q0Q2RTY3RTcA"}}}}]}},"field":"messages"}}]}}]}}"#,
            waba = self.waba_id,
            phone = self.phone_number_id,
            at = unix_seconds(),
        )
    }
}

async fn decoding(stage: &Stage, on: bool) -> Result<()> {
    let request = SetDecodingRequest {
        paused: !on,
        why: "benchmark".to_owned(),
    };
    stage.admin.webhook.clone().set_decoding(request).await?;
    // Takes effect within 2 seconds.
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(())
}

/// Waits until every stored webhook is decoded.
async fn drained(stage: &Stage) -> Result<()> {
    loop {
        let behind: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(head - decoded), 0)::bigint FROM webhook.lane JOIN webhook.cursor USING (lane)",
        )
        .fetch_one(&stage.pool)
        .await?;
        if behind == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "Meta's own clock, in a benchmark")]
fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
