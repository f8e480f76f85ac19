//! Faults under load, and the ledgers that must agree afterwards: what the client was promised, what Postgres recorded, what Meta accepted, what the event stream told.

mod books;
mod load;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use outeract_dev::Service;
use outeract_proto::messaging::v1::SubmissionState;
use outeract_simulator::control::{NewWorld, Tier};
use outeract_simulator::{Accepted, Switches};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::books::{Promises, Stored};
use self::load::{LASTING, Promised, RECIPIENTS, Told, locked, recipient};
use crate::{Api, World};

pub use self::load::Load;

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

/// What came of it.
#[derive(Debug)]
pub struct Verdict {
    /// Messages that the client was promised.
    pub promised: usize,
    /// Messages that Meta accepted.
    pub accepted: usize,
    /// Messages held because their outcome is not known: their call was announced and never made.
    pub unknown: usize,
    /// Messages that Meta accepted while there was load, and for how long that was.
    during_load: u64,
    seconds: f64,
    /// Acceptances by second, by the simulator's clock.
    by_second: BTreeMap<i64, u32>,
    /// Each fault, and when it struck.
    faults: Vec<(Fault, i64)>,
}

const NUMBERS: usize = 4;
/// How long the last webhooks may take to be decoded.
const DECODED: Duration = Duration::from_mins(1);

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
    /// Whole seconds from each fault to the first of three in a row with `full` messages each, all of them before the next fault; `None`: there were none.
    pub fn recoveries(&self, full: u32) -> Vec<(Fault, Option<i64>)> {
        let mut ends: Vec<i64> = self.faults.iter().skip(1).map(|(_, at)| at / 1_000).collect();
        ends.push(i64::MAX);
        let recovery = |at: i64, end: i64| {
            let at = at / 1_000;
            let is_full = |second: i64| self.by_second.get(&second).is_some_and(|count| *count >= full);
            let seconds = self.by_second.range(at + 1..).map(|(second, _)| *second);
            let lasting = seconds.map_while(|second| (second + LASTING as i64 <= end).then_some(second));
            let mut lasting = lasting.filter(|second| (*second..*second + LASTING as i64).all(is_full));
            lasting.next().map(|second| second - at)
        };
        let faults = self.faults.iter().zip(ends);
        faults.map(|((fault, at), end)| (*fault, recovery(*at, end))).collect()
    }

    /// Messages a second that Meta accepted from the first to the last of the load.
    pub fn mean_rate(&self) -> f64 {
        self.during_load as f64 / self.seconds
    }
}

/// Strikes with each fault while messages flow at the full rate, lets everything settle, and compares the ledgers. An error names what does not agree.
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
    following.spawn(load::follow(api.clone(), Arc::clone(&told)));
    let mut sending = JoinSet::new();
    sending.spawn(load::send(api.clone(), connections, Arc::clone(&promised), load));

    // Each fault strikes at the full rate, and the next one only after that came back.
    let begun = Instant::now();
    load::at_full_rate(&world.simulator, load).await?;
    let mut faults = Vec::new();
    for fault in Fault::ALL {
        faults.push((fault, unix_ms()));
        world = tokio::task::spawn_blocking(move || fault.strike(world)).await??;
        load::at_full_rate(&world.simulator, load).await?;
    }
    sending.shutdown().await;
    let (during_load, seconds) = (world.simulator.summary().await?.accepted, begun.elapsed().as_secs_f64());

    let promised = locked(&promised).clone();
    let (entries, stored) = settle(&world, &api, &promised, load).await?;
    books::heard(&told, &books::owed(&entries, &promised), stored).await?;
    let mut by_second = BTreeMap::new();
    for entry in &entries {
        *by_second.entry(entry.at_ms / 1_000).or_insert(0) += 1;
    }
    Ok(Verdict {
        promised: promised.len(),
        accepted: entries.len(),
        unknown: stored.unknown,
        during_load,
        seconds,
        by_second,
        faults,
    })
}

/// Waits until nothing moves any more, and compares what the client was promised with what Postgres recorded and what Meta accepted.
async fn settle(world: &World, api: &Api, promised: &Promises, load: Load) -> Result<(Vec<Accepted>, Stored)> {
    let db = PgPool::connect(&world.database_url()).await?;
    books::stored(&db).await?;
    let idle = world.simulator.idle(Duration::from_mins(2)).await?;
    ensure!(idle, "Meta still holds webhooks");
    let summary = world.simulator.summary().await?;
    ensure!(summary.duplicates.is_empty(), "sent twice: {:?}", summary.duplicates);
    let entries = world.simulator.whole_ledger().await?;
    let mut states = books::states(api, promised).await?;
    // An unknown outcome is settled by the echo, which comes with the last webhooks.
    let deadline = Instant::now() + DECODED;
    loop {
        let stored = books::stored(&db).await?;
        let outcome = books::agree(promised, &states, stored, &entries, load.in_flight);
        if outcome.is_ok() || Instant::now() > deadline {
            return outcome.map(|()| (entries, stored));
        }
        sleep(Duration::from_millis(500)).await;
        let unknown = states.iter().filter(|(_, state)| **state == SubmissionState::Unknown);
        let unknown: Promises = unknown.map(|(index, _)| (*index, promised[index].clone())).collect();
        states.extend(books::states(api, &unknown).await?);
    }
}

#[expect(clippy::disallowed_methods, reason = "compared with the simulator's own clock")]
fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}
