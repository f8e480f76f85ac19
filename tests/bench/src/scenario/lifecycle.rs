//! A message's whole life: stored, sent, sent, delivered, read; what it costs Postgres and how much WAL it writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use outeract_simulator::StatusDelays;

use super::accept::Clients;
use crate::load;
use crate::report::Report;
use crate::stage::Stage;

const ROUNDS: usize = 3;
const RATES: [f64; 2] = [500.0, 1_000.0];
const TIME: Duration = Duration::from_secs(15);

pub(crate) async fn run() -> Result<Report> {
    let mut stage = Stage::start(false, &[]).await?;
    let tenant = stage.tenant("Lifecycle", 4, 1_000).await?;
    stage.simulator.set_statuses(StatusDelays::default()).await?;
    let watch = stage.watch();
    let mut report = Report::default();
    for _ in 0..ROUNDS {
        for rate in RATES {
            sqlx::query("CHECKPOINT").execute(&stage.pool).await?;
            let clients = Clients::connect(stage.urls.get("MESSAGING_URL")?, &tenant).await?;
            let (cpu, wal, events) = (watch.sample()?, stage.wal_bytes().await?, events(&stage).await?);
            let mut lane = 0;
            let measured = load::open(rate, TIME, || {
                lane += 1;
                Arc::clone(&clients).send(lane)
            })
            .await?;
            let wanted = events + measured.operations as i64 * 5;
            let begun = Instant::now();
            while self::events(&stage).await? < wanted {
                anyhow::ensure!(
                    begun.elapsed() < Duration::from_mins(1),
                    "events are missing: {} of {wanted}",
                    self::events(&stage).await?
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let used = watch.sample()?.since(&cpu);
            report.row(&format!("life at {rate}/s"), &measured, &used);
            let lives = measured.operations;
            report.figure(
                &format!("Postgres CPU-µs a life at {rate}/s"),
                used.micros_each("postgres", lives),
            );
            report.figure(
                &format!("WAL bytes a life at {rate}/s"),
                (stage.wal_bytes().await? - wal) / lives as f64,
            );
            report.figure(
                &format!("seconds behind at the end at {rate}/s"),
                begun.elapsed().as_secs_f64(),
            );
        }
    }
    let last = RATES[RATES.len() - 1];
    let cpu = report.median(&format!("Postgres CPU-µs a life at {last}/s"));
    report.at_most("Postgres CPU-µs a life", cpu, 250.0);
    let wal = report.median(&format!("WAL bytes a life at {last}/s"));
    report.at_most("WAL bytes a life", wal, 15_000.0);
    Ok(report)
}

async fn events(stage: &Stage) -> Result<i64> {
    Ok(
        sqlx::query_scalar("SELECT coalesce(sum(position), 0)::bigint FROM tracking.head")
            .fetch_one(&stage.pool)
            .await?,
    )
}
