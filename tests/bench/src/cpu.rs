//! CPU time by process, from `/proc`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

/// Linux counts CPU time in hundredths of a second for user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds so far: of each watched process with its children, and of the whole machine.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    processes: BTreeMap<String, f64>,
    machine: f64,
}

/// Which processes to watch, by a name for the report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    pids: Vec<(String, u32, Kin)>,
}

/// Whether a process's children count as itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kin {
    Children,
    Alone,
}

/// What was used between two samples.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    /// CPU seconds by process.
    pub(crate) processes: BTreeMap<String, f64>,
    /// CPU seconds of the machine that no watched process used.
    pub(crate) foreign: f64,
}

impl Watch {
    /// A process with its children: Postgres has one for each connection.
    pub(crate) fn add(&mut self, name: impl Into<String>, pid: u32) {
        self.pids.push((name.into(), pid, Kin::Children));
    }

    /// This process alone: everything else that is watched is its child.
    pub(crate) fn add_self(&mut self, name: impl Into<String>) {
        self.pids.push((name.into(), std::process::id(), Kin::Alone));
    }

    /// Reads every counter now.
    pub(crate) fn sample(&self) -> Result<Sample> {
        let tree = processes()?;
        let mut sample = BTreeMap::new();
        for (name, pid, kin) in &self.pids {
            let seconds = match kin {
                Kin::Children => with_children(&tree, *pid),
                Kin::Alone => tree.get(pid).map_or(0.0, |(_, seconds)| *seconds),
            };
            *sample.entry(name.clone()).or_insert(0.0) += seconds;
        }
        Ok(Sample {
            processes: sample,
            machine: machine()?,
        })
    }
}

impl Sample {
    /// What was used since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Used {
        let processes: BTreeMap<String, f64> = self
            .processes
            .iter()
            .map(|(name, now)| (name.clone(), now - earlier.processes.get(name).copied().unwrap_or(0.0)))
            .collect();
        let ours: f64 = processes.values().sum();
        Used {
            foreign: (self.machine - earlier.machine - ours).max(0.0),
            processes,
        }
    }
}

impl Used {
    /// CPU microseconds of a process for each of `operations`.
    pub(crate) fn micros_each(&self, name: &str, operations: u64) -> f64 {
        self.processes.get(name).copied().unwrap_or(0.0) * 1e6 / operations.max(1) as f64
    }
}

/// Resident memory of a process in MiB.
pub(crate) fn resident_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(kib / 1_024.0)
}

/// pid → (parent, CPU seconds).
fn processes() -> Result<BTreeMap<u32, (u32, f64)>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process can end between listing and reading.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // The name in parentheses may hold anything: read after it.
        let Some((_, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| {
            fields
                .get(at)
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        let parent = fields.get(1).and_then(|field| field.parse().ok()).unwrap_or(0);
        let ticks = number(11) + number(12);
        found.insert(pid, (parent, ticks / TICKS_PER_SECOND));
    }
    Ok(found)
}

fn with_children(tree: &BTreeMap<u32, (u32, f64)>, pid: u32) -> f64 {
    let own = tree.get(&pid).map_or(0.0, |(_, seconds)| *seconds);
    let children = tree
        .iter()
        .filter(|(child, (parent, _))| *parent == pid && **child != pid);
    own + children.map(|(child, _)| with_children(tree, *child)).sum::<f64>()
}

fn machine() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("no first line")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user, nice, system, (idle, iowait,) irq, softirq, steal
    let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| ticks.get(*at)).sum::<f64>();
    Ok(busy / TICKS_PER_SECOND)
}
