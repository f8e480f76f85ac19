//! What goes into the scheduler and what comes out of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outeract_domain::Priority;
use uuid::Uuid;

use crate::config::PairRate;

/// A phone number's id at Meta.
pub(crate) type NumberId = Arc<str>;

/// The priority of one-time codes: before everything else.
pub(crate) const URGENT: i16 = Priority::Urgent.code();
/// The priority of conversations.
pub(crate) const NORMAL: i16 = Priority::Normal.code();
/// The priority of campaigns.
pub(crate) const BULK: i16 = Priority::Bulk.code();
/// How many classes of priority there are.
pub(crate) const CLASSES: usize = 3;

/// Messages of one lane keep their order. Those to one recipient in another class of priority have a lane of their own: they are in order among themselves only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LaneId {
    /// Lower goes first.
    pub priority: i16,
    pub contact: Uuid,
}

impl LaneId {
    /// The class of its priority, from 0. What lies beyond the known ones counts as the nearest.
    pub(crate) fn class(self) -> usize {
        class(self.priority)
    }
}

/// The class of a priority, from 0.
pub(crate) fn class(priority: i16) -> usize {
    usize::try_from(priority.clamp(URGENT, BULK) - URGENT).unwrap_or(0)
}

/// The bounds of one process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Slots: calls in flight, from taking a message up to Meta's answer.
    pub calls: usize,
    /// Messages of one number in memory; the rest waits in the queue table.
    pub window: usize,
    /// Messages in memory.
    pub messages: usize,
    /// For how long a lane waits for its head.
    pub patience: Duration,
    /// How often one user is written to from one number.
    pub pair: PairRate,
}

/// A queued message.
#[derive(Debug, Clone)]
pub(crate) struct Offer<C> {
    pub message: Uuid,
    pub lane: LaneId,
    /// Its place in the order of acceptance.
    pub place: i64,
    /// When it may be tried.
    pub ready: Instant,
    /// Its sender chose that time: until then it holds nobody up.
    pub scheduled: bool,
    /// A caller waits for its outcome.
    pub awaited: bool,
    /// Whatever the call needs.
    pub cargo: C,
}

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It waits for its turn now.
    Taken,
    /// It was there already, or is on its way.
    Known,
    /// There is no room, or others of its class wait in the queue table: it stays there.
    Full,
    /// It cannot go yet, and others that cannot either fill the room for such: it stays in the queue table until its time.
    Later,
    /// This process does not own the number.
    Foreign,
}

/// A message whose turn has come. It holds one token and one slot until [`Scheduler::finished`].
#[derive(Debug)]
pub(crate) struct Admission<C> {
    pub number: NumberId,
    /// The epoch at which this process owns the number.
    pub epoch: i64,
    pub message: Uuid,
    pub lane: LaneId,
    pub place: i64,
    pub cargo: C,
}

/// What became of an admitted message.
#[derive(Debug)]
pub(crate) enum Outcome<C> {
    /// It has ended, or is somebody else's now. The lane goes on.
    Ended,
    /// It is to be tried again.
    Again {
        /// When.
        ready: Instant,
        cargo: C,
    },
    /// Nobody knows. The lane goes on then.
    Unknown {
        /// When.
        until: Instant,
    },
}

/// Tokens that a number needs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    pub number: NumberId,
    pub tokens: u32,
}
