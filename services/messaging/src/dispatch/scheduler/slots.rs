//! Who gets a slot, that is, one of the calls that may be in flight.

use std::sync::Arc;

use uuid::Uuid;

use super::{BULK, NORMAL, NumberId, Scheduler, URGENT, class};

/// The slots as they are now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots {
    /// All of them.
    pub(super) calls: usize,
    /// Those that campaigns have.
    pub(super) bulk: usize,
    /// Other numbers want one.
    pub(super) others: bool,
}

/// Of the slots, and of each share, so much is kept: one in eight.
const KEPT: usize = 8;
/// Messages on their way are at most so many times the slots: where outcomes are recorded slowly, nothing new is sent.
const ON_THEIR_WAY: usize = 4;

// === impl Slots ===

impl Slots {
    /// The lowest class that gets a slot, of a number that has so many, and so many of them for urgent messages.
    pub(super) fn lowest(self, taken: usize, urgent: usize) -> Option<usize> {
        let kept = self.calls / KEPT;
        // Whoever else wants a slot now: then nobody may have more than half of them. The last eighth is kept for whoever comes next.
        let share = if self.others { self.calls / 2 } else { self.calls - kept };
        let share = share.max(1);
        // Calls that hang may hold slots for long. Campaigns never hold all of a share, or of all numbers together; and one-time codes go beyond their number's share, by half of it.
        if taken < (share - share / KEPT).max(1) && self.room_for_bulk() {
            Some(class(BULK))
        } else if taken < share {
            Some(class(NORMAL))
        } else {
            (urgent < (share / 2).max(1)).then_some(class(URGENT))
        }
    }

    /// Campaigns do not have all that they may have.
    pub(super) fn room_for_bulk(self) -> bool {
        self.bulk < (self.calls - self.calls / KEPT).max(1)
    }
}

// === impl Scheduler ===

impl<C> Scheduler<C> {
    pub(super) fn has_slot(&self) -> bool {
        self.calling < self.limits.calls && self.in_flight < self.limits.calls * ON_THEIR_WAY
    }

    /// Meta has accepted a message: what is left is to record that, for which it needs no slot.
    pub(crate) fn answered(&mut self, number: &str, message: Uuid) {
        let entry = self.numbers.get_mut(number);
        if let Some(class) = entry.and_then(|entry| entry.answered(message)) {
            self.free(class);
        }
    }

    /// A slot that a message of this class had is free.
    pub(super) fn free(&mut self, class_of: usize) {
        self.calling -= 1;
        if class_of == class(BULK) {
            self.bulk_calling -= 1;
            self.uncap_bulk();
        }
        // At most two numbers can have their share at a time.
        for capped in std::mem::take(&mut self.capped) {
            self.uncap(&capped);
        }
    }

    pub(super) fn slots(&self) -> Slots {
        Slots {
            calls: self.limits.calls,
            bulk: self.bulk_calling,
            // The one that asks is not in the ring any more.
            others: self.ring.len() > 1 || !self.wanting.is_empty(),
        }
    }

    /// A number waits for a slot for its class `best`.
    pub(super) fn cap(&mut self, number: NumberId, best: usize, slots: Slots) {
        let Some(entry) = self.numbers.get_mut(&number) else {
            return;
        };
        entry.listed = true;
        entry.capped = Some(best);
        if best < class(BULK) || slots.room_for_bulk() {
            self.capped.push(number);
            return;
        }
        if !entry.queued_for_bulk {
            entry.queued_for_bulk = true;
            self.bulk_queue.push_back(Arc::clone(&number));
        }
        self.give_back(&number);
    }

    /// A number need not wait for a slot any more.
    pub(super) fn uncap(&mut self, number: &NumberId) {
        if let Some(entry) = self.numbers.get_mut(number)
            && entry.capped.take().is_some()
        {
            entry.listed = false;
            self.enlist(number);
        }
    }

    /// A campaign can have a slot. False: none waits.
    pub(super) fn uncap_bulk(&mut self) -> bool {
        let Some(number) = self.bulk_queue.pop_front() else {
            return false;
        };
        if let Some(entry) = self.numbers.get_mut(&number) {
            entry.queued_for_bulk = false;
        }
        self.uncap(&number);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_hang_leave_slots_to_higher_classes() {
        let slots = |bulk, others| Slots {
            calls: 64,
            bulk,
            others,
        };
        let lowest = |slots: Slots| [0, 27, 28, 31, 32, 63].map(|taken| slots.lowest(taken, 15));
        assert_eq!(
            lowest(slots(0, true)),
            [Some(2), Some(2), Some(1), Some(1), Some(0), Some(0)]
        );
        assert_eq!(slots(0, true).lowest(32, 16), None);
        assert_eq!(slots(0, true).lowest(31, 31), Some(1));
        assert_eq!(lowest(slots(56, true))[0], Some(1), "campaigns have what they may have");
        assert_eq!(slots(0, false).lowest(55, 0), Some(1));
        assert_eq!(slots(0, false).lowest(63, 0), Some(0));
        let one = Slots {
            calls: 1,
            bulk: 0,
            others: true,
        };
        assert_eq!((one.lowest(0, 0), one.lowest(1, 1)), (Some(2), None));
    }
}
