//! Faults under load, and the ledgers that must agree afterwards: what the client was promised, what Postgres recorded, what Meta accepted, what the event stream told.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use outeract_dev::Service;
use outeract_proto::messaging::v1::{GetMessageRequest, SubmissionState};
use outeract_proto::tracking::v1::{AcknowledgeEventsRequest, StreamEventsRequest};
use outeract_simulator::control::{NewWorld, Tier};
use outeract_simulator::{Accepted, Switches};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;

use crate::{Api, World, text_message};

/// A fault under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of a service, which is started again at once, as Kubernetes would.
    Service(Service),
    /// `kill -9` of Postgres, which is started again at once.
    Postgres,
    /// Redis forgets everything.
    Redis,
}

/// How hard to try.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Messages a second.
    pub rate: u32,
    /// Requests in flight at most.
    pub in_flight: usize,
    /// Time between faults, and before the first and after the last.
    pub between: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Verdict {
    /// Messages that the client was promised.
    pub promised: usize,
    /// Messages that Meta accepted.
    pub accepted: usize,
    /// Messages held because their outcome is not known: their call was announced and never made.
    pub unknown: usize,
    /// Acceptances by second, by the simulator's clock.
    by_second: BTreeMap<i64, u32>,
    /// Each fault, and when it struck.
    faults: Vec<(Fault, i64)>,
}

/// What the client was promised: idempotency key → message id.
type Promised = Arc<Mutex<HashMap<String, String>>>;
/// What the event stream told: message → event types.
type Told = Arc<Mutex<HashMap<String, BTreeSet<String>>>>;

const NUMBERS: usize = 4;
const RECIPIENTS: usize = 5_000;

fn recipient(index: usize) -> String {
    format!("+1415{index:07}")
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 6] = [
        Self::Service(Service::Messaging),
        Self::Service(Service::Tracking),
        Self::Service(Service::Webhook),
        Self::Service(Service::Connection),
        Self::Postgres,
        Self::Redis,
    ];

    fn strike(self, mut world: World) -> Result<World> {
        match self {
            Self::Service(service) => {
                let replica = world.suite.service(service).map_err(anyhow::Error::msg)?;
                replica.kill();
                replica.start().map_err(anyhow::Error::msg)?;
            }
            Self::Postgres => {
                world.postgres.crash();
                world.postgres.restart().map_err(anyhow::Error::msg)?;
            }
            Self::Redis => world.redis.flush_all().map_err(anyhow::Error::msg)?,
        }
        Ok(world)
    }
}

impl Verdict {
    /// Seconds from each fault until a whole second with nine tenths of `rate`; `None`: it did not come back.
    pub fn recoveries(&self, rate: u32) -> Vec<(Fault, Option<i64>)> {
        let recovery = |at: i64| {
            let mut later = self.by_second.range(at / 1_000 + 1..);
            later
                .find(|(_, count)| **count >= rate * 9 / 10)
                .map(|(second, _)| second - at / 1_000)
        };
        self.faults.iter().map(|(fault, at)| (*fault, recovery(*at))).collect()
    }
}

/// Strikes with each fault while messages flow, lets everything settle, and compares the ledgers. An error names what does not agree.
pub async fn strike_and_compare(mut world: World, load: Load) -> Result<Verdict> {
    let new = NewWorld {
        numbers_per_waba: NUMBERS,
        tier: Tier::Unlimited,
        ..NewWorld::default()
    };
    let (api, _, connections) = world.connected("Ledgers", &new).await?;
    world.simulator.set_switches(Switches::OFF).await?;
    world.users_have_written((0..RECIPIENTS).map(recipient)).await?;
    let (promised, told) = (Promised::default(), Told::default());
    let mut following = JoinSet::new();
    following.spawn(follow(api.clone(), Arc::clone(&told)));
    let mut sending = JoinSet::new();
    sending.spawn(send(api.clone(), connections, Arc::clone(&promised), load));

    // Faults come on a schedule, not after a condition: a death at a quiet moment would prove little.
    let mut faults = Vec::new();
    for fault in Fault::ALL {
        tokio::time::sleep(load.between).await;
        faults.push((fault, unix_ms()));
        world = tokio::task::spawn_blocking(move || fault.strike(world)).await??;
    }
    tokio::time::sleep(load.between).await;
    sending.shutdown().await;

    let promised = locked(&promised).clone();
    let states = settle(&api, &promised).await?;
    ensure!(
        world.simulator.idle(Duration::from_mins(2)).await?,
        "Meta still holds webhooks"
    );
    let entries = world.simulator.whole_ledger().await?;
    let duplicates = world.simulator.summary().await?.duplicates;
    ensure!(duplicates.is_empty(), "sent twice: {duplicates:?}");
    let unknown = agree(&states, &promised, &entries)?;
    hear_everything(&told, &wanted(&entries, &promised)).await?;

    let mut by_second = BTreeMap::new();
    for entry in &entries {
        *by_second.entry(entry.at_ms / 1_000).or_insert(0) += 1;
    }
    Ok(Verdict {
        promised: promised.len(),
        accepted: entries.len(),
        unknown,
        by_second,
        faults,
    })
}

/// Client against Postgres against Meta; the number of messages that are held.
fn agree(
    states: &HashMap<String, SubmissionState>,
    promised: &HashMap<String, String>,
    entries: &[Accepted],
) -> Result<usize> {
    let ids: HashSet<&String> = promised.values().collect();
    ensure!(ids.len() == promised.len(), "two keys were given one message");
    let accepted: HashSet<String> = entries
        .iter()
        .filter_map(|entry| message_of(entry.callback.as_deref()?))
        .collect();
    for (id, state) in states {
        match state {
            SubmissionState::Accepted => ensure!(
                accepted.contains(id),
                "{id} is recorded as accepted, and Meta knows nothing of it"
            ),
            SubmissionState::Unknown => ensure!(
                !accepted.contains(id),
                "Meta accepted {id} and said so, and it is still unknown"
            ),
            other => bail!("{id} ended as {other:?}"),
        }
    }
    Ok(states
        .values()
        .filter(|state| **state == SubmissionState::Unknown)
        .count())
}

/// Sends at a steady rate as far as the server keeps up; what is not answered with OK is sent again under the same key.
async fn send(api: Api, connections: Vec<String>, promised: Promised, load: Load) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / load.rate);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let places = Arc::new(Semaphore::new(load.in_flight));
    let mut open = JoinSet::new();
    for index in 0_usize.. {
        ticks.tick().await;
        while open.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (mut messaging, promised) = (api.messaging.clone(), Arc::clone(&promised));
        let key = format!("ledger-{index}");
        let recipient = recipient(index % RECIPIENTS);
        let request = text_message(&key, &connections[index % connections.len()], &recipient, "hello");
        open.spawn(async move {
            let _place = place;
            loop {
                let mut call = tonic::Request::new(request.clone());
                call.set_timeout(Duration::from_secs(5));
                if let Ok(answer) = messaging.send_message(call).await {
                    locked(&promised).insert(key, answer.into_inner().id);
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
}

/// Follows the event stream over every break, from where it was acknowledged.
async fn follow(api: Api, told: Told) {
    loop {
        let request = StreamEventsRequest {
            consumer: "ledgers".to_owned(),
            max_unacked: 10_000,
            ..StreamEventsRequest::default()
        };
        let Ok(stream) = api.events.clone().stream_events(request).await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let mut stream = stream.into_inner();
        while let Some(Ok(batch)) = stream.next().await {
            for event in batch.events {
                let message = if event.origin_event_id.is_empty() {
                    event.id
                } else {
                    event.origin_event_id
                };
                locked(&told).entry(message).or_default().insert(event.event_type);
            }
            let acknowledge = AcknowledgeEventsRequest {
                consumer: "ledgers".to_owned(),
                cursor: batch.cursor,
                session: batch.session,
            };
            if api.events.clone().acknowledge_events(acknowledge).await.is_err() {
                break;
            }
        }
    }
}

/// Waits until no message is on its way and none is unknown that Meta could still tell of, and says where each ended.
async fn settle(api: &Api, promised: &HashMap<String, String>) -> Result<HashMap<String, SubmissionState>> {
    let deadline = Instant::now() + Duration::from_mins(3);
    let mut states = HashMap::new();
    for id in promised.values() {
        loop {
            let found = api
                .messaging
                .clone()
                .get_message(GetMessageRequest { id: id.clone() })
                .await;
            let state = found
                .with_context(|| format!("{id} was promised"))?
                .into_inner()
                .message
                .context("a message")?
                .state();
            if !matches!(state, SubmissionState::Queued | SubmissionState::Sending) {
                states.insert(id.clone(), state);
                break;
            }
            ensure!(Instant::now() < deadline, "{id} is still {state:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    // An unknown outcome is settled by the echo, which comes with the last webhooks.
    let unknown: Vec<String> = states
        .iter()
        .filter(|(_, state)| **state == SubmissionState::Unknown)
        .map(|(id, _)| id.clone())
        .collect();
    if !unknown.is_empty() {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    for id in unknown {
        let found = api
            .messaging
            .clone()
            .get_message(GetMessageRequest { id: id.clone() })
            .await?;
        states.insert(id, found.into_inner().message.context("a message")?.state());
    }
    Ok(states)
}

/// The events that the stream owes: the message itself, and each status whose webhook was answered with 200.
fn wanted(entries: &[Accepted], promised: &HashMap<String, String>) -> HashMap<String, BTreeSet<String>> {
    let mut wanted: HashMap<String, BTreeSet<String>> = promised
        .values()
        .map(|id| (id.clone(), BTreeSet::from(["message.outbound".to_owned()])))
        .collect();
    for entry in entries {
        let Some(message) = entry.callback.as_deref().and_then(message_of) else {
            continue;
        };
        let events = wanted.entry(message).or_default();
        events.insert("message.accepted".to_owned());
        events.extend(
            entry
                .delivered_statuses
                .iter()
                .map(|status| format!("message.{status}")),
        );
    }
    wanted
}

async fn hear_everything(told: &Told, wanted: &HashMap<String, BTreeSet<String>>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        let lacking = lacking(told, wanted);
        if lacking.is_empty() {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} events never came, for example {:?}",
            lacking.len(),
            lacking.first()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn lacking(told: &Told, wanted: &HashMap<String, BTreeSet<String>>) -> Vec<String> {
    let (told, none) = (locked(told), BTreeSet::new());
    let missing = |(id, events): (&String, &BTreeSet<String>)| {
        let known = told.get(id).unwrap_or(&none);
        events
            .difference(known)
            .map(|event| format!("{event} of {id}"))
            .collect::<Vec<_>>()
    };
    wanted.iter().flat_map(missing).collect()
}

fn message_of(callback: &str) -> Option<String> {
    callback.rsplit_once('.').map(|(message, _)| message.to_owned())
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "compared with the simulator's own clock")]
fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}
