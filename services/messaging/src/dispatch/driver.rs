//! The task that drives the scheduler: everything that happens comes in as a command or as the end of something it began, and everything that waits runs beside it.

mod found;
mod mood;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use outeract_domain::EventId;
use outeract_runtime::Stop;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::call::{Answered, Finished, Line, Mood};
use super::cargo::{Cargo, Parcel, Shelf};
use super::hints::{Fresh, Hinted};
use super::pass::{self, Page, Passes};
use super::rate::{Granted, Rate, Receipt};
use super::scheduler::{Admission, LaneId, Limits, NumberId, Offer, Outcome, Scheduler};
use super::throttle::Throttles;
use crate::config::PairRate;
use crate::seldom::Seldom;
use crate::status::queued;
use crate::store::queue::Row;
use crate::store::{DbError, owner, run};
use crate::waiters::Waiters;

/// What happens to the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// This process stored messages.
    Fresh(Vec<Fresh>),
    /// Another process stored messages, or something became of messages that were stored.
    Hinted(Vec<Hinted>),
    /// This process owns numbers, each at an epoch.
    Owned(Vec<(NumberId, i64)>),
    /// This process no longer owns numbers.
    Lost(Vec<NumberId>),
    /// This process gives numbers up: what is on its way comes to its end first.
    Release(Vec<(NumberId, i64)>),
    /// Something is known anew of connections.
    Connections,
}

/// What the driver works with.
pub(crate) struct Parts {
    pub db: PgPool,
    pub worker: Uuid,
    pub line: Arc<Line>,
    pub rate: Rate,
    pub waiters: Waiters,
    pub calls_in_flight: usize,
    pub pair_rate: PairRate,
    pub unknown_after: Duration,
}

/// The driver.
pub(crate) struct Driver {
    parts: Parts,
    commands: mpsc::Receiver<Command>,
    answers: mpsc::Receiver<Answered>,
    stop: Stop,
    scheduler: Scheduler<Cargo>,
    passes: Passes,
    calls: JoinSet<Finished>,
    chores: JoinSet<Chore>,
    receipts: HashMap<NumberId, Receipt>,
    /// Numbers to give up when nothing of theirs is on its way.
    releasing: HashMap<NumberId, i64>,
    /// The token versions last seen: a younger one ends a pause.
    tokens: HashMap<NumberId, i64>,
    /// Numbers that send more slowly than they may.
    throttles: Throttles,
    /// For content that is kept until its message's turn.
    shelf: Shelf,
    /// The database does not answer.
    away: Arc<Seldom>,
}

/// What ended beside the driver.
enum Chore {
    Granted(Vec<Granted>),
    Page(Page),
    Rows(Vec<Hinted>, Result<Vec<Row>, DbError>),
    Settled,
}

/// Messages of one number in memory.
const WINDOW: usize = 8_192;
/// Messages in memory: about 60 MiB with their bookkeeping, content excluded.
const MESSAGES: usize = 200_000;
/// Bytes of content in memory; what is beyond is loaded when its turn comes.
const SHELF: usize = 32 << 20;
/// How much happens before the driver looks up.
const INBOX: usize = 64;

// === impl Command ===

impl Command {
    /// Nothing would come of it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Fresh(fresh) => fresh.is_empty(),
            Self::Hinted(hinted) => hinted.is_empty(),
            Self::Owned(owned) | Self::Release(owned) => owned.is_empty(),
            Self::Lost(lost) => lost.is_empty(),
            Self::Connections => false,
        }
    }
}

// === impl Driver ===

impl Driver {
    pub(super) fn new(
        parts: Parts,
        commands: mpsc::Receiver<Command>,
        answers: mpsc::Receiver<Answered>,
        stop: Stop,
    ) -> Self {
        let limits = Limits {
            calls: parts.calls_in_flight,
            window: WINDOW,
            messages: MESSAGES,
            patience: parts.line.timing.patience,
            pair: parts.pair_rate,
        };
        Self {
            parts,
            commands,
            answers,
            stop,
            scheduler: Scheduler::new(limits),
            passes: Passes::default(),
            calls: JoinSet::new(),
            chores: JoinSet::new(),
            receipts: HashMap::new(),
            releasing: HashMap::new(),
            tokens: HashMap::new(),
            throttles: Throttles::default(),
            shelf: Shelf::new(SHELF),
            away: Arc::default(),
        }
    }

    /// Drives until the process stops; then lets what is on its way come to its end, and gives every number up.
    pub(super) async fn run(mut self) {
        let soft = self.stop.soft().clone();
        let mut inbox = Vec::with_capacity(INBOX);
        let mut answers = Vec::with_capacity(INBOX);
        loop {
            let now = Instant::now();
            self.pump(now);
            let wake = self.wake_at(now);
            tokio::select! {
                () = soft.cancelled() => break,
                received = self.commands.recv_many(&mut inbox, INBOX) => {
                    if received == 0 {
                        break;
                    }
                    for command in inbox.drain(..) {
                        self.obey(command);
                    }
                }
                received = self.answers.recv_many(&mut answers, INBOX) => {
                    for Answered { number, message } in answers.drain(..received) {
                        self.scheduler.answered(&number, message);
                    }
                }
                Some(finished) = self.calls.join_next() => {
                    self.finished(finished);
                    while let Some(finished) = self.calls.try_join_next() {
                        self.finished(finished);
                    }
                }
                Some(chore) = self.chores.join_next() => self.done(chore),
                () = sleep_until(wake) => {}
            }
        }
        self.end().await;
    }

    /// Sends what can be sent, asks for what is missing, and looks after what is due.
    fn pump(&mut self, now: Instant) {
        self.scheduler.tick(now);
        self.send(now);
        let wants = self.scheduler.wants();
        if !wants.is_empty() {
            let mut rated = Vec::with_capacity(wants.len());
            for want in wants {
                let rate = self.throughput(&want.number, now);
                self.scheduler.rate(&want.number, rate);
                rated.push((want, rate));
            }
            let (wants, rate) = (rated, self.parts.rate.clone());
            self.chores.spawn(async move { Chore::Granted(rate.take(wants).await) });
        }
        let surplus = self.scheduler.surplus();
        if !surplus.is_empty() {
            let receipts = surplus
                .iter()
                .filter_map(|want| Some((Arc::clone(&want.number), self.receipts.get(&want.number)?.clone())))
                .collect();
            let rate = self.parts.rate.clone();
            self.chores.spawn(async move {
                rate.give_back(surplus, receipts).await;
                Chore::Settled
            });
        }
        for message in self.scheduler.stalled() {
            self.parts.waiters.tell(message, queued());
        }
        while let Some(read) = self.passes.next(now) {
            let page = pass::read(self.parts.db.clone(), read, self.parts.line.timing.patience);
            self.chores.spawn(async move { Chore::Page(page.await) });
        }
        metrics::gauge!("messaging_calls_in_flight").set(self.scheduler.in_flight() as f64);
        metrics::gauge!("messaging_window_messages").set(self.scheduler.waiting() as f64);
        metrics::gauge!("messaging_backlogged").set(self.passes.backlogged() as f64);
        metrics::gauge!("messaging_numbers_slowed").set(self.throttles.len() as f64);
        metrics::counter!("messaging_pair_waits_total").increment(self.scheduler.held_up());
    }

    /// Sends what can be sent, as long as Meta's host is thought to answer.
    fn send(&mut self, now: Instant) {
        let breaker = &self.parts.line.breaker;
        if self.scheduler.halted() != breaker.is_open() {
            self.scheduler.halt(breaker.is_open());
        }
        while breaker.admits(now)
            && let Some(admission) = self.scheduler.next(now)
        {
            breaker.began(admission.message);
            self.calls.spawn(carried(Arc::clone(&self.parts.line), admission));
        }
    }

    /// When to look up, if nothing happens before.
    fn wake_at(&self, now: Instant) -> Option<Instant> {
        let breaker = self.parts.line.breaker.wake_at();
        [
            self.scheduler.wake_at(),
            self.passes.wake_at(),
            // Whose time has come waits for a message to try.
            breaker.filter(|at| *at > now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn throughput(&mut self, number: &str, now: Instant) -> u32 {
        let connection = self.parts.line.projection.of_number(number);
        let rate = connection.map_or(1, |connection| connection.throughput_per_second);
        self.throttles.rate(number, rate, now)
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Fresh(fresh) => {
                for fresh in fresh {
                    self.fresh(fresh, now);
                }
            }
            Command::Hinted(hinted) => self.look_up(hinted),
            Command::Owned(owned) => {
                for (number, epoch) in owned {
                    let open = self.is_open(&number);
                    self.releasing.remove(&number);
                    self.scheduler.own(&number, epoch, open);
                    // Before anything is taken in.
                    if let Some(connection) = self.parts.line.projection.of_number(&number) {
                        self.heed(&connection);
                    }
                    let rate = self.throughput(&number, now);
                    self.scheduler.rate(&number, rate);
                    self.passes.add(&number, epoch, self.parts.line.timing.scan, now);
                }
            }
            Command::Lost(lost) => {
                for number in lost {
                    self.forget(&number);
                }
            }
            Command::Release(given) => {
                for (number, epoch) in given {
                    self.forget(&number);
                    self.releasing.insert(Arc::clone(&number), epoch);
                    self.release(&number);
                }
            }
            Command::Connections => self.reopen(),
        }
    }

    fn forget(&mut self, number: &NumberId) {
        self.scheduler.disown(number);
        self.passes.remove(number);
        self.receipts.remove(number);
        self.tokens.remove(number);
        self.throttles.forget(number);
    }

    fn is_open(&mut self, number: &NumberId) -> bool {
        let Some(connection) = self.parts.line.projection.of_number(number) else {
            return false;
        };
        self.tokens.insert(Arc::clone(number), connection.token_version);
        self.parts.line.projection.sends(&connection)
    }

    /// Opens and closes numbers as their connections demand. A connection with a younger token is tried again at once.
    fn reopen(&mut self) {
        for connection in self.parts.line.projection.numbers() {
            let number = connection.number.as_str();
            if self.scheduler.epoch(number).is_none() {
                continue;
            }
            if let Some(known) = self.tokens.get_mut(number)
                && *known < connection.token_version
            {
                *known = connection.token_version;
                self.scheduler.unbrake(number);
                self.parts.line.projection.lift_brake(number);
            }
            self.heed(&connection);
            self.scheduler.rate(number, connection.throughput_per_second);
            self.scheduler
                .open(number, self.parts.line.projection.sends(&connection));
        }
    }

    fn fresh(&mut self, fresh: Fresh, now: Instant) {
        let number = fresh.connection.number.as_str();
        let parcel = self.shelf.place(fresh.letter.bytes()).map(|shelved| {
            Arc::new(Parcel {
                application: fresh.connection.application,
                letter: fresh.letter,
                traceparent: fresh.traceparent,
                _shelved: Some(shelved),
            })
        });
        let offer = Offer {
            message: fresh.message,
            lane: LaneId {
                priority: fresh.priority,
                contact: fresh.contact,
            },
            place: fresh.place,
            ready: now + fresh.ready_in,
            scheduled: !fresh.ready_in.is_zero(),
            awaited: fresh.awaited,
            cargo: Cargo {
                connection: fresh.connection.id.uuid(),
                parcel,
            },
        };
        self.take_in(number, offer, now);
    }

    fn done(&mut self, chore: Result<Chore, tokio::task::JoinError>) {
        let Ok(chore) = chore.inspect_err(|cause| tracing::error!(%cause, "A chore of the dispatcher failed")) else {
            return;
        };
        let now = Instant::now();
        match chore {
            Chore::Granted(granted) => {
                for granted in granted {
                    self.scheduler
                        .granted(&granted.number, granted.tokens, granted.more, now);
                    self.receipts.insert(granted.number, granted.receipt);
                }
            }
            Chore::Page(page) => self.looked(page, now),
            Chore::Rows(hinted, rows) => self.hinted(&hinted, rows, now),
            Chore::Settled => {}
        }
    }

    fn finished(&mut self, finished: Result<Finished, tokio::task::JoinError>) {
        // A call does not panic and is not aborted before the driver is: see `carried`.
        if let Ok(finished) = finished {
            self.finish(finished);
        }
    }

    fn finish(&mut self, finished: Finished) {
        let now = Instant::now();
        let Finished {
            number,
            lane,
            message,
            place,
            outcome,
            mood,
        } = finished;
        self.parts.line.breaker.ended(message, now);
        self.feel(&number, lane, mood, now);
        if !matches!(outcome, Outcome::Ended) {
            metrics::counter!("messaging_deferred_total").increment(1);
        }
        let since = self.scheduler.finished(&number, lane, message, place, outcome, now);
        if let (Mood::Free, Some(since)) = (mood, since) {
            self.scheduler.refund(&number, lane.contact, since);
        }
        // Whoever still waits was not told by the record: the message is not about to be sent.
        self.parts.waiters.tell(message, queued());
        self.refill(&number, now);
        self.release(&number);
    }

    /// Gives a number up if that was asked for and nothing of it is on its way.
    fn release(&mut self, number: &NumberId) {
        if self.scheduler.busy(number) {
            return;
        }
        if let Some(epoch) = self.releasing.remove(number) {
            let (db, worker, number) = (self.parts.db.clone(), self.parts.worker, Arc::clone(number));
            self.chores.spawn(async move {
                let released = run!(db, "owner.release", |conn| owner::release(conn, worker, &[(&*number, epoch)]));
                if let Err(cause) = released {
                    tracing::warn!(%cause, "A number could not be given up; its new owner waits until this process is taken for dead");
                }
                Chore::Settled
            });
        }
    }

    /// The process stops: what is on its way comes to its end, and every number is given up as soon as nothing of it is on its way.
    async fn end(mut self) {
        for (number, epoch) in self.scheduler.owned() {
            self.obey(Command::Release(vec![(number, epoch)]));
        }
        for message in self.scheduler.stalled() {
            self.parts.waiters.tell(message, queued());
        }
        loop {
            tokio::select! {
                Some(finished) = self.calls.join_next() => self.finished(finished),
                Some(_) = self.chores.join_next() => {}
                else => break,
            }
        }
        let (db, worker) = (self.parts.db.clone(), self.parts.worker);
        if let Err(cause) = run!(db, "owner.leave", |conn| owner::leave(conn, worker)) {
            tracing::warn!(%cause, "This process could not be taken off the list; the others wait until its heartbeat runs out");
        }
    }
}

/// Carries a message. Should that panic, its row is swept: nobody knows what became of the call.
async fn carried(line: Arc<Line>, admission: Admission<Cargo>) -> Finished {
    let Admission { message, place, .. } = admission;
    let (number, of_lane) = (Arc::clone(&admission.number), admission.lane);
    AssertUnwindSafe(line.carry(admission))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            tracing::error!(message.id = %EventId::from_uuid(message), "Carrying a message panicked");
            Finished {
                number,
                lane: of_lane,
                message,
                place,
                outcome: Outcome::Ended,
                mood: Mood::Neutral,
            }
        })
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
