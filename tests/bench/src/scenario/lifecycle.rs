//! A message's whole life: stored, sent, sent, delivered, read; what it costs Postgres and how much WAL it writes.
//!
//! Statements cost about the same for one row as for ten, so a life is dearer while few are lived at a time: the goal is for the most the machine can do, the fixed rates show the rest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use outeract_simulator::StatusDelays;

use super::accept::Clients;
use crate::cpu::Watch;
use crate::load::{self, Measured};
use crate::report::Report;
use crate::stage::{Stage, Tenant};

const ROUNDS: usize = 3;
const RATES: [f64; 2] = [500.0, 1_000.0];
const IN_FLIGHT: usize = 256;
const TIME: Duration = Duration::from_secs(15);

/// How lives begin.
#[derive(Clone, Copy)]
enum Load {
    /// So many a second.
    Rate(f64),
    /// As many as go, with so many callers.
    Callers(usize),
}

pub(crate) async fn run() -> Result<Report> {
    let mut stage = Stage::start(false, &[]).await?;
    let tenant = stage.tenant("Lifecycle", 8, 1_000).await?;
    stage.simulator.set_statuses(StatusDelays::default()).await?;
    let watch = stage.watch();
    let mut report = Report::default();
    let fastest = format!("with {IN_FLIGHT} callers");
    for _ in 0..ROUNDS {
        for rate in RATES {
            live(
                &stage,
                &tenant,
                &watch,
                &mut report,
                (&format!("at {rate}/s"), Load::Rate(rate)),
            )
            .await?;
        }
        live(
            &stage,
            &tenant,
            &watch,
            &mut report,
            (&fastest, Load::Callers(IN_FLIGHT)),
        )
        .await?;
    }
    let cpu = report.median(&format!("Postgres CPU-µs a life {fastest}"));
    report.at_most("Postgres CPU-µs a life", cpu, 250.0);
    let wal = report.median(&format!("WAL bytes a life {fastest}"));
    report.at_most("WAL bytes a life", wal, 15_000.0);
    Ok(report)
}

async fn live(
    stage: &Stage,
    tenant: &Tenant,
    watch: &Watch,
    report: &mut Report,
    (name, load): (&str, Load),
) -> Result<()> {
    sqlx::query("CHECKPOINT").execute(&stage.pool).await?;
    let clients = Clients::connect(stage.urls.get("MESSAGING_URL")?, tenant).await?;
    stage.count_statements().await?;
    let (cpu, wal, events) = (watch.sample()?, stage.wal_bytes().await?, events(stage).await?);
    let begun = Instant::now();
    let measured = lead(&clients, load).await?;
    let wanted = events + measured.operations as i64 * 5;
    let asked = Instant::now();
    while self::events(stage).await? < wanted {
        anyhow::ensure!(
            asked.elapsed() < Duration::from_mins(2),
            "events are missing: {} of {wanted}",
            self::events(stage).await?
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let used = watch.sample()?.since(&cpu);
    report.row(&format!("life {name}"), &measured, &used);
    stage.print_statements().await?;
    let lives = measured.operations;
    report.figure(
        &format!("Postgres CPU-µs a life {name}"),
        used.micros_each("postgres", lives),
    );
    report.figure(
        &format!("WAL bytes a life {name}"),
        (stage.wal_bytes().await? - wal) / lives as f64,
    );
    report.figure(
        &format!("lives a second to the last event {name}"),
        lives as f64 / begun.elapsed().as_secs_f64(),
    );
    Ok(())
}

async fn lead(clients: &Arc<Clients>, load: Load) -> Result<Measured> {
    match load {
        Load::Rate(rate) => {
            let mut lane = 0;
            load::open(rate, TIME, || {
                lane += 1;
                Arc::clone(clients).send(lane)
            })
            .await
        }
        Load::Callers(count) => load::closed((0..count).map(|lane| clients.lane(lane)).collect(), TIME).await,
    }
}

async fn events(stage: &Stage) -> Result<i64> {
    Ok(
        sqlx::query_scalar("SELECT coalesce(sum(position), 0)::bigint FROM tracking.head")
            .fetch_one(&stage.pool)
            .await?,
    )
}
