//! The deliveries of one subscription: begun in log order, a few at a time, recorded with its place in the log.

mod supply;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt as _;
use outeract_domain::{ApplicationId, SubscriptionId};
use outeract_proto::tracking::v1::Event;
use outeract_rpc::Fault;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::book::Note;
use super::breaker::{Breaker, Leave};
use super::flight::{AGAIN, Job, Landed, Whose, enter, fly};
use super::send::{Destination, Verdict};
use super::shared::{Shared, Told};
use crate::read::Filter;
use crate::store::delivery::{Due, PENDING};
use crate::store::subscription::{self, GONE};
use crate::store::worker::Held;

/// Outcomes that may wait to be recorded.
const MAX_UNRECORDED: usize = 16;

/// One subscription as this process delivers it.
pub(super) struct Lane {
    shared: Arc<Shared>,
    told: Arc<Told>,
    held: Held,
    whose: Whose,
    filter: Filter,
    destination: Arc<Destination>,
    loaded: Option<Instant>,
    breaker: Breaker,
    events: VecDeque<(i64, Event)>,
    retries: VecDeque<Due>,
    /// Retries under way or waiting here.
    taken: Vec<Uuid>,
    /// Retries in the database, roughly.
    waiting: i64,
    /// Everything up to here was read…
    read: i64,
    /// …these of it are not recorded yet…
    open: BTreeSet<i64>,
    /// …and the database knows of this much.
    saved: i64,
    /// There may be more after `read`.
    ahead: bool,
    /// Retries may be due.
    due: bool,
    flying: usize,
    /// Tasks of their own: what the lane waits for, a turn to read among it, may be what one of them has.
    steps: JoinSet<Step>,
}

/// What has happened.
enum Step {
    Landed(Result<Landed, (Job, Fault)>),
    Recorded { of: Of, saved: i64, kept: bool, gone: bool },
}

/// Whose outcome was recorded.
#[derive(Clone, Copy)]
enum Of {
    /// That of the event at a position of the log.
    First(i64),
    /// That of a retry.
    Again(Uuid),
    /// None: a place in the log.
    Nothing,
}

// === impl Lane ===

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, told: Arc<Told>, held: Held) -> Self {
        let whose = Whose {
            application: ApplicationId::from_uuid(held.application_id),
            subscription: SubscriptionId::from_uuid(held.id),
        };
        Self {
            shared,
            told,
            held,
            whose,
            filter: Filter::default(),
            destination: Arc::new(Destination {
                target: None,
                secrets: Vec::new(),
            }),
            loaded: None,
            breaker: Breaker::new(),
            events: VecDeque::new(),
            retries: VecDeque::new(),
            taken: Vec::new(),
            waiting: 0,
            read: 0,
            open: BTreeSet::new(),
            saved: 0,
            ahead: true,
            due: true,
            flying: 0,
            steps: JoinSet::new(),
        }
    }

    /// Delivers until it is told to stop or the subscription is another's; then ends what is under way. Gives whose it was.
    pub(super) async fn run(mut self) -> Uuid {
        while !self.told.stop.is_cancelled() {
            let pause = match self.begin().await {
                Ok(pause) => pause,
                Err(fault) => {
                    tracing::warn!("Cannot deliver, again in a second: {}", fault.message());
                    Some(Instant::now() + AGAIN)
                }
            };
            self.step(pause).await;
        }
        while let Some(step) = self.steps.join_next().await {
            self.happened(step).await;
        }
        self.held.id
    }

    /// Waits until something happens.
    async fn step(&mut self, pause: Option<Instant>) {
        let told = Arc::clone(&self.told);
        let paused = async {
            match pause {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let step = tokio::select! {
            Some(step) = self.steps.join_next() => Some(step),
            () = told.wake.notified() => None,
            () = paused => None,
            () = told.stop.cancelled() => None,
        };
        if let Some(step) = step {
            self.happened(step).await;
        }
    }

    async fn happened(&mut self, step: Result<Step, JoinError>) {
        match step {
            Ok(step) => self.handle(step).await,
            Err(cause) => {
                // Its outcome is nowhere: whoever takes the subscription next makes the attempt anew.
                tracing::error!(%cause, "A delivery's task failed");
                self.told.stop.cancel();
            }
        }
    }

    /// Begins what may be begun. Gives when to look again without having been told anything.
    async fn begin(&mut self) -> Result<Option<Instant>, Fault> {
        if !self.shared.holds() {
            return Ok(Some(Instant::now() + AGAIN));
        }
        self.refresh().await?;
        self.ahead |= self.told.take_ahead();
        self.due |= self.told.take_due();
        loop {
            let width = match self.breaker.leave(Instant::now()) {
                Leave::Width(width) => width,
                Leave::Not(until) => return Ok(Some(until)),
            };
            if self.flying >= width || self.steps.len() - self.flying >= MAX_UNRECORDED {
                return Ok(None);
            }
            let Some(job) = self.job().await? else {
                self.save();
                return Ok(None);
            };
            self.launch(job);
        }
    }

    fn launch(&mut self, job: Job) {
        let places = if self.breaker.proven() {
            Arc::clone(&self.shared.proven)
        } else {
            Arc::clone(&self.shared.unproven)
        };
        let destination = Arc::clone(&self.destination);
        let flight = fly(Arc::clone(&self.shared), self.whose, destination, places, job);
        self.flying += 1;
        self.steps.spawn(flight.map(Step::Landed));
    }

    async fn handle(&mut self, step: Step) {
        match step {
            Step::Landed(Ok(landed)) => self.landed(landed),
            Step::Landed(Err((job, fault))) => {
                self.flying -= 1;
                self.give_back(job);
                tracing::warn!("Cannot prepare a delivery, again in a second: {}", fault.message());
                self.breaker.hold(Instant::now(), AGAIN);
            }
            Step::Recorded { of, saved, kept, gone } => {
                // What is not recorded is open still: no place saved from here on goes beyond it.
                if kept {
                    match of {
                        Of::First(position) => drop(self.open.remove(&position)),
                        Of::Again(id) => self.taken.retain(|taken| *taken != id),
                        Of::Nothing => {}
                    }
                    self.saved = self.saved.max(saved);
                }
                if gone {
                    self.disable(GONE).await;
                }
                if !kept {
                    self.told.stop.cancel();
                }
            }
        }
    }

    fn landed(&mut self, landed: Landed) {
        self.flying -= 1;
        let now = Instant::now();
        let mut gone = false;
        if let Some(attempted) = &landed.attempted {
            self.breaker.note(now, attempted.verdict == Verdict::Delivered);
            gone = attempted.verdict == Verdict::Gone;
            if attempted.verdict == Verdict::Busy
                && let Some(wish) = attempted.retry_after
            {
                self.breaker.hold(now, wish);
            }
        }
        if gone {
            // Nothing more goes there; it is disabled once this is recorded.
            self.told.stop.cancel();
        }
        let pending = landed.outcome.kind == PENDING;
        let of = if let Some(position) = landed.position {
            self.waiting += i64::from(pending);
            Of::First(position)
        } else {
            self.waiting -= i64::from(!pending);
            // It is due in the database until its outcome is there.
            Of::Again(landed.outcome.id)
        };
        let note = Note {
            subscription: self.held.id,
            epoch: self.held.epoch,
            position: self.place(landed.position),
            outcome: Some(landed.outcome),
        };
        self.record(of, gone, note);
    }

    /// Puts back what was not begun: it keeps its place before all that comes after it.
    fn give_back(&mut self, job: Job) {
        match job {
            Job::First { position, event } => {
                let place = self.events.partition_point(|(other, _)| *other < position);
                self.events.insert(place, (position, *event));
            }
            Job::Again(due) => self.retries.push_front(due),
        }
    }

    /// Everything up to here is recorded, once what happened at `besides` is.
    fn place(&self, besides: Option<i64>) -> i64 {
        let first = self.open.iter().find(|position| Some(**position) != besides);
        first.map_or(self.read, |first| first - 1).max(self.saved)
    }

    /// Saves the place when nothing will save it along the way.
    fn save(&mut self) {
        let position = self.place(None);
        if self.steps.is_empty() && position > self.saved {
            let note = Note {
                subscription: self.held.id,
                epoch: self.held.epoch,
                position,
                outcome: None,
            };
            self.record(Of::Nothing, false, note);
        }
    }

    fn record(&mut self, of: Of, gone: bool, note: Note) {
        let shared = Arc::clone(&self.shared);
        let saved = note.position;
        let recorded = async move {
            Step::Recorded {
                of,
                saved,
                kept: enter(&shared, note).await,
                gone,
            }
        };
        self.steps.spawn(recorded);
    }

    async fn disable(&mut self, reason: i16) {
        let disabled = async {
            let mut conn = self.shared.pool.acquire().await?;
            subscription::disable(&mut conn, self.held.id, reason).await
        };
        match disabled.await {
            Ok(()) => self.told.stop.cancel(),
            // Found out again by the next delivery.
            Err(error) => tracing::warn!("Cannot disable a subscription: {}", outeract_postgres::Summary(&error)),
        }
    }
}
