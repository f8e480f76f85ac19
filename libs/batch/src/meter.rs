use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// The metrics of one batcher, looked up once.
pub(crate) struct Meter {
    pub(crate) items: Histogram,
    pub(crate) wait: Histogram,
    pub(crate) flush: Histogram,
    pub(crate) refused: Counter,
    pub(crate) failed: Counter,
    pub(crate) queued_bytes: Gauge,
}

// === impl Meter ===

impl Meter {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            items: histogram!("batch_items", "batch" => name),
            wait: histogram!("batch_wait_seconds", "batch" => name),
            flush: histogram!("batch_flush_seconds", "batch" => name),
            refused: counter!("batch_refused_total", "batch" => name),
            failed: counter!("batch_failed_total", "batch" => name),
            queued_bytes: gauge!("batch_queued_bytes", "batch" => name),
        }
    }
}
