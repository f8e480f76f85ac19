//! When the places of a portfolio's quota come free. Those that wait are given one place each, so that no more come back at a time than can be sent then.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The portfolios that have no place left, as far as this process was refused one lately.
#[derive(Debug, Default)]
pub(super) struct Rooms(HashMap<String, Room>);

#[derive(Debug)]
struct Room {
    read: Instant,
    /// Seconds since 1970 when it was read, by the database's clock.
    epoch: f64,
    /// Places that were free then. Negative: more were taken than there are.
    free: i64,
    /// Minutes that hold places, the oldest first, each with how many places are free once it has left the count.
    free_after: Vec<(i32, i64)>,
    /// Places that were promised to messages.
    promised: i64,
}

/// A minute leaves the count when all of it is older than 24 hours.
const MINUTES: i64 = 24 * 60 + 1;
/// What was read is good for so long; sooner if a place comes free.
const FRESH: Duration = Duration::from_mins(1);
/// Past the beginning of a minute, so that the database's clock is past it too.
const SLACK: Duration = Duration::from_millis(50);
/// A place came free since the refusal.
const AT_ONCE: Duration = Duration::from_secs(1);
/// There are no places at all.
const NEVER: Duration = Duration::from_hours(1);
/// Portfolios in memory.
const MOST: usize = 1_000;

// === impl Rooms ===

impl Rooms {
    /// What is known of the portfolio is still true.
    pub(super) fn knows(&self, portfolio: &str, now: Instant) -> bool {
        self.0.get(portfolio).is_some_and(|room| room.is_fresh(now))
    }

    /// The minutes that hold places of the portfolio, the oldest first, and how many places there are. What was promised before is forgotten: who finds no place is given another.
    pub(super) fn learn(
        &mut self,
        portfolio: &str,
        buckets: impl Iterator<Item = (i32, i64)>,
        most: i64,
        epoch: f64,
        read: Instant,
    ) {
        if self.0.len() >= MOST {
            self.0.retain(|_, room| room.is_fresh(read));
        }
        let mut held = 0;
        let mut free_after: Vec<_> = buckets
            .map(|(minute, members)| {
                held += members;
                (minute, held)
            })
            .collect();
        let free = most - held;
        for (_, free_after) in &mut free_after {
            *free_after += free;
        }
        let room = Room {
            read,
            epoch,
            free,
            free_after,
            promised: 0,
        };
        if self.0.len() < MOST {
            self.0.insert(portfolio.to_owned(), room);
        }
    }

    /// Promises a place, and gives how long it takes until it is free.
    pub(super) fn wait(&mut self, portfolio: &str, now: Instant) -> Duration {
        let Some(room) = self.0.get_mut(portfolio) else {
            return FRESH;
        };
        room.promised += 1;
        let promised = room.promised;
        if promised <= room.free {
            return AT_ONCE;
        }
        let first = room.free_after.partition_point(|(_, free)| *free < promised);
        // Who gets none within 24 hours asks again then.
        let Some((minute, _)) = room.free_after.get(first).or(room.free_after.last()) else {
            return NEVER;
        };
        (room.leaves(*minute) + SLACK)
            .checked_duration_since(now)
            .map_or(AT_ONCE, |wait| wait.max(AT_ONCE))
    }
}

// === impl Room ===

impl Room {
    fn is_fresh(&self, now: Instant) -> bool {
        let next = self.free_after.iter().find(|(_, free)| *free > 0);
        now < self.read + FRESH && next.is_none_or(|(minute, _)| now < self.leaves(*minute))
    }

    /// When a minute leaves the count.
    fn leaves(&self, minute: i32) -> Instant {
        let at = (i64::from(minute) + MINUTES) as f64 * 60.0;
        self.read + Duration::try_from_secs_f64(at - self.epoch).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten places: three taken in minute 100, seven in minute 200; it is minute 1,000.
    fn rooms(now: Instant) -> Rooms {
        let mut rooms = Rooms::default();
        rooms.learn("p", [(100, 3), (200, 7)].into_iter(), 10, 60_000.0, now);
        rooms
    }

    fn minutes(wait: Duration) -> u64 {
        wait.as_secs() / 60
    }

    #[test]
    fn as_many_wait_for_a_minute_as_it_frees_places() {
        let now = Instant::now();
        let mut rooms = rooms(now);
        let waits: Vec<_> = (0..12).map(|_| minutes(rooms.wait("p", now))).collect();
        // Minute 100 has left the count when minute 1,541 begins.
        assert_eq!(waits[..3], [541; 3]);
        assert_eq!(waits[3..10], [641; 7]);
        assert_eq!(
            waits[10..],
            [641; 2],
            "no place within 24 hours: asked again at the last"
        );
    }

    #[test]
    fn a_limit_that_was_lowered_frees_places_later() {
        let now = Instant::now();
        let mut rooms = Rooms::default();
        rooms.learn("p", [(100, 3), (200, 7)].into_iter(), 5, 60_000.0, now);
        assert_eq!(minutes(rooms.wait("p", now)), 641);
    }

    #[test]
    fn what_was_read_is_read_again_after_a_minute_and_when_a_place_comes_free() {
        let now = Instant::now();
        let mut rooms = rooms(now);
        assert!(rooms.knows("p", now) && !rooms.knows("q", now));
        assert!(!rooms.knows("p", now + FRESH));
        rooms.learn("p", [(100, 10)].into_iter(), 10, (100.0 + 1_441.0) * 60.0 - 5.0, now);
        assert!(rooms.knows("p", now + Duration::from_secs(4)) && !rooms.knows("p", now + Duration::from_secs(5)));
    }

    #[test]
    fn without_any_place_it_is_asked_again_in_an_hour_and_after_a_release_at_once() {
        let now = Instant::now();
        let mut rooms = Rooms::default();
        rooms.learn("none", std::iter::empty(), 0, 60_000.0, now);
        assert_eq!(rooms.wait("none", now), NEVER);
        rooms.learn("released", [(1_000, 9)].into_iter(), 10, 60_000.0, now);
        assert_eq!(rooms.wait("released", now), AT_ONCE);
        assert_eq!(minutes(rooms.wait("released", now)), 1_441, "there was only one");
    }

    #[test]
    fn memory_is_bounded() {
        let now = Instant::now();
        let mut rooms = Rooms::default();
        for index in 0..2 * MOST {
            rooms.learn(&index.to_string(), [(100, 3)].into_iter(), 3, 60_000.0, now);
        }
        assert_eq!(rooms.0.len(), MOST);
        assert_eq!(rooms.wait("1999", now), FRESH);
    }
}
