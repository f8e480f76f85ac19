//! Every promise of the README.
#![expect(clippy::unwrap_used, reason = "tests")]

mod promises;
mod property;

use std::sync::{Arc, Mutex, PoisonError};

use outeract_batch::{BatchConfig, Batcher, Flush, FlushError, Flusher};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What a flush does with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Written,
    Poison,
    Panic,
    /// The database is away.
    Away,
    /// One output too few.
    Miscount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    number: usize,
    weight: usize,
    fate: Fate,
}

/// Keeps what it flushes, and flushes only while the gate has permits.
#[derive(Debug, Clone)]
struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    gate: Semaphore,
    /// Every call, whatever became of it.
    calls: Mutex<Vec<Vec<usize>>>,
    written: Mutex<Vec<usize>>,
}

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct No;

impl Item {
    fn new(number: usize) -> Self {
        Self::fated(number, Fate::Written)
    }

    fn fated(number: usize, fate: Fate) -> Self {
        Self {
            number,
            weight: 1,
            fate,
        }
    }
}

impl Store {
    fn open() -> Self {
        let store = Self::shut();
        store.0.gate.add_permits(1 << 20);
        store
    }

    fn shut() -> Self {
        Self(Arc::new(Inner {
            gate: Semaphore::new(0),
            calls: Mutex::default(),
            written: Mutex::default(),
        }))
    }

    fn let_through(&self, flushes: usize) {
        self.0.gate.add_permits(flushes);
    }

    fn calls(&self) -> Vec<Vec<usize>> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn written(&self) -> Vec<usize> {
        self.0.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Flush for Store {
    type Item = Item;
    type Output = usize;
    type Error = No;

    fn weight(&self, item: &Item) -> usize {
        item.weight
    }

    async fn flush(&self, items: &[Item]) -> Result<Vec<usize>, FlushError<No>> {
        let numbers: Vec<usize> = items.iter().map(|item| item.number).collect();
        self.0
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(numbers.clone());
        self.0.gate.acquire().await.unwrap().forget();
        let any = |fate| items.iter().any(|item| item.fate == fate);
        assert!(!any(Fate::Panic), "an item that panics");
        if any(Fate::Poison) {
            return Err(FlushError::Poison(No));
        }
        if any(Fate::Away) {
            return Err(FlushError::Whole(No));
        }
        self.0
            .written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(&numbers);
        Ok(if any(Fate::Miscount) {
            numbers[1..].to_vec()
        } else {
            numbers
        })
    }
}

fn config(flushers: usize) -> BatchConfig {
    BatchConfig {
        flushers,
        ..BatchConfig::new("test")
    }
}

fn start(config: BatchConfig, store: &Store) -> (Batcher<Store>, JoinSet<()>) {
    let (batcher, flushers) = Batcher::new(config, store.clone());
    (batcher, spawn(flushers))
}

fn spawn(flushers: Vec<Flusher<Store>>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for flusher in flushers {
        tasks.spawn(flusher.run());
    }
    tasks
}

/// Lets the flushers go as far as they get.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
