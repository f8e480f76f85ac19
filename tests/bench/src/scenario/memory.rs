//! Memory of services that have nothing to do.

use std::time::Duration;

use anyhow::{Context, Result};
use outeract_dev::{Replica, Service};

use crate::cpu;
use crate::report::Report;
use crate::stage::Stage;

pub(crate) async fn run() -> Result<Report> {
    let mut stage = Stage::start(false, &[]).await?;
    stage.tenant("Memory", 1, 80).await?;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut report = Report::default();
    for service in Service::ALL {
        let replica = stage.suite.service(service).map_err(anyhow::Error::msg)?;
        let pid = Replica::pid(replica).with_context(|| format!("{} runs", service.name()))?;
        report.at_most(
            &format!("{} idle, MiB resident", service.name()),
            cpu::resident_mib(pid)?,
            40.0,
        );
    }
    Ok(report)
}
