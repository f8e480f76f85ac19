//! New messages' ids: in one process each is above the one before. A request that becomes several messages has ids that follow one another.

use std::sync::{Mutex, PoisonError};

use outeract_clock::{SharedClock, SharedRandom};
use outeract_domain::EventId;

/// Makes ids. Those of one millisecond are told apart, and kept in order, by a counter.
#[derive(Debug)]
pub(crate) struct MessageIds {
    clock: SharedClock,
    random: SharedRandom,
    last: Mutex<(u64, u16)>,
}

/// The counter's bits in a version-7 UUID.
const COUNTER: u16 = 0x0fff;
/// Messages of one request: so many ids from one on belong to it.
pub(crate) const MOST_PARTS: usize = 32;

/// The id of a request's message, the first being number 0.
pub(crate) fn part(first: EventId, number: usize) -> EventId {
    debug_assert!(number < MOST_PARTS, "{number} is beyond what belongs to a request");
    EventId::from_uuid(uuid::Uuid::from_u128(first.uuid().as_u128() | number as u128))
}

// === impl MessageIds ===

impl MessageIds {
    pub(crate) fn new(clock: SharedClock, random: SharedRandom) -> Self {
        Self {
            clock,
            random,
            last: Mutex::new((0, 0)),
        }
    }

    pub(crate) fn next(&self) -> EventId {
        let mut tail = [0; 10];
        self.random.fill(&mut tail[2..]);
        let now = u64::try_from(self.clock.now().unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        let (millis, counter) = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = match *last {
                // A clock that stands still, or goes back, does not bring the order out of step.
                (millis, COUNTER) if millis >= now => (millis + 1, 0),
                (millis, counter) if millis >= now => (millis, counter + 1),
                _ => (now, 0),
            };
            *last
        };
        tail[..2].copy_from_slice(&counter.to_be_bytes());
        // Room for the other messages of the same request.
        tail[9] &= !(MOST_PARTS as u8 - 1);
        EventId::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use outeract_clock::{FakeClock, SeededRandom};
    use time::macros::datetime;

    use super::*;

    #[test]
    fn each_id_is_above_the_one_before_whatever_the_clock_does() {
        let clock = Arc::new(FakeClock::at(datetime!(2026-11-23 10:00 UTC)));
        let ids = MessageIds::new(clock.clone(), Arc::new(SeededRandom::new(1)));
        let mut last = ids.next();
        for step in 0..10_000 {
            if step == 5_000 {
                clock.set(datetime!(2026-11-23 09:59 UTC));
            }
            let next = ids.next();
            assert!(next > part(last, MOST_PARTS - 1));
            assert_eq!(next.uuid().get_version_num(), 7);
            last = next;
        }
    }
}
