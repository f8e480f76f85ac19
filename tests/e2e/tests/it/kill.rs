//! `kill -9` of each service, of Postgres, and an empty Redis, while messages flow: nothing accepted is lost, nothing is sent twice, and four ledgers agree.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use outeract_dev::Service;
use outeract_e2e::{Api, Options, World, text_message};
use outeract_proto::messaging::v1::{GetMessageRequest, SubmissionState};
use outeract_proto::tracking::v1::{AcknowledgeEventsRequest, StreamEventsRequest};
use outeract_simulator::Switches;
use outeract_simulator::control::{NewWorld, Tier};
use outeract_testkit::eventually;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;

/// Messages a second, and seconds between faults.
const RATE: u32 = 200;
const BETWEEN: Duration = Duration::from_secs(8);
const NUMBERS: usize = 4;

/// What the client was promised: idempotency key → message id.
type Promised = Arc<Mutex<HashMap<String, String>>>;
/// What the event stream told: message → event types.
type Told = Arc<Mutex<HashMap<String, BTreeSet<String>>>>;

#[tokio::test(flavor = "multi_thread")]
async fn four_ledgers_agree_after_every_death() {
    let mut world = World::start("kill", &Options::default()).expect("a world");
    let new = NewWorld {
        numbers_per_waba: NUMBERS,
        tier: Tier::Unlimited,
        ..NewWorld::default()
    };
    let (api, _, connections) = world.connected("Kill", &new).await.expect("connections");
    world.simulator.set_switches(Switches::OFF).await.expect("switched");
    let promised = Promised::default();
    let told = Told::default();
    let following = tokio::spawn(follow(api.clone(), Arc::clone(&told)));
    let sending = tokio::spawn(send(api.clone(), connections, Arc::clone(&promised)));

    // Faults come on a schedule, not after a condition: a death at a quiet moment would prove little.
    let mut faults = Vec::new();
    for fault in [
        Fault::Service(Service::Messaging),
        Fault::Service(Service::Tracking),
        Fault::Service(Service::Webhook),
        Fault::Service(Service::Connection),
        Fault::Postgres,
        Fault::Redis,
    ] {
        tokio::time::sleep(BETWEEN).await;
        faults.push((format!("{fault:?}"), unix_ms()));
        world = tokio::task::spawn_blocking(move || strike(world, fault))
            .await
            .expect("struck");
    }
    tokio::time::sleep(BETWEEN).await;
    sending.abort();
    let _ = sending.await;

    // Everything settles: each message is accepted, or its outcome is held as unknown.
    assert!(
        world.simulator.idle(Duration::from_mins(1)).await.expect("asked"),
        "Meta has delivered every webhook"
    );
    let promised = promised.lock().expect("no panic").clone();
    let states = settle(&api, &promised).await;
    let entries = world.simulator.whole_ledger().await.expect("a ledger");
    let summary = world.simulator.summary().await.expect("a summary");
    let accepted: HashSet<String> = entries
        .iter()
        .filter_map(|entry| message_of(entry.callback.as_deref()?))
        .collect();

    // Client against Postgres: every OK is a message, every key one message.
    assert_eq!(
        states.len(),
        promised.values().collect::<HashSet<_>>().len(),
        "each key has a message of its own"
    );
    // Postgres against Meta: accepted exactly where Meta accepted, and nowhere twice.
    let recorded: HashSet<String> = states
        .iter()
        .filter(|(_, state)| **state == SubmissionState::Accepted)
        .map(|(id, _)| id.clone())
        .collect();
    let unknown = states
        .values()
        .filter(|state| **state == SubmissionState::Unknown)
        .count();
    assert!(summary.duplicates.is_empty(), "sent twice: {:?}", summary.duplicates);
    let missing: Vec<_> = promised
        .values()
        .filter(|id| accepted.contains(*id) != recorded.contains(*id))
        .collect();
    assert!(missing.is_empty(), "Meta and Postgres disagree on {missing:?}");
    let ended: Vec<_> = states
        .iter()
        .filter(|(_, state)| !matches!(state, SubmissionState::Accepted | SubmissionState::Unknown))
        .collect();
    assert!(ended.is_empty(), "neither accepted nor held: {ended:?}");
    // The stream against both: each message is there, and each status that Meta delivered.
    let wanted = wanted(&entries, &promised);
    eventually(Duration::from_mins(1), async || lacking(&told, &wanted).is_empty()).await;
    following.abort();

    println!(
        "{} messages promised, {} accepted by Meta, {unknown} held as unknown, 0 twice, 0 lost",
        promised.len(),
        accepted.len()
    );
    let rate = by_second(entries.iter().map(|entry| entry.at_ms));
    for (fault, at) in &faults {
        let full = recovery(&rate, *at).map_or_else(|| "never".to_owned(), |seconds| format!("{seconds} s"));
        println!("{fault}: full rate again after {full}");
    }
    assert!(
        faults.iter().all(|(_, at)| recovery(&rate, *at).is_some()),
        "the full rate came back after every fault"
    );
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Service(Service),
    Postgres,
    Redis,
}

/// Kills and starts again at once, as Kubernetes would.
fn strike(mut world: World, fault: Fault) -> World {
    match fault {
        Fault::Service(service) => {
            let replica = world.suite.service(service).expect("a service");
            replica.kill();
            replica.start().expect("started again");
        }
        Fault::Postgres => {
            world.postgres.crash();
            world.postgres.restart().expect("started again");
        }
        Fault::Redis => world.redis.flush_all().expect("flushed"),
    }
    world
}

/// Sends at a steady rate; what is not answered with OK is sent again under the same key.
async fn send(api: Api, connections: Vec<String>, promised: Promised) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut open = JoinSet::new();
    for index in 0_usize.. {
        ticks.tick().await;
        while open.try_join_next().is_some() {}
        let (mut messaging, promised) = (api.messaging.clone(), Arc::clone(&promised));
        let key = format!("kill-{index}");
        let recipient = format!("+1415{:07}", index % 5_000);
        let request = text_message(&key, &connections[index % connections.len()], &recipient, "hello");
        open.spawn(async move {
            loop {
                let answer =
                    tokio::time::timeout(Duration::from_secs(5), messaging.send_message(request.clone())).await;
                if let Ok(Ok(answer)) = answer {
                    promised.lock().expect("no panic").insert(key, answer.into_inner().id);
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }
}

/// Follows the event stream over every break, from where it was acknowledged.
async fn follow(api: Api, told: Told) {
    loop {
        let request = StreamEventsRequest {
            consumer: "kill".to_owned(),
            max_unacked: 10_000,
            ..StreamEventsRequest::default()
        };
        let Ok(stream) = api.events.clone().stream_events(request).await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let mut stream = stream.into_inner();
        while let Some(Ok(batch)) = stream.next().await {
            {
                let mut told = told.lock().expect("no panic");
                for event in batch.events {
                    let message = if event.origin_event_id.is_empty() {
                        event.id
                    } else {
                        event.origin_event_id
                    };
                    told.entry(message).or_default().insert(event.event_type);
                }
            }
            let acknowledge = AcknowledgeEventsRequest {
                consumer: "kill".to_owned(),
                cursor: batch.cursor,
                session: batch.session,
            };
            if api.events.clone().acknowledge_events(acknowledge).await.is_err() {
                break;
            }
        }
    }
}

/// Waits until no message is on its way, and says where each ended.
async fn settle(api: &Api, promised: &HashMap<String, String>) -> HashMap<String, SubmissionState> {
    let deadline = Instant::now() + Duration::from_mins(2);
    let mut states = HashMap::new();
    for id in promised.values() {
        let state = loop {
            let request = GetMessageRequest { id: id.clone() };
            let found = api
                .messaging
                .clone()
                .get_message(request)
                .await
                .expect("every OK is a message")
                .into_inner();
            let state = found.message.expect("a message").state();
            if !matches!(state, SubmissionState::Queued | SubmissionState::Sending) {
                break state;
            }
            assert!(Instant::now() < deadline, "{id} is still {state:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        states.insert(id.clone(), state);
    }
    states
}

/// The events that the stream owes: the message itself, and each status whose webhook was answered with 200.
fn wanted(
    entries: &[outeract_simulator::Accepted],
    promised: &HashMap<String, String>,
) -> HashMap<String, BTreeSet<String>> {
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

fn lacking(told: &Told, wanted: &HashMap<String, BTreeSet<String>>) -> Vec<String> {
    let told = told.lock().expect("no panic");
    let none = BTreeSet::new();
    wanted
        .iter()
        .flat_map(|(id, events)| {
            events
                .difference(told.get(id).unwrap_or(&none))
                .map(move |event| format!("{event} of {id}"))
        })
        .collect()
}

fn message_of(callback: &str) -> Option<String> {
    callback.rsplit_once('.').map(|(message, _)| message.to_owned())
}

fn by_second(times: impl Iterator<Item = i64>) -> BTreeMap<i64, u32> {
    let mut seconds = BTreeMap::new();
    for at in times {
        *seconds.entry(at / 1_000).or_insert(0) += 1;
    }
    seconds
}

/// Seconds from `at` until a whole second with nine tenths of the rate.
fn recovery(rate: &BTreeMap<i64, u32>, at: i64) -> Option<i64> {
    rate.range(at / 1_000 + 1..)
        .find(|(_, count)| **count >= RATE * 9 / 10)
        .map(|(second, _)| second - at / 1_000)
}

fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_millis() as i64
}
