//! The 24 hours after a user's last message: whether a user can be written to freely.
//!
//! Postgres is the truth. Each process remembers windows that Postgres said are open, and trusts that; everything else, closed windows above all, Postgres decides. That is sound because
//! windows only grow: what is remembered can only end too early. The one thing that shrinks them, Meta's word that a window is closed (131047), drops what the process that hears it
//! remembers, before and after it is written down; the others learn of it when what they trust has aged, [`TRUST`] at most. Until then Meta refuses, which is a definite answer.
//!
//! The memory is this process's own and not Redis's: the owner of a number sends every message of it, so nobody else would be served; a look in memory costs no round trip, and what it misses
//! comes with a statement that is made anyway (storing asks who the recipient is, sending asks for the content) or in one statement for many messages.

#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use moka::ops::compute::Op;
use moka::sync::Cache;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::Fault;
use uuid::Uuid;

use crate::problem::{OUTSIDE_MESSAGING_WINDOW, RECIPIENT_OPTED_OUT};

/// A window that is about to close counts as closed: a message sent now may reach Meta later.
pub(crate) const MARGIN: Duration = Duration::from_mins(1);
/// For so long what Postgres said is trusted.
const TRUST: Duration = Duration::from_mins(5);
/// Windows in memory: about 20 MiB at most.
const MOST: u64 = 100_000;

/// The windows that are known to be open. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Windows {
    /// Until when each is trusted to be open, by the process's own clock: a step of the wall clock changes nothing.
    open: Cache<(Arc<str>, Uuid), Instant>,
    /// When Meta closed a window last, whichever: what was asked before that is not remembered.
    closed: Arc<RwLock<Option<Instant>>>,
}

/// For how long a window counts as open, given the seconds that Postgres says are left.
pub(crate) fn open_for(left: Option<f64>) -> Option<Duration> {
    let left = Duration::try_from_secs_f64(left?).ok()?;
    left.checked_sub(MARGIN).filter(|left| !left.is_zero())
}

/// Why a message is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The window is closed, and there is no template to send in the message's place.
    Outside,
    /// The user wants no marketing.
    OptedOut,
}

// === impl Refusal ===

impl Refusal {
    /// The stable reason.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Outside => OUTSIDE_MESSAGING_WINDOW,
            Self::OptedOut => RECIPIENT_OPTED_OUT,
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Outside => Self::precondition(
                ErrorReason::OutsideMessagingWindow,
                "more than 24 hours have passed since the user's last message to the number; send a template, or give a fallback_template",
            ),
            Refusal::OptedOut => Self::precondition(
                ErrorReason::RecipientOptedOut,
                "the user wants no marketing from this business; templates of other categories can be sent",
            ),
        }
    }
}

// === impl Windows ===

impl Windows {
    pub(crate) fn new() -> Self {
        Self {
            open: Cache::builder().max_capacity(MOST).time_to_live(TRUST).build(),
            closed: Arc::default(),
        }
    }

    /// The window is known to be open. False: Postgres decides.
    pub(crate) fn is_open(&self, number: &Arc<str>, contact: Uuid) -> bool {
        self.open
            .get(&(Arc::clone(number), contact))
            .is_some_and(|until| Instant::now() < until)
    }

    /// Postgres was asked at `asked` and said that so many seconds are left. Gives whether the window is open.
    pub(crate) fn learn(&self, number: &Arc<str>, contact: Uuid, left: Option<f64>, asked: Instant) -> bool {
        let Some(open_for) = open_for(left) else { return false };
        // Counted from before the question: too early by the time it took, never too late.
        let until = asked + open_for.min(TRUST);
        self.open
            .entry((Arc::clone(number), contact))
            .and_compute_with(|known| {
                let closed = *self.closed.read().unwrap_or_else(PoisonError::into_inner);
                match learned(known.map(moka::Entry::into_value), until, asked, closed) {
                    Some(until) => Op::Put(until),
                    None => Op::Nop,
                }
            });
        true
    }

    /// Meta says that the window is closed: to be called before that is written down, and after.
    pub(crate) fn close(&self, number: &Arc<str>, contact: Uuid) {
        // First the time, then the window: of two computations of one window the later sees what the earlier did.
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.open
            .entry((Arc::clone(number), contact))
            .and_compute_with(|known| if known.is_some() { Op::Remove } else { Op::Nop });
    }
}

/// Until when a window is to be trusted that was seen open; none: nothing new, or not to be relied on.
fn learned(known: Option<Instant>, until: Instant, asked: Instant, closed: Option<Instant>) -> Option<Instant> {
    let stale = closed.is_some_and(|closed| asked <= closed);
    (!stale && known.is_none_or(|known| known < until)).then_some(until)
}
