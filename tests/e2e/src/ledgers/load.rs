//! The load: an application that sends at a steady rate, another part of it that follows the event stream, and an eye on the rate.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use outeract_proto::tracking::v1::{AcknowledgeEventsRequest, StreamEventsRequest};
use outeract_simulator::control::{Client as Simulator, LedgerQuery};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_stream::StreamExt as _;

use crate::{Api, text_message};

/// How hard to try.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Messages a second.
    pub rate: u32,
    /// Requests in flight at most.
    pub in_flight: usize,
    /// Messages a second that count as the full rate: three seconds in a row of it are waited for before each fault.
    pub full: u32,
    /// The longest wait for that.
    pub patience: Duration,
}

/// What the client was promised: the number of a message → its id.
pub(super) type Promised = Arc<Mutex<HashMap<usize, String>>>;
/// Stands among a message's event types if the stream told an event of it again that was acknowledged.
pub(super) const TOLD_AGAIN: &str = "told again";

/// What the event stream told: message → event types.
pub(super) type Told = Arc<Mutex<HashMap<String, BTreeSet<String>>>>;

/// Seconds in a row that the rate must last.
const LASTING: i64 = 3;
/// Each message has a recipient of its own, so that what Meta accepted can be told apart by it and not only by our own ids.
pub(super) const RECIPIENTS: usize = 30_000;

pub(super) fn recipient(index: usize) -> String {
    format!("+1415{index:07}")
}

/// Which message went to this recipient.
pub(super) fn index_of(recipient: &str) -> Option<usize> {
    recipient.strip_prefix("+1415")?.parse().ok()
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends at a steady rate as far as the server keeps up; what is not answered with OK is sent again under the same key.
pub(super) async fn send(api: Api, connections: Vec<String>, promised: Promised, load: Load) {
    let mut ticks = interval(Duration::from_secs(1) / load.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let places = Arc::new(Semaphore::new(load.in_flight));
    let mut open = JoinSet::new();
    for index in 0..RECIPIENTS {
        ticks.tick().await;
        while open.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (mut messaging, promised) = (api.messaging.clone(), Arc::clone(&promised));
        let connection = &connections[index % connections.len()];
        let request = text_message(format!("ledger-{index}"), connection, &recipient(index), "hello");
        open.spawn(async move {
            let _place = place;
            loop {
                let mut call = tonic::Request::new(request.clone());
                call.set_timeout(Duration::from_secs(5));
                if let Ok(answer) = messaging.send_message(call).await {
                    locked(&promised).insert(index, answer.into_inner().id);
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
}

/// Follows the event stream over every break, from where it was acknowledged.
pub(super) async fn follow(api: Api, told: Told) {
    let mut acknowledged = HashSet::new();
    loop {
        let request = StreamEventsRequest {
            consumer: "ledgers".to_owned(),
            max_unacked: 10_000,
            ..StreamEventsRequest::default()
        };
        let Ok(stream) = api.events.clone().stream_events(request).await else {
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        let mut stream = stream.into_inner();
        while let Some(Ok(batch)) = stream.next().await {
            let mut ids = Vec::with_capacity(batch.events.len());
            for event in batch.events {
                let again = acknowledged.contains(&event.id).then(|| TOLD_AGAIN.to_owned());
                ids.push(event.id.clone());
                let message = if event.origin_event_id.is_empty() {
                    event.id
                } else {
                    event.origin_event_id
                };
                let mut told = locked(&told);
                told.entry(message)
                    .or_default()
                    .extend(again.into_iter().chain([event.event_type]));
            }
            let acknowledge = AcknowledgeEventsRequest {
                consumer: "ledgers".to_owned(),
                cursor: batch.cursor,
                session: batch.session,
            };
            if api.events.clone().acknowledge_events(acknowledge).await.is_err() {
                break;
            }
            acknowledged.extend(ids);
        }
    }
}

/// Acceptances by whole second of the simulator's clock, which is this machine's.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    by_second: BTreeMap<i64, u32>,
    /// Where the ledger is to be read on.
    next: u64,
}

// === impl Pulse ===

impl Pulse {
    /// Waits until Meta accepted the full rate for three seconds in a row after this one, or until patience ends: the verdict tells.
    pub(super) async fn beats(&mut self, simulator: &Simulator, since: i64, load: Load) -> Result<()> {
        let end = Instant::now() + load.patience;
        loop {
            self.read(simulator).await?;
            if self.recovery(since, unix_ms() / 1_000, load.full).is_some() || Instant::now() > end {
                return Ok(());
            }
            sleep(Duration::from_millis(250)).await;
        }
    }

    /// The first of three seconds in a row with `full` acceptances each, all of them after `since` and over before `end`.
    pub(super) fn recovery(&self, since: i64, end: i64, full: u32) -> Option<i64> {
        let is_full = |second: i64| self.by_second.get(&second).is_some_and(|count| *count >= full);
        (since + 1..=end - LASTING).find(|&first| (first..first + LASTING).all(is_full))
    }

    async fn read(&mut self, simulator: &Simulator) -> Result<()> {
        let query = LedgerQuery {
            after: self.next,
            limit: Some(10_000),
            ..LedgerQuery::default()
        };
        for entry in simulator.ledger(&query).await? {
            *self.by_second.entry(entry.at_ms / 1_000).or_insert(0) += 1;
            self.next = entry.index + 1;
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "compared with the simulator's own clock")]
pub(super) fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}
