use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::batcher::{Answer, Shared};
use crate::{BatchConfig, SubmitError};

/// Writes one batch.
pub trait Flush: Send + Sync + 'static {
    /// What callers submit.
    type Item: Send + Sync + 'static;
    /// What a caller gets for its item. May be a `Result` of its own where single items can be refused.
    type Output: Send + 'static;
    /// Why a flush failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The bytes of `item`, roughly: what the byte bounds count.
    fn weight(&self, item: &Self::Item) -> usize;

    /// Writes `items` durably (never empty) and gives one output per item, in the same order.
    fn flush(
        &self,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Output>, FlushError<Self::Error>>> + Send;
}

/// What a failed flush says of its items.
#[derive(Debug)]
pub enum FlushError<E> {
    /// The data of at least one item is at fault and nothing was written: the items are tried apart.
    Poison(E),
    /// Not an item's fault: every item of this flush fails with it.
    Whole(E),
}

/// One of a batcher's flushers, to be spawned.
#[must_use = "nothing is flushed until `run` is spawned"]
pub struct Flusher<F: Flush> {
    shared: Arc<Shared<F>>,
    queue: Arc<Queue<F>>,
}

pub(crate) struct Entry<F: Flush> {
    pub(crate) item: F::Item,
    pub(crate) weight: usize,
    pub(crate) since: Instant,
    pub(crate) answer: oneshot::Sender<Answer<F>>,
}

/// Less than this part of a full batch waits: a trickle.
const TRICKLE: usize = 32;
/// How often whoever is ready may submit before a batch is closed.
const TURNS: usize = 3;

/// What waits, shared by the flushers. Whoever holds the lock takes the next batch.
pub(crate) struct Queue<F: Flush>(Mutex<Waiting<F>>);

struct Waiting<F: Flush> {
    receiver: mpsc::Receiver<Entry<F>>,
    /// Received, and too heavy for the batch before.
    backlog: VecDeque<Entry<F>>,
    /// Where `recv_many` puts entries; empty between takes, kept for its memory.
    inbox: Vec<Entry<F>>,
}

/// A batch on its way. What is not answered when it goes is answered `Aborted`.
struct Batch<F: Flush> {
    items: Vec<F::Item>,
    answers: Vec<Option<oneshot::Sender<Answer<F>>>>,
    oldest: Option<Instant>,
}

// === impl Queue ===

impl<F: Flush> Queue<F> {
    pub(crate) fn new(receiver: mpsc::Receiver<Entry<F>>) -> Self {
        Self(Mutex::new(Waiting {
            receiver,
            backlog: VecDeque::new(),
            inbox: Vec::new(),
        }))
    }
}

impl<F: Flush> Waiting<F> {
    /// Waits for the next batch; none when the queue is closed and empty. Cancelling it loses nothing.
    async fn take(&mut self, shared: &Shared<F>) -> Option<Batch<F>> {
        if self.backlog.is_empty() {
            let limit = shared.config.max_items;
            let received = shared
                .closing
                .run_until_cancelled(self.receiver.recv_many(&mut self.inbox, limit))
                .await;
            if received.is_none() {
                // Closing: refuse new entries, then take what is left.
                self.receiver.close();
                self.receiver.recv_many(&mut self.inbox, limit).await;
            }
            self.backlog.extend(self.inbox.drain(..));
            self.gather(limit).await;
        }
        let mut bytes = 0_usize;
        let fitting = self.backlog.iter().take(shared.config.max_items).take_while(|entry| {
            bytes = bytes.saturating_add(entry.weight);
            bytes <= shared.config.max_bytes
        });
        // One that is too heavy for any batch goes alone.
        let count = fitting.count().max(1).min(self.backlog.len());
        let mut batch = Batch {
            items: Vec::with_capacity(count),
            answers: Vec::with_capacity(count),
            oldest: self.backlog.front().map(|entry| entry.since),
        };
        let mut weight = 0;
        for entry in self.backlog.drain(..count) {
            weight += entry.weight;
            batch.items.push(entry.item);
            batch.answers.push(Some(entry.answer));
        }
        let before = shared.queued.fetch_sub(weight, Ordering::Relaxed);
        shared.meter.queued_bytes.set(before.saturating_sub(weight) as f64);
        (count > 0).then_some(batch)
    }
}

impl<F: Flush> Waiting<F> {
    /// Lets whoever is ready to submit do so first. Who submits is often woken by the same thing, as many callers are by one flush: without this the first
    /// of them would be flushed alone and the rest behind it. No time passes if nobody is ready.
    async fn gather(&mut self, limit: usize) {
        for _ in 0..TURNS {
            let before = self.backlog.len();
            if before == 0 || before >= limit {
                return;
            }
            tokio::task::yield_now().await;
            while self.backlog.len() < limit
                && let Ok(entry) = self.receiver.try_recv()
            {
                self.backlog.push_back(entry);
            }
            if self.backlog.len() == before {
                return;
            }
        }
    }
}

// === impl Flusher ===

impl<F: Flush> Flusher<F> {
    pub(crate) fn new(shared: Arc<Shared<F>>, queue: Arc<Queue<F>>) -> Self {
        Self { shared, queue }
    }

    /// Flushes until the batcher is closed and everything queued is flushed. Dropping it in the middle of a flush
    /// answers the items of that flush `Aborted`; what still waits is left to the other flushers.
    pub async fn run(self) {
        loop {
            let batch = self.queue.0.lock().await.take(&self.shared).await;
            let Some(batch) = batch else { return };
            let begun = tokio::time::Instant::now();
            self.flush(batch).await;
            self.rest(begun).await;
        }
    }

    /// While little waits, waits for more: as long as the configured pace says.
    async fn rest(&self, begun: tokio::time::Instant) {
        let BatchConfig { pace, max_items, .. } = self.shared.config;
        let left = pace.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return;
        }
        let waiting = {
            let waiting = self.queue.0.lock().await;
            waiting.backlog.len() + waiting.receiver.len()
        };
        if waiting < max_items / TRICKLE {
            // Whoever closes the batcher does not wait for this.
            let _ = self.shared.closing.run_until_cancelled(tokio::time::sleep(left)).await;
        }
    }

    async fn flush(&self, mut batch: Batch<F>) {
        let meter = &self.shared.meter;
        let start = Instant::now();
        if let Some(oldest) = batch.oldest {
            meter.wait.record(start.duration_since(oldest));
        }
        meter.items.record(batch.items.len() as f64);
        let failed = self.halve(&mut batch).await;
        meter.flush.record(start.elapsed());
        if failed > 0 {
            meter.failed.increment(failed);
        }
    }

    /// Flushes the batch, and on poison its halves, first half first. Gives the number of items that failed.
    async fn halve(&self, batch: &mut Batch<F>) -> u64 {
        let mut failed = 0;
        let whole = 0..batch.items.len();
        let mut ranges = Vec::from([whole]);
        while let Some(range) = ranges.pop() {
            let count = range.len();
            match self.attempt(&batch.items[range.clone()]).await {
                Some(Ok(outputs)) => {
                    for (answer, output) in batch.answers[range].iter_mut().zip(outputs) {
                        reply(answer, Ok(output));
                    }
                }
                Some(Err(FlushError::Poison(_))) if count > 1 => {
                    let middle = range.start + count / 2;
                    ranges.push(middle..range.end);
                    ranges.push(range.start..middle);
                }
                Some(Err(FlushError::Poison(error))) => {
                    failed += 1;
                    reply(
                        &mut batch.answers[range.start],
                        Err(SubmitError::Failed(Arc::new(error))),
                    );
                }
                Some(Err(FlushError::Whole(error))) => {
                    // The rest would only meet the same trouble, one statement each.
                    let error = Arc::new(error);
                    for answer in batch.answers[range.start..]
                        .iter_mut()
                        .filter(|answer| answer.is_some())
                    {
                        failed += 1;
                        reply(answer, Err(SubmitError::Failed(Arc::clone(&error))));
                    }
                    return failed;
                }
                None => {
                    for answer in &mut batch.answers[range] {
                        failed += 1;
                        reply(answer, Err(SubmitError::Aborted));
                    }
                }
            }
        }
        failed
    }

    /// One call of `flush`; none if it panicked or did not answer for each item.
    async fn attempt(&self, items: &[F::Item]) -> Option<Result<Vec<F::Output>, FlushError<F::Error>>> {
        let name = self.shared.config.name;
        let Ok(future) = catch_unwind(AssertUnwindSafe(|| self.shared.flush.flush(items))) else {
            tracing::error!(batch = name, "A flush panicked: its items have an unknown outcome");
            return None;
        };
        let mut future = pin!(future);
        let outcome = std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        });
        let outcome = outcome.await;
        match &outcome {
            None => tracing::error!(batch = name, "A flush panicked: its items have an unknown outcome"),
            Some(Ok(outputs)) if outputs.len() != items.len() => {
                tracing::error!(
                    batch = name,
                    items = items.len(),
                    outputs = outputs.len(),
                    "A flush did not answer for each of its items: they have an unknown outcome"
                );
                return None;
            }
            Some(_) => {}
        }
        outcome
    }
}

impl<F: Flush> fmt::Debug for Flusher<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flusher")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

// === impl Batch ===

impl<F: Flush> Drop for Batch<F> {
    fn drop(&mut self) {
        for answer in &mut self.answers {
            reply(answer, Err(SubmitError::Aborted));
        }
    }
}

fn reply<O, E>(answer: &mut Option<oneshot::Sender<Result<O, E>>>, result: Result<O, E>) {
    if let Some(answer) = answer.take() {
        // The caller may have gone; its item is flushed all the same.
        let _ = answer.send(result);
    }
}
