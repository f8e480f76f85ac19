//! Webhooks: stored durably and answered 200, against the same route without storage and against one insert for each request.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use outeract_proto::webhook::admin::v1::SetDecodingRequest;

use crate::cpu::Watch;
use crate::report::Report;
use crate::source::{Source, drained};
use crate::stage::Stage;

const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_secs(4);

pub(crate) async fn run() -> Result<Report> {
    let mut stage = Stage::start(false, &[]).await?;
    let tenant = stage.tenant("Ingest", 1, 1_000).await?;
    let source = Source::new(&stage, &tenant)?;
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
    let measured = source.post(address, in_flight, 1, TIME).await?;
    report.row(name, &measured, &watch.sample()?.since(&before));
    Ok(())
}

/// Webhooks a second from the first one sent until the last one decoded.
async fn kept_up(report: &mut Report, stage: &Stage, watch: &Watch, address: &str, source: &Arc<Source>) -> Result<()> {
    let before = watch.sample()?;
    let begun = std::time::Instant::now();
    let mut measured = source.post(address, 256, 1, TIME).await?;
    drained(stage).await?;
    let took = begun.elapsed().as_secs_f64();
    measured.per_second = measured.operations as f64 / took;
    report.row("stored and decoded", &measured, &watch.sample()?.since(&before));
    report.figure("decoded/s", measured.per_second);
    Ok(())
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
