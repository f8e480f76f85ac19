//! The deliveries of one subscription: begun in log order, a few at a time, recorded with its place in the log.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use outeract_batch::SubmitError;
use outeract_domain::{ApplicationId, SubscriptionId};
use outeract_proto::tracking::v1::Event;
use outeract_rpc::Fault;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::book::{Note, is_passing};
use super::breaker::{Breaker, Leave};
use super::flight::{Job, Landed, Whose, fly};
use super::send::{Destination, Verdict};
use super::shared::{Shared, Told};
use super::vault::Column;
use crate::fault;
use crate::read::{Filter, Range};
use crate::store::delivery::{self, Due, PENDING};
use crate::store::subscription::{self, BEHIND, GONE};
use crate::store::worker::Held;

/// Events read at a time, and their bytes, give or take one.
const PAGE: i64 = 16;
const PAGE_BYTES: i64 = 256 << 10;
/// Retries that may wait before nothing new is sent.
const MAX_RETRIES: i64 = 1_000;
/// Outcomes that may wait to be recorded.
const MAX_UNRECORDED: usize = 16;
/// A subscription is read anew at least so often: a secret that was rotated out ends.
const FRESH: Duration = Duration::from_mins(1);
/// After a failure of ours.
const AGAIN: Duration = Duration::from_secs(1);

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
    steps: FuturesUnordered<BoxFuture<'static, Step>>,
}

/// What has happened.
enum Step {
    Landed(Result<Landed, (Job, Fault)>),
    Recorded {
        position: Option<i64>,
        saved: i64,
        kept: bool,
        gone: bool,
    },
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
            steps: FuturesUnordered::new(),
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
        while let Some(step) = self.steps.next().await {
            self.handle(step).await;
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
            Some(step) = self.steps.next(), if !self.steps.is_empty() => Some(step),
            () = told.wake.notified() => None,
            () = paused => None,
            () = told.stop.cancelled() => None,
        };
        if let Some(step) = step {
            self.handle(step).await;
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

    /// Reads the subscription where it may have changed.
    async fn refresh(&mut self) -> Result<(), Fault> {
        let changed = self.told.take_changed();
        if !changed && self.loaded.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        let (application, id) = (self.held.application_id, self.held.id);
        let found = {
            let _read = self.shared.read().await?;
            let row = subscription::find(&self.shared.pool, application, id)
                .await
                .map_err(fault::database)?;
            if self.loaded.is_none() {
                self.waiting = delivery::waiting(&self.shared.pool, id, MAX_RETRIES)
                    .await
                    .map_err(fault::database)?;
            }
            row
        };
        let Some(row) = found.filter(|row| row.state == subscription::ACTIVE) else {
            self.told.stop.cancel();
            return Ok(());
        };
        let vault = &self.shared.vault;
        let target = vault.open(application, Column::Target, id, &row.target)?;
        let mut secrets = vec![vault.open(application, Column::Secret, id, &row.secret)?];
        if let Some(previous) = &row.previous_secret {
            secrets.push(vault.open(application, Column::Secret, id, previous)?);
        }
        self.destination = Arc::new(Destination {
            target: self.shared.sender.guarded().target(target.expose()).ok(),
            secrets,
        });
        let filter = Filter::parse(&row.patterns, "", &mut Vec::new());
        if self.loaded.is_none() {
            (self.read, self.saved) = (row.position, row.position);
        } else if filter != self.filter {
            self.unread();
        }
        self.filter = filter;
        self.loaded = Some(Instant::now());
        Ok(())
    }

    /// Forgets events that were read and not begun.
    fn unread(&mut self) {
        if let Some((first, _)) = self.events.front() {
            self.read = first - 1;
            self.open.split_off(first);
            self.events.clear();
            self.ahead = true;
        }
    }

    /// The next thing to send.
    async fn job(&mut self) -> Result<Option<Job>, Fault> {
        if self.retries.is_empty() && std::mem::take(&mut self.due) {
            let found = {
                let _read = self.shared.read().await?;
                delivery::due(&self.shared.pool, self.held.id, &self.taken, PAGE).await
            };
            let found = found.map_err(|error| {
                self.due = true;
                fault::database(error)
            })?;
            self.due = found.len() as i64 == PAGE;
            self.taken.extend(found.iter().map(|due| due.id));
            self.retries.extend(found);
        }
        if let Some(due) = self.retries.pop_front() {
            return Ok(Some(Job::Again(due)));
        }
        if self.waiting >= MAX_RETRIES {
            return Ok(None);
        }
        while self.events.is_empty() && self.ahead {
            self.page().await?;
        }
        Ok(self.events.pop_front().map(|(position, event)| Job::First {
            position,
            event: Box::new(event),
        }))
    }

    /// Reads on in the log.
    async fn page(&mut self) -> Result<(), Fault> {
        let page = {
            let _read = self.shared.read().await?;
            let range = Range::from(self.read);
            self.shared
                .reader
                .scan(self.whose.application, range, &self.filter, PAGE, PAGE_BYTES)
                .await?
        };
        if page.ends.lost_after(self.read) {
            self.disable(BEHIND).await;
            self.ahead = false;
            return Ok(());
        }
        self.ahead = page.rest.reaches(&page.ends);
        self.read = page.rest.after;
        self.open.extend(&page.positions);
        self.events.extend(page.positions.into_iter().zip(page.events));
        Ok(())
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
        self.steps.push(flight.map(Step::Landed).boxed());
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
            Step::Recorded {
                position,
                saved,
                kept,
                gone,
            } => {
                if let Some(position) = position {
                    self.open.remove(&position);
                }
                self.saved = self.saved.max(saved);
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
        let pending = landed.outcome.outcome == PENDING;
        match landed.position {
            Some(_) => self.waiting += i64::from(pending),
            None => {
                self.taken.retain(|id| *id != landed.outcome.id);
                self.waiting -= i64::from(!pending);
            }
        }
        let note = Note {
            subscription: self.held.id,
            epoch: self.held.epoch,
            position: self.place(landed.position),
            outcome: Some(landed.outcome),
        };
        self.record(landed.position, gone, note);
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
            self.record(None, false, note);
        }
    }

    fn record(&mut self, position: Option<i64>, gone: bool, note: Note) {
        let shared = Arc::clone(&self.shared);
        let saved = note.position;
        let recorded = async move {
            Step::Recorded {
                position,
                saved,
                kept: enter(&shared, note).await,
                gone,
            }
        };
        self.steps.push(recorded.boxed());
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

/// Records a note, however often it takes while this process has the subscription: what it says has happened. Whether the subscription is still this process's.
async fn enter(shared: &Shared, note: Note) -> bool {
    loop {
        match shared.book.submit(note.clone()).await {
            Ok(kept) => return kept,
            Err(error) if is_passing(&error) && shared.holds() => sleep(AGAIN).await,
            Err(SubmitError::Full | SubmitError::Closed | SubmitError::Aborted) => return false,
            Err(SubmitError::Failed(error)) => {
                tracing::warn!(
                    "A delivery's outcome is not recorded: {}",
                    outeract_postgres::Summary(&error)
                );
                return false;
            }
        }
    }
}
