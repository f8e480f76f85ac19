//! Measures of the process itself, taken when they are asked for.

use metrics::{counter, gauge};
use outeract_postgres::record_pool;
use sqlx::PgPool;
use tokio::runtime::Handle;

/// Sets the gauges of the process, its runtime and its pool.
pub(crate) fn record(db: Option<&PgPool>) {
    let runtime = Handle::current().metrics();
    gauge!("tokio_workers").set(runtime.num_workers() as f64);
    gauge!("tokio_alive_tasks").set(runtime.num_alive_tasks() as f64);
    gauge!("tokio_global_queue_depth").set(runtime.global_queue_depth() as f64);
    let busy: f64 = (0..runtime.num_workers())
        .map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64())
        .sum();
    gauge!("tokio_busy_seconds").set(busy);
    if let Some(db) = db {
        record_pool(db);
    }
    if let Some(process) = Process::read() {
        gauge!("process_resident_memory_bytes").set(process.resident_bytes as f64);
        // Milliseconds, because a counter counts whole things.
        counter!("process_cpu_milliseconds_total").absolute(process.cpu_millis);
        gauge!("process_threads").set(process.threads as f64);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(open.count() as f64);
    }
}

struct Process {
    cpu_millis: u64,
    threads: u64,
    resident_bytes: u64,
}

/// Linux counts in hundredths of a second and pages of 4 KiB on every machine this runs on.
const MILLIS_PER_TICK: u64 = 10;
const PAGE_BYTES: u64 = 4_096;

// === impl Process ===

impl Process {
    /// From `/proc/self/stat`; `None` elsewhere than on Linux.
    fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The program's name is in brackets and may hold spaces: fields count from behind it, with the state as the third.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
        Some(Self {
            cpu_millis: (field(14)? + field(15)?) * MILLIS_PER_TICK,
            threads: field(20)?,
            resident_bytes: field(24)? * PAGE_BYTES,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_misleads_no_one() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 7 18 19 20 300 22";
        let process = Process::parse(stat).unwrap();
        assert_eq!(
            (process.cpu_millis, process.threads, process.resident_bytes),
            (2_000, 7, 300 * 4_096)
        );
    }
}
