//! Reading an owned number's queue table.
//!
//! Two readings go through it in the order of ids, which is the order of acceptance. The filling takes messages into memory, class by class, as far as there is room, and goes on from where
//! it stopped when there is room again: what stands at the front and does not leave, messages for later, parked or held, is passed over once and not each time. The sweep goes round and
//! round at leisure. It finds what the filling has passed by: messages whose time has come, whose hint was lost or that had to leave memory, calls whose process is gone, outcomes that
//! nobody settles.
//!
//! The first look of a number is at everything, which for a short queue is all there is to do. If that is not the end, urgent messages are looked for by their own index before the others,
//! and conversations behind campaigns in long strides that give no campaign.

mod progress;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use uuid::Uuid;

use self::progress::{Fill, Pass, Stage, Task, before};
use super::scheduler::{CLASSES, NumberId};
use crate::store::queue::{self, Look, Row};
use crate::store::{DbError, run};

/// Rows that one reading gives.
pub(crate) const PAGE: i64 = 2_048;
/// Rows that one reading looks at, where few of them are looked for.
pub(crate) const SPAN: i64 = 16_384;
/// Readings that follow one another at once; more are made at leisure.
const AT_ONCE: u32 = 4;
/// Between readings that somebody waits for.
const HASTE: Duration = Duration::from_millis(25);
/// Of the time between sweeps, the share that passes between two strides of one sweep.
const STRIDES: u32 = 8;
/// Of the time, sweeps of all numbers together take one part in so many: what they find is not what somebody waits for.
const SWEEPING: u32 = 20;
/// Readings at a time.
const READERS: usize = 2;
/// Messages that cannot go within this time stay in the table alone.
const HORIZON: Duration = Duration::from_mins(1);

/// What is read of each owned number next, and how far its readings are.
#[derive(Debug, Default)]
pub(crate) struct Passes {
    numbers: HashMap<NumberId, Pass>,
    fills: BTreeSet<(Instant, NumberId)>,
    sweeps: BTreeSet<(Instant, NumberId)>,
    /// No sweep goes on before then.
    sweep_from: Option<Instant>,
    reading: usize,
    /// Classes of numbers that have more in the table than in memory.
    backlogged: usize,
}

/// Why the table is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// To take messages in.
    Fill,
    /// To find what was passed by.
    Sweep,
}

/// A reading to make.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub number: NumberId,
    pub epoch: i64,
    pub job: Job,
    /// The classes that are read: from and to.
    pub classes: (usize, usize),
    /// By the index of urgent messages.
    pub urgent: bool,
    pub look: Look,
}

/// A reading that was made.
#[derive(Debug)]
pub(crate) struct Page {
    pub read: Read,
    /// For whoever takes them.
    pub rows: Result<Vec<Row>, DbError>,
    /// How many they were.
    given: usize,
    took: Duration,
    /// How far it came. None: to the end.
    reached: Option<Uuid>,
}

// === impl Passes ===

impl Passes {
    /// Begins to read a number, at once.
    pub(crate) fn add(&mut self, number: &NumberId, epoch: i64, interval: Duration, now: Instant) {
        self.remove(number);
        let pass = Pass {
            epoch,
            fills: [Fill {
                after: Uuid::nil(),
                stage: Stage::Reading,
                missed: None,
            }; CLASSES],
            filling: Task::default(),
            sweeping: Task::default(),
            swept: Uuid::nil(),
            round: false,
            span: PAGE,
        };
        self.numbers.insert(Arc::clone(number), pass);
        self.backlogged += CLASSES;
        self.plan(number, Job::Fill, now);
        self.plan(number, Job::Sweep, now + interval);
    }

    pub(crate) fn remove(&mut self, number: &NumberId) {
        let Some(pass) = self.numbers.remove(number) else {
            return;
        };
        self.backlogged -= pass.fills.iter().filter(|fill| fill.stage != Stage::All).count();
        for (task, job) in [(pass.filling, Job::Fill), (pass.sweeping, Job::Sweep)] {
            if let Some(due) = task.due {
                self.due(job).remove(&(due, Arc::clone(number)));
            }
        }
    }

    fn due(&mut self, job: Job) -> &mut BTreeSet<(Instant, NumberId)> {
        match job {
            Job::Fill => &mut self.fills,
            Job::Sweep => &mut self.sweeps,
        }
    }

    /// A message of this class was not taken in, and stays in the table.
    pub(crate) fn left(&mut self, number: &str, class: usize, message: Uuid) {
        let Some(pass) = self.numbers.get_mut(number) else {
            return;
        };
        let fill = &mut pass.fills[class];
        let before = before(message);
        match fill.stage {
            Stage::Reading => fill.missed = Some(fill.missed.map_or(message, |missed| missed.min(message))),
            Stage::Full => fill.after = fill.after.min(before),
            Stage::All => {
                (fill.after, fill.stage) = (before, Stage::Full);
                self.backlogged += 1;
            }
        }
    }

    /// There is room for more of this class.
    pub(crate) fn resume(&mut self, number: &NumberId, class: usize, now: Instant) {
        let Some(pass) = self.numbers.get_mut(number) else {
            return;
        };
        if pass.fills[class].stage == Stage::Full {
            pass.fills[class].stage = Stage::Reading;
            self.plan(number, Job::Fill, now);
        }
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        if self.reading >= READERS {
            return None;
        }
        let first = |due: &BTreeSet<(Instant, NumberId)>| due.first().map(|(at, _)| *at);
        let sweep = first(&self.sweeps).map(|at| self.sweep_from.map_or(at, |from| from.max(at)));
        first(&self.fills).into_iter().chain(sweep).min()
    }

    /// Classes of numbers that have more in the table than in memory.
    pub(crate) fn backlogged(&self) -> usize {
        self.backlogged
    }

    /// The next reading, if one is due and a reader is free.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Read> {
        while self.reading < READERS {
            let due = |due: &BTreeSet<(Instant, NumberId)>| due.first().is_some_and(|(at, _)| *at <= now);
            let job = if due(&self.fills) {
                Job::Fill
            } else if due(&self.sweeps) && self.sweep_from.is_none_or(|from| from <= now) {
                Job::Sweep
            } else {
                return None;
            };
            let (_, number) = self.due(job).pop_first()?;
            let Some(pass) = self.numbers.get_mut(&number) else {
                continue;
            };
            let task = pass.task(job);
            task.due = None;
            if let Some(read) = pass.read(job, &number) {
                pass.task(job).under_way = true;
                self.reading += 1;
                return Some(read);
            }
        }
        None
    }

    /// A reading was made, or failed. `refused`: the first message of each class for which there was no room. Plans the next, and gives the classes whose reading has come to its end: true
    /// at the end of the table, false where there was no room.
    pub(crate) fn read(
        &mut self,
        page: &Page,
        refused: &[Option<Uuid>; CLASSES],
        interval: Duration,
        now: Instant,
    ) -> Vec<(usize, bool)> {
        self.reading -= 1;
        let Read {
            number,
            epoch,
            job,
            classes,
            ..
        } = &page.read;
        let Some(pass) = self.numbers.get_mut(number).filter(|pass| pass.epoch == *epoch) else {
            return Vec::new();
        };
        if !std::mem::replace(&mut pass.task(*job).under_way, false) {
            return Vec::new();
        }
        if page.rows.is_err() {
            self.plan(number, *job, now + interval);
            return Vec::new();
        }
        let reached = page.reached;
        match job {
            Job::Fill => {
                let ended = pass.filled(*classes, reached, refused);
                pass.stride(page.given);
                self.backlogged -= ended.iter().filter(|(_, all)| *all).count();
                let again = pass.fills.iter().any(|fill| fill.stage == Stage::Reading);
                let at = now + pass.filling.pause(again, HASTE);
                if again {
                    self.plan(number, Job::Fill, at);
                }
                ended
            }
            Job::Sweep => {
                self.sweep_from = Some(now + page.took * SWEEPING);
                let stride = if pass.round { interval / STRIDES } else { HASTE };
                pass.swept = reached.unwrap_or_default();
                pass.round |= reached.is_none();
                let pause = pass.sweeping.pause(reached.is_some(), stride);
                let at = now + if reached.is_some() { pause } else { interval };
                self.plan(number, Job::Sweep, at);
                Vec::new()
            }
        }
    }

    /// Plans a reading, unless one is under way or planned: what ends plans the next.
    fn plan(&mut self, number: &NumberId, job: Job, at: Instant) {
        let Some(pass) = self.numbers.get_mut(number) else {
            return;
        };
        let task = pass.task(job);
        if !task.under_way && task.due.is_none() {
            task.due = Some(at);
            self.due(job).insert((at, Arc::clone(number)));
        }
    }
}

// === impl Page ===

impl Page {
    fn new(read: Read, mut rows: Result<Vec<Row>, DbError>, took: Duration) -> Self {
        let (mut given, mut reached) = (0, None);
        if let Ok(rows) = &mut rows {
            let edge = rows.iter().position(|row| row.edge);
            reached = edge.map(|edge| rows.remove(edge).message);
            rows.sort_unstable_by_key(|row| row.message);
            given = rows.len();
            if given as i64 == read.look.limit {
                // There may be more that was looked for before the edge.
                reached = rows.last().map(|row| row.message);
            }
        }
        Self {
            read,
            rows,
            given,
            took,
            reached,
        }
    }
}

/// Makes a reading.
pub(crate) async fn read(db: PgPool, mut read: Read, patience: Duration) -> Page {
    read.look.patience = patience.as_secs_f64();
    let begun = Instant::now();
    let (number, look) = (&*read.number, &read.look);
    let (rows, kind) = match (read.job, read.urgent) {
        (_, true) => (
            run!(db, "queue.look_for_urgent", |conn| queue::look_for_urgent(
                conn, number, look
            )),
            "urgent",
        ),
        (job, false) => (
            run!(db, "queue.look", |conn| queue::look(conn, number, look)),
            if job == Job::Fill { "fill" } else { "sweep" },
        ),
    };
    metrics::counter!("messaging_readings_total", "kind" => kind).increment(1);
    Page::new(read, rows, begun.elapsed())
}
