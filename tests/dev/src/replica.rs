//! One process of a service, which can be killed and started again.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use crate::environment::Ports;
use crate::{Error, Instance, Process, Program, Result, Service, Signal, wire};

/// One process of a service.
#[derive(Debug)]
pub struct Replica {
    instance: Instance,
    service: Service,
    name: String,
    ports: Ports,
    program: Program,
    process: Option<Process>,
}

impl Replica {
    pub(crate) fn new(instance: &Instance, service: Service, ports: Ports, program: Program, name: String) -> Self {
        Self {
            instance: instance.clone(),
            service,
            name,
            ports,
            program,
            process: None,
        }
    }

    /// Which service it is.
    pub fn service(&self) -> Service {
        self.service
    }

    /// `messaging` for the first, then `messaging-2`; also the name of its log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.program.log
    }

    /// Sets a configuration key for the next start.
    pub fn set(&mut self, key: &str, value: &str) {
        self.program.environment.insert(key.to_owned(), value.to_owned());
    }

    /// Its whole configuration.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.program.environment
    }

    /// Where applications call it.
    pub fn application_url(&self) -> String {
        url(self.ports.application)
    }

    /// Where siblings and operators call it.
    pub fn internal_url(&self) -> String {
        url(self.ports.internal)
    }

    /// Where probes and metrics are.
    pub fn ops_url(&self) -> String {
        url(self.ports.ops)
    }

    /// Where Meta calls it (webhook only).
    pub fn edge_url(&self) -> String {
        url(self.ports.edge)
    }

    /// Runs `<service> migrate` to its end.
    ///
    /// # Errors
    /// When it fails.
    pub fn migrate(&self) -> Result<()> {
        let program = self.program.clone().arguments(["migrate"]);
        let mut process = self.instance.spawn(&format!("{}-migrate", self.name), &program)?;
        let status = process.wait(Duration::from_mins(1))?;
        if status.success() {
            Ok(())
        } else {
            Err(process.fault(&format!("could not migrate ({status})")))
        }
    }

    /// Starts it, unless it runs. It is not ready yet.
    ///
    /// # Errors
    /// When the program is missing or cannot be started.
    pub fn start(&mut self) -> Result<()> {
        if self.process.as_mut().is_some_and(Process::is_running) {
            return Ok(());
        }
        self.process = Some(self.instance.spawn(&self.name, &self.program)?);
        Ok(())
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// When it ends first or `limit` passes, with the end of its log.
    pub fn wait_until_ready(&mut self, limit: Duration) -> Result<()> {
        let ops = self.ports.ops;
        let ready = || wire::http_status(ops, "/readyz").is_ok_and(|status| status == 200);
        self.running()?.wait_until(limit, ready)
    }

    /// Its process id while it runs.
    pub fn pid(&mut self) -> Option<u32> {
        let process = self.process.as_mut()?;
        process.is_running().then(|| process.pid())
    }

    /// How it ended, if it was started and has.
    pub fn exit(&mut self) -> Option<ExitStatus> {
        self.process.as_mut().and_then(Process::exit)
    }

    /// `kill -9`; it is gone when this returns. [`Replica::start`] starts it again.
    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    /// Sends a signal while it runs.
    pub fn signal(&mut self, signal: Signal) {
        if let Some(process) = &mut self.process {
            process.signal(signal);
        }
    }

    /// SIGTERM, then waits for its end; kills it after `limit`.
    ///
    /// # Errors
    /// When it was not started, or had to be killed.
    pub fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        let process = self.running()?;
        let ended = process.terminate(limit);
        process.kill();
        ended
    }

    fn running(&mut self) -> Result<&mut Process> {
        let name = &self.name;
        self.process
            .as_mut()
            .ok_or_else(|| Error::from(format!("{name} was not started")))
    }

    /// A complaint about it with the end of its log.
    pub fn fault(&self, how: &str) -> Error {
        match &self.process {
            Some(process) => process.fault(how),
            None => format!("{} {how}", self.name).into(),
        }
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
