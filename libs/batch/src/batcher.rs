use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::flusher::{Entry, Flush, Flusher, Queue};
use crate::meter::Meter;

/// The bounds of one batcher.
#[derive(Debug, Clone, Copy)]
pub struct BatchConfig {
    /// The label of its metrics.
    pub name: &'static str,
    /// Items that may wait; one more is refused.
    pub capacity: usize,
    /// Bytes that may wait, by [`Flush::weight`]; an item that would exceed it is refused.
    pub capacity_bytes: usize,
    /// Items of one flush.
    pub max_items: usize,
    /// Bytes of one flush; an item heavier than that is flushed alone.
    pub max_bytes: usize,
    /// Flushes at a time. Two fit disks that need a millisecond per commit; more make batches small.
    pub flushers: usize,
    /// Least time between the beginnings of two flushes of a flusher while less than a thirty-second part of a batch waits; zero: none. A flush costs about the same
    /// for one item as for ten, so this saves work where nobody waits for the answer. What comes after a rest is flushed at once.
    pub pace: Duration,
}

/// A batcher's handle: cheap to clone.
pub struct Batcher<F: Flush> {
    sender: mpsc::Sender<Entry<F>>,
    shared: Arc<Shared<F>>,
}

/// The answer to come for one item. Dropping it changes nothing for the item.
#[must_use = "the item is queued; without waiting nobody learns whether it was flushed"]
pub struct Submission<F: Flush>(State<F>);

enum State<F: Flush> {
    Refused(Option<SubmitError<F::Error>>),
    Queued(oneshot::Receiver<Answer<F>>),
}

/// What a caller learns of its item.
pub(crate) type Answer<F> = Result<<F as Flush>::Output, SubmitError<<F as Flush>::Error>>;

/// Why an item has no output.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError<E> {
    /// The queue is full; nothing was written. Try again later.
    #[error("the queue is full")]
    Full,
    /// The batcher is closed; nothing was written.
    #[error("the batcher is closed")]
    Closed,
    /// The flush panicked or was cut off; whether the item was written is unknown.
    #[error("the flush was cut off")]
    Aborted,
    /// The flush failed, for one or for many items.
    #[error("the flush failed")]
    Failed(#[source] Arc<E>),
}

pub(crate) struct Shared<F> {
    pub(crate) config: BatchConfig,
    pub(crate) flush: F,
    pub(crate) meter: Meter,
    /// The weight of what waits.
    pub(crate) queued: AtomicUsize,
    closed: AtomicBool,
    pub(crate) closing: CancellationToken,
}

// === impl BatchConfig ===

impl BatchConfig {
    /// The usual bounds: 4,096 items and 64 MiB waiting, 256 items and 4 MiB per flush, two flushers.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            capacity: 4_096,
            capacity_bytes: 64 << 20,
            max_items: 256,
            max_bytes: 4 << 20,
            flushers: 2,
            pace: Duration::ZERO,
        }
    }

    /// Every bound is at least one, or nothing could move.
    fn sane(self) -> Self {
        Self {
            capacity: self.capacity.clamp(1, tokio::sync::Semaphore::MAX_PERMITS),
            max_items: self.max_items.max(1),
            flushers: self.flushers.max(1),
            ..self
        }
    }
}

// === impl Batcher ===

impl<F: Flush> Batcher<F> {
    /// A handle, and the flushers to spawn: `config.flushers` of them. Until they run, items wait.
    pub fn new(config: BatchConfig, flush: F) -> (Self, Vec<Flusher<F>>) {
        let config = config.sane();
        let (sender, receiver) = mpsc::channel(config.capacity);
        let shared = Arc::new(Shared {
            config,
            flush,
            meter: Meter::new(config.name),
            queued: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            closing: CancellationToken::new(),
        });
        let queue = Arc::new(Queue::new(receiver));
        let flushers = (0..config.flushers)
            .map(|_| Flusher::new(Arc::clone(&shared), Arc::clone(&queue)))
            .collect();
        (Self { sender, shared }, flushers)
    }

    /// Queues `item` now, before the first poll, and gives what answers for it.
    pub fn submit(&self, item: F::Item) -> Submission<F> {
        Submission(
            self.enqueue(item)
                .map_or_else(|error| State::Refused(Some(error)), State::Queued),
        )
    }

    /// Takes no more items. Flushers flush what is queued, then end.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.closing.cancel();
    }

    fn enqueue(&self, item: F::Item) -> Result<oneshot::Receiver<Answer<F>>, SubmitError<F::Error>> {
        let shared = &self.shared;
        if shared.closed.load(Ordering::Acquire) {
            return Err(SubmitError::Closed);
        }
        let weight = shared.flush.weight(&item);
        let before = shared.queued.fetch_add(weight, Ordering::Relaxed);
        let (answer, receiver) = oneshot::channel();
        let entry = Entry {
            item,
            weight,
            since: Instant::now(),
            answer,
        };
        // An empty queue takes any item: its own weight alone must not bar it for ever.
        let refused = if before > 0 && before.saturating_add(weight) > shared.config.capacity_bytes {
            SubmitError::Full
        } else {
            match self.sender.try_send(entry) {
                Ok(()) => return Ok(receiver),
                Err(mpsc::error::TrySendError::Full(_)) => SubmitError::Full,
                Err(mpsc::error::TrySendError::Closed(_)) => SubmitError::Closed,
            }
        };
        shared.queued.fetch_sub(weight, Ordering::Relaxed);
        shared.meter.refused.increment(1);
        Err(refused)
    }
}

impl<F: Flush> Clone for Batcher<F> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<F: Flush> std::fmt::Debug for Batcher<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batcher")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

// === impl Submission ===

impl<F: Flush> Future for Submission<F> {
    type Output = Result<F::Output, SubmitError<F::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Refused(error) => Poll::Ready(Err(error.take().unwrap_or(SubmitError::Closed))),
            // A sender that is dropped without an answer never came to be flushed.
            State::Queued(receiver) => Pin::new(receiver)
                .poll(cx)
                .map(|answer| answer.unwrap_or(Err(SubmitError::Closed))),
        }
    }
}

impl<F: Flush> std::fmt::Debug for Submission<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Submission(…)")
    }
}

// === impl SubmitError ===

impl<E> Clone for SubmitError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Full => Self::Full,
            Self::Closed => Self::Closed,
            Self::Aborted => Self::Aborted,
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
        }
    }
}
