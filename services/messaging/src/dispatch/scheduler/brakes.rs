//! What holds messages back: a lane, a user, a number's campaigns, a number, everything.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::{Alarm, LaneId, Scheduler};

impl<C> Scheduler<C> {
    /// Whether messages of `number` can be sent at all: its connection is active and nobody paused it.
    pub(crate) fn open(&mut self, number: &str, open: bool) {
        let Some((key, entry)) = self.numbers.get_key_value(number) else {
            return;
        };
        if entry.open == open {
            return;
        }
        let key = Arc::clone(key);
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.open = open;
            if !open {
                entry.stall(&mut self.stalled);
            }
        }
        self.enlist(&key);
    }

    /// A message of this lane is on its way elsewhere, or its outcome is not known: the lane waits until then.
    pub(crate) fn block(&mut self, number: &str, lane: LaneId, until: Instant, now: Instant) {
        let Some((key, _)) = self.numbers.get_key_value(number) else {
            return;
        };
        let key = Arc::clone(key);
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.block(lane, until);
        }
        self.look(&key, lane, now);
    }

    /// Nothing is sent from `number` until then. With `probe`, one message at a time after it, until one call shows that the trouble is over ([`Scheduler::calm`]).
    pub(crate) fn brake(&mut self, number: &str, until: Instant, probe: bool) {
        let Some((key, entry)) = self.numbers.get_key_value(number) else {
            return;
        };
        // Known already.
        if entry.braked_until.is_some_and(|known| known >= until) && (entry.probing || !probe) {
            return;
        }
        let key = Arc::clone(key);
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.braked_until = Some(entry.braked_until.map_or(until, |known| known.max(until)));
            entry.probing |= probe;
            entry.stall(&mut self.stalled);
        }
        self.timers.push(Reverse((until, key, Alarm::Number)));
        self.give_back(number);
    }

    /// No campaign is sent from `number` until then.
    pub(crate) fn brake_bulk(&mut self, number: &str, until: Instant) {
        let Some((key, entry)) = self.numbers.get_key_value(number) else {
            return;
        };
        if entry.bulk_braked_until.is_some_and(|known| known >= until) {
            return;
        }
        let key = Arc::clone(key);
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.bulk_braked_until = Some(entry.bulk_braked_until.map_or(until, |known| known.max(until)));
            entry.stall_bulk(&mut self.stalled);
        }
        self.timers.push(Reverse((until, key, Alarm::Number)));
    }

    /// Meta takes nothing from `number` for this user until then.
    pub(crate) fn hold_up(&mut self, number: &str, contact: Uuid, until: Instant, now: Instant) {
        let Some((key, _)) = self.numbers.get_key_value(number) else {
            return;
        };
        let key = Arc::clone(key);
        let alarm = self
            .numbers
            .get_mut(number)
            .and_then(|entry| entry.hold_up(contact, until, now));
        if let Some((at, alarm)) = alarm {
            self.timers.push(Reverse((at, key, alarm)));
        }
    }

    /// Nothing is sent from now on, or again.
    pub(crate) fn halt(&mut self, halted: bool) {
        self.halted = halted;
        if halted {
            for entry in self.numbers.values_mut() {
                entry.stall(&mut self.stalled);
            }
        }
    }

    /// Nothing is sent now.
    pub(crate) fn halted(&self) -> bool {
        self.halted
    }

    /// Nothing is sent from this number for now, by Meta's word.
    pub(crate) fn braked(&self, number: &str, now: Instant) -> bool {
        self.numbers.get(number).is_some_and(|entry| entry.braked(now))
    }

    /// Whatever was waited for has come: nothing holds `number` back but its tokens.
    pub(crate) fn unbrake(&mut self, number: &str) {
        let Some((key, _)) = self.numbers.get_key_value(number) else {
            return;
        };
        let key = Arc::clone(key);
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.braked_until = None;
            entry.bulk_braked_until = None;
            entry.probing = false;
        }
        self.enlist(&key);
    }

    /// A call from `number` went well.
    pub(crate) fn calm(&mut self, number: &str) {
        let Some((key, entry)) = self.numbers.get_key_value(number) else {
            return;
        };
        if !entry.probing {
            return;
        }
        let key = Arc::clone(key);
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.probing = false;
        }
        self.enlist(&key);
    }
}
