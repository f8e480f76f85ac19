//! What comes into memory, and what stays in the queue table.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::{CLASSES, Offer, Offered, Scheduler};

impl<C> Scheduler<C> {
    /// Takes in a message that was stored a moment ago, unless others of its class wait in the queue table: then so does it.
    pub(crate) fn fresh(&mut self, number: &str, offer: Offer<C>, now: Instant) -> Offered {
        let (class, message) = (offer.lane.class(), offer.message);
        let Some(entry) = self.numbers.get_mut(number).filter(|entry| entry.epoch.is_some()) else {
            return Offered::Foreign;
        };
        if entry.window.behind(class) && !entry.knows(message) {
            if entry.window.leave(class, message, offer.awaited) {
                self.stalled.push(message);
            }
            return Offered::Full;
        }
        self.offer(number, offer, now)
    }

    /// Takes in a message that was read from the queue table in the order of its class.
    pub(crate) fn offer(&mut self, number: &str, offer: Offer<C>, now: Instant) -> Offered {
        let Some((key, _)) = self.numbers.get_key_value(number) else {
            return Offered::Foreign;
        };
        let key = Arc::clone(key);
        let Some(entry) = self.numbers.get_mut(number).filter(|entry| entry.epoch.is_some()) else {
            return Offered::Foreign;
        };
        let Offer {
            message,
            lane,
            awaited,
            ready,
            ..
        } = offer;
        let class = lane.class();
        if entry.knows(message) {
            let sooner = entry.hasten(message, ready, now);
            if awaited && (self.halted || !entry.awaits(message, now)) {
                self.stalled.push(message);
            }
            if let Some(lane) = sooner {
                self.look(&key, lane, now);
            }
            return Offered::Known;
        }
        if ready > now {
            if !entry.window.room_for_later(class, &self.limits, self.waiting) {
                if awaited {
                    self.stalled.push(message);
                }
                return Offered::Later;
            }
        } else if !entry.window.room(class, &self.limits, self.waiting) {
            // What waits for a time of its own makes room for what can go.
            if !entry.evict(class) {
                if entry.window.leave(class, message, awaited) {
                    self.stalled.push(message);
                }
                return Offered::Full;
            }
            self.waiting -= 1;
        }
        if let Some((at, alarm)) = entry.insert(offer, now) {
            self.timers.push(Reverse((at, Arc::clone(&key), alarm)));
        }
        self.waiting += 1;
        if awaited && (self.halted || !entry.awaits(message, now)) {
            self.stalled.push(message);
        }
        self.look(&key, lane, now);
        Offered::Taken
    }

    /// The queue table was read for a class: to its end, so that all of it is in memory, or as far as there was room.
    pub(crate) fn read(&mut self, number: &str, class: usize, all: bool) {
        if let Some(entry) = self.numbers.get_mut(number) {
            self.stalled.extend(entry.window.read(class, all));
        }
    }

    /// For which classes of a number the queue table has more, and memory has room.
    pub(crate) fn hungry(&self, number: &str) -> [bool; CLASSES] {
        let entry = self.numbers.get(number).filter(|entry| entry.epoch.is_some());
        std::array::from_fn(|class| entry.is_some_and(|entry| entry.window.hungry(class, &self.limits, self.waiting)))
    }

    /// A message that waits is not to be sent any more. One that is on its way comes to its end.
    pub(crate) fn withdraw(&mut self, number: &str, message: Uuid, now: Instant) {
        let Some((key, _)) = self.numbers.get_key_value(number) else {
            return;
        };
        let key = Arc::clone(key);
        if let Some(lane) = self.numbers.get_mut(number).and_then(|entry| entry.remove(message)) {
            self.waiting -= 1;
            self.look(&key, lane, now);
        }
    }
}
