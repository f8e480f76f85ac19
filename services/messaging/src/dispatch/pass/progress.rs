//! How far the readings of one number are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{AT_ONCE, HORIZON, Job, PAGE, Read, SPAN};
use crate::dispatch::scheduler::{CLASSES, NORMAL, NumberId, class};
use crate::store::queue::Look;

#[derive(Debug)]
pub(super) struct Pass {
    pub(super) epoch: i64,
    pub(super) fills: [Fill; CLASSES],
    pub(super) filling: Task,
    pub(super) sweeping: Task,
    /// How far the sweep is.
    pub(super) swept: Uuid,
    /// The sweep has been round.
    pub(super) round: bool,
    /// How many rows the filling looks at next.
    pub(super) span: i64,
}

/// How far a class is in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fill {
    /// Everything up to here was taken in or passed by.
    pub(super) after: Uuid,
    pub(super) stage: Stage,
    /// Since its reading began, this message was stored and not taken in.
    pub(super) missed: Option<Uuid>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is being read.
    Reading,
    /// There is more, and no room for it.
    Full,
    /// There is no more.
    All,
}

#[derive(Debug, Default)]
pub(super) struct Task {
    pub(super) due: Option<Instant>,
    pub(super) under_way: bool,
    /// Readings in a row.
    pub(super) row: u32,
}

// === impl Pass ===

impl Pass {
    pub(super) fn task(&mut self, job: Job) -> &mut Task {
        match job {
            Job::Fill => &mut self.filling,
            Job::Sweep => &mut self.sweeping,
        }
    }

    pub(super) fn read(&self, job: Job, number: &NumberId) -> Option<Read> {
        let all = (0, CLASSES - 1);
        let (after, classes) = match job {
            Job::Sweep => (self.swept, all),
            Job::Fill => {
                let reads = |class: &usize| self.fills[*class].stage == Stage::Reading;
                let first = (0..CLASSES).find(reads)?;
                let after = self.fills[first].after;
                let together = |class: &usize| reads(class) && self.fills[*class].after == after;
                // Urgent messages alone, unless nothing has been read yet.
                let last = if first == 0 && !(after.is_nil() && (0..CLASSES).all(|class| together(&class))) {
                    0
                } else {
                    (first..CLASSES).take_while(together).last().unwrap_or(first)
                };
                (after, (first, last))
            }
        };
        let until = std::array::from_fn(|class| match (job, self.fills[class].stage) {
            // What lies beyond is the filling's.
            (Job::Sweep, Stage::Reading | Stage::Full) => self.fills[class].after,
            (Job::Sweep, Stage::All) | (Job::Fill, _) => Uuid::max(),
        });
        Some(Read {
            number: Arc::clone(number),
            epoch: self.epoch,
            job,
            classes,
            urgent: job == Job::Fill && classes == (0, 0),
            look: Look {
                after,
                span: if job == Job::Fill { self.span } else { SPAN },
                limit: PAGE,
                priorities: priorities(classes),
                until,
                horizon: HORIZON.as_secs_f64(),
                patience: 0.0,
            },
        })
    }

    /// The filling takes longer strides where little of what it looks at is looked for.
    pub(super) fn stride(&mut self, given: usize) {
        self.span = if given as i64 > self.span / 4 {
            PAGE
        } else {
            (self.span * 2).min(SPAN)
        };
    }

    /// A filling of these classes has `reached` a message, or the end. Gives the classes that are done, for now.
    pub(super) fn filled(
        &mut self,
        (first, last): (usize, usize),
        reached: Option<Uuid>,
        refused: &[Option<Uuid>; CLASSES],
    ) -> Vec<(usize, bool)> {
        let mut ended = Vec::new();
        for class in first..=last {
            let fill = &mut self.fills[class];
            if let Some(refused) = refused[class] {
                let first = fill.missed.take().map_or(refused, |missed| missed.min(refused));
                (fill.after, fill.stage) = (before(first), Stage::Full);
                ended.push((class, false));
            } else if let Some(reached) = reached {
                fill.after = reached;
            } else if let Some(missed) = fill.missed.take() {
                // It came after the look at the end.
                fill.after = before(missed);
            } else {
                fill.stage = Stage::All;
                ended.push((class, true));
            }
        }
        ended
    }
}

// === impl Task ===

impl Task {
    /// How long to pause before the next reading, if there is one in the same row.
    pub(super) fn pause(&mut self, again: bool, pause: Duration) -> Duration {
        self.row = if again { self.row + 1 } else { 0 };
        if self.row < AT_ONCE { Duration::ZERO } else { pause }
    }
}

/// Whatever comes after this comes from `message` on.
pub(super) fn before(message: Uuid) -> Uuid {
    Uuid::from_u128(message.as_u128().saturating_sub(1))
}

/// The priorities of these classes, from and to. The outermost ones hold what no class has.
fn priorities((first, last): (usize, usize)) -> (i16, i16) {
    let normal = class(NORMAL);
    let from = match first.cmp(&normal) {
        std::cmp::Ordering::Less => i16::MIN,
        std::cmp::Ordering::Equal => NORMAL,
        std::cmp::Ordering::Greater => NORMAL + 1,
    };
    let to = match last.cmp(&normal) {
        std::cmp::Ordering::Less => NORMAL - 1,
        std::cmp::Ordering::Equal => NORMAL,
        std::cmp::Ordering::Greater => i16::MAX,
    };
    (from, to)
}
