//! Faults under load, and the ledgers that must agree afterwards: what the client was promised, what Postgres recorded, what Meta accepted, what the event stream told.

mod books;
mod load;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use outeract_dev::Service;
use outeract_proto::messaging::v1::SubmissionState;
use outeract_simulator::control::{NewWorld, Tier};
use outeract_simulator::{Accepted, Switches};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::books::{Promises, Stored};
use self::load::{Promised, Pulse, RECIPIENTS, Told, locked, recipient, unix_ms};
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
    pulse: Pulse,
    /// Each fault, and when it struck, in unix milliseconds.
    faults: Vec<(Fault, i64)>,
    /// When the load ended.
    over: i64,
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
        let ends = self.faults.iter().skip(1).map(|(_, at)| *at);
        let faults = self.faults.iter().zip(ends.chain([self.over]));
        let recovery = |((fault, at), end): (&(Fault, i64), i64)| {
            let first = self.pulse.recovery(at / 1_000, end / 1_000, full);
            (*fault, first.map(|first| first - at / 1_000))
        };
        faults.map(recovery).collect()
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
    let mut pulse = Pulse::default();
    pulse.beats(&world.simulator, unix_ms() / 1_000, load).await?;
    let mut faults = Vec::new();
    for fault in Fault::ALL {
        let at = unix_ms();
        faults.push((fault, at));
        world = tokio::task::spawn_blocking(move || fault.strike(world)).await??;
        pulse.beats(&world.simulator, at / 1_000, load).await?;
    }
    let over = unix_ms();
    sending.shutdown().await;
    let (during_load, seconds) = (world.simulator.summary().await?.accepted, begun.elapsed().as_secs_f64());

    let promised = locked(&promised).clone();
    let (entries, stored) = settle(&world, &api, &promised, load).await?;
    books::heard(&told, &books::owed(&entries, &promised), stored).await?;
    Ok(Verdict {
        promised: promised.len(),
        accepted: entries.len(),
        unknown: stored.unknown,
        during_load,
        seconds,
        pulse,
        faults,
        over,
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
