//! How long the full rate takes to come back after a death: the end-to-end test's own faults and ledgers, with release binaries.

use std::time::Duration;

use anyhow::Result;
use outeract_e2e::{Load, Options, World, strike_and_compare};

use crate::report::Report;

const LOAD: Load = Load {
    rate: 200,
    in_flight: 1_000,
    full: 180,
    patience: Duration::from_secs(30),
};

pub(crate) async fn run() -> Result<Report> {
    let world = World::start("bench-recovery", &Options::default())?;
    let verdict = strike_and_compare(world, LOAD).await?;
    let mut report = Report::default();
    report.figure("messages promised", verdict.promised as f64);
    report.figure("messages accepted by Meta", verdict.accepted as f64);
    report.figure("held as unknown", verdict.unknown as f64);
    for (fault, seconds) in verdict.recoveries(LOAD.full) {
        let seconds = seconds.map_or(f64::INFINITY, |seconds| seconds as f64);
        report.at_most(&format!("seconds to the full rate after {fault:?}"), seconds, 10.0);
    }
    Ok(report)
}
