use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use http::HeaderMap;
use metrics::Gauge;

use crate::Fault;
use crate::caller::Caller;
use crate::deadline::Deadline;
use crate::method::Method;
use crate::quota::Share;
use crate::trace::Context;

/// One call that a listener serves: its method, deadline, caller and trace. Handlers reach it by [`crate::caller::call`].
pub struct Call {
    method: &'static Method,
    deadline: Option<Deadline>,
    trace: Context,
    caller: OnceLock<Caller>,
    slot: Slot,
    /// What it takes of its application's quota.
    share: OnceLock<Share>,
}

/// Counts what runs at once, up to a bound.
pub(crate) struct Slots {
    taken: AtomicUsize,
    most: usize,
    shown: Gauge,
}

/// A place under the bound. Given back when dropped, or earlier by [`Call::leave_limit`].
pub(crate) struct Slot {
    slots: Option<Arc<Slots>>,
    left: AtomicBool,
}

tokio::task_local! {
    static CURRENT: Arc<Call>;
}

/// The call that this task works on.
pub(crate) fn current() -> Option<Arc<Call>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Reads the call that this task works on, without counting a reference.
pub(crate) fn with_current<T>(read: impl FnOnce(&Call) -> T) -> Option<T> {
    CURRENT.try_with(|call| read(call)).ok()
}

/// Runs `future` as work on `call`.
pub(crate) fn scope<F: Future>(call: Arc<Call>, future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(call, future)
}

/// Runs `work` as work on `call`.
pub(crate) fn sync_scope<T>(call: Arc<Call>, work: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(call, work)
}

// === impl Call ===

impl Call {
    pub(crate) fn new(method: &'static Method, deadline: Option<Deadline>, trace: Context, slot: Slot) -> Self {
        Self {
            method,
            deadline,
            trace,
            caller: OnceLock::new(),
            slot,
            share: OnceLock::new(),
        }
    }

    /// `package.Service/Method`.
    pub fn method(&self) -> &'static str {
        self.method.name()
    }

    /// When the call has to be answered; `None` where the answer is a stream.
    pub fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// The call stops counting against the limits of what is under way, the listener's and its application's: for one that only waits, with waiters bounded elsewhere.
    pub fn leave_limit(&self) {
        self.slot.leave();
        if let Some(share) = self.share.get() {
            share.leave();
        }
    }

    /// Counts so many more calls against the application's quota, all or none: a request of `n` items is charged with `n - 1`, for one was charged when it came.
    pub fn charge(&self, more: u32) -> Result<(), Fault> {
        self.share.get().map_or(Ok(()), |share| share.charge(more))
    }

    pub(crate) fn trace(&self) -> &Context {
        &self.trace
    }

    pub(crate) fn caller(&self) -> Option<&Caller> {
        self.caller.get()
    }

    pub(crate) fn set_caller(&self, caller: Caller) {
        // Set once per call, by the gate.
        let _ = self.caller.set(caller);
    }

    pub(crate) fn set_share(&self, share: Share) {
        // As above.
        let _ = self.share.set(share);
    }

    /// Tells in an answer's metadata what is left of the application's quota.
    pub(crate) fn show_quota(&self, headers: &mut HeaderMap) {
        if let Some(share) = self.share.get() {
            share.show(headers);
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("deadline", &self.deadline)
            .field("caller", &self.caller.get())
            .finish_non_exhaustive()
    }
}

// === impl Slots ===

impl Slots {
    pub(crate) fn new(most: usize, shown: Gauge) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            most,
            shown,
        })
    }

    /// A place, unless all are taken.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        if self.taken.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.shown.increment(1.0);
        Some(Slot {
            slots: Some(Arc::clone(self)),
            left: AtomicBool::new(false),
        })
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.taken.load(Ordering::Relaxed), self.most)
    }
}

// === impl Slot ===

impl Slot {
    /// A place that counts nowhere.
    pub(crate) fn free() -> Self {
        Self {
            slots: None,
            left: AtomicBool::new(true),
        }
    }

    fn leave(&self) {
        if !self.left.swap(true, Ordering::Relaxed)
            && let Some(slots) = &self.slots
        {
            slots.taken.fetch_sub(1, Ordering::Relaxed);
            slots.shown.decrement(1.0);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_once() {
        let slots = Slots::new(2, Gauge::noop());
        let first = slots.take().unwrap();
        let second = slots.take().unwrap();
        assert!(slots.take().is_none());
        first.leave();
        first.leave();
        assert_eq!(slots.taken(), 1);
        drop(first);
        assert_eq!(slots.taken(), 1);
        drop(second);
        assert_eq!(slots.taken(), 0);
    }
}
