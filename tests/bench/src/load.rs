//! Load: a fixed number in flight for capacity, a fixed rate for latency.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What a load came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    pub(crate) operations: u64,
    pub(crate) failed: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// Requests at an open-loop load that may wait at once: more means that the rate is beyond what the server can do.
const MOST_WAITING: usize = 20_000;

/// Keeps one request in flight in each of `lanes` for `time`; `lane` makes the requests of one lane, one after the other.
pub(crate) async fn closed<L, F>(lanes: Vec<L>, time: Duration) -> Result<Measured>
where
    L: FnMut() -> F + Send + 'static,
    F: Future<Output = bool> + Send,
{
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for mut lane in lanes {
        tasks.spawn(async move {
            let (mut latencies, mut failed) = (histogram(), 0);
            while begun.elapsed() < time {
                let sent = Instant::now();
                if lane().await {
                    latencies.saturating_record(sent.elapsed().as_micros() as u64);
                } else {
                    failed += 1;
                }
            }
            (latencies, failed)
        });
    }
    let (mut all, mut failed) = (histogram(), 0);
    while let Some(done) = tasks.join_next().await {
        let (latencies, failures) = done?;
        all.add(latencies)?;
        failed += failures;
    }
    Ok(measured(&all, failed, begun.elapsed()))
}

/// Begins `rate` requests a second for `time`, whether answers come or not. Latency counts from when a request was due.
pub(crate) async fn open<M, F>(rate: f64, time: Duration, mut new_request: M) -> Result<Measured>
where
    M: FnMut() -> F,
    F: Future<Output = bool> + Send + 'static,
{
    let waiting = Arc::new(Semaphore::new(MOST_WAITING));
    let refused = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let (mut all, mut failed) = (histogram(), 0);
    let begun = Instant::now();
    let mut made = 0_u64;
    while begun.elapsed() < time {
        // Several can be due after a pause: each keeps its own due time.
        let due = (begun.elapsed().as_secs_f64() * rate) as u64;
        while made < due {
            let at = begun + Duration::from_secs_f64(made as f64 / rate);
            made += 1;
            let Ok(permit) = Arc::clone(&waiting).try_acquire_owned() else {
                refused.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let request = new_request();
            tasks.spawn(async move {
                let _permit = permit;
                (request.await, at.elapsed())
            });
        }
        while let Some(done) = tasks.try_join_next() {
            record(&mut all, &mut failed, done?);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = begun.elapsed();
    while let Some(done) = tasks.join_next().await {
        record(&mut all, &mut failed, done?);
    }
    Ok(measured(&all, failed + refused.load(Ordering::Relaxed), took))
}

fn record(all: &mut Histogram<u64>, failed: &mut u64, (good, took): (bool, Duration)) {
    if good {
        all.saturating_record(took.as_micros() as u64);
    } else {
        *failed += 1;
    }
}

pub(crate) fn histogram() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "the bounds are constants that the crate accepts")]
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("constant bounds")
}

pub(crate) fn measured(latencies: &Histogram<u64>, failed: u64, took: Duration) -> Measured {
    let ms = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
    Measured {
        operations: latencies.len(),
        failed,
        per_second: latencies.len() as f64 / took.as_secs_f64(),
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        max_ms: ms(1.0),
    }
}
