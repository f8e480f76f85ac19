//! The limits of one business phone number, by the rules Meta publishes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Milliseconds between messages to one user in the long run.
const PAIR_INTERVAL_MS: i64 = 6_000;
/// Messages to one user that may be borrowed from the future in one burst.
const PAIR_BURST: u32 = 45;
/// Milliseconds from its first message in which a burst must end.
const PAIR_BURST_MS: i64 = 6_000;
/// How long the window stays open after a message from the user, in milliseconds.
const WINDOW_MS: i64 = 24 * 3_600 * 1_000;
/// The period over which a portfolio's users are counted, in milliseconds.
const UNIQUE_MS: i64 = 24 * 3_600 * 1_000;

/// The state of one number's limits.
#[derive(Debug)]
pub(crate) struct NumberLimits {
    /// Messages a second, in and out together.
    pub(crate) throughput: u32,
    /// When the bucket is empty again, in microseconds.
    bucket_micros: i64,
    pairs: HashMap<String, Pair>,
    windows: HashMap<String, i64>,
}

/// What one user was sent.
#[derive(Debug, Default)]
struct Pair {
    /// Until when the messages sent so far are paid for.
    paid_until_ms: i64,
    burst_started_ms: i64,
    burst: u32,
}

/// The users a portfolio has messaged outside their windows in the last day.
#[derive(Debug, Default)]
pub(crate) struct UniqueUsers {
    /// Each with the last time.
    last: HashMap<Arc<str>, i64>,
    /// Every time in order; a user whose last time is later than this one comes again.
    times: VecDeque<(i64, Arc<str>)>,
}

// === impl NumberLimits ===

impl NumberLimits {
    pub(crate) fn new(throughput: u32) -> Self {
        Self {
            throughput,
            bucket_micros: 0,
            pairs: HashMap::new(),
            windows: HashMap::new(),
        }
    }

    /// Counts one message against the throughput; false when the second is full.
    pub(crate) fn take_throughput(&mut self, now_ms: i64) -> bool {
        let now = now_ms * 1_000;
        let interval = 1_000_000 / i64::from(self.throughput.max(1));
        let next = self.bucket_micros.max(now) + interval;
        // A bucket of one second.
        if next - now > 1_000_000 {
            return false;
        }
        self.bucket_micros = next;
        true
    }

    /// Whether one more message to the user is within the pair's rate.
    pub(crate) fn pair_free(&self, user: &str, now_ms: i64) -> bool {
        self.pairs
            .get(user)
            .is_none_or(|pair| pair.paid(now_ms) || pair.bursting(now_ms))
    }

    /// Counts one message to the user, which is within the pair's rate.
    pub(crate) fn take_pair(&mut self, user: &str, now_ms: i64) {
        if !self.pairs.contains_key(user) {
            self.pairs.insert(user.to_owned(), Pair::default());
        }
        let Some(pair) = self.pairs.get_mut(user) else {
            return;
        };
        if pair.paid(now_ms) {
            pair.burst_started_ms = now_ms;
            pair.burst = 1;
            pair.paid_until_ms = now_ms + PAIR_INTERVAL_MS;
        } else {
            pair.burst += 1;
            pair.paid_until_ms += PAIR_INTERVAL_MS;
        }
    }

    /// Opens the user's window, or keeps it open longer.
    pub(crate) fn open_window(&mut self, user: &str, at_ms: i64) {
        let until = at_ms + WINDOW_MS;
        let window = self.windows.entry(user.to_owned()).or_insert(until);
        *window = until.max(*window);
    }

    /// Whether the user's window is open.
    pub(crate) fn window_open(&self, user: &str, now_ms: i64) -> bool {
        self.windows.get(user).is_some_and(|until| now_ms < *until)
    }
}

// === impl UniqueUsers ===

impl UniqueUsers {
    /// Counts a message outside a window; false when the user would be one too many.
    pub(crate) fn take(&mut self, user: &str, limit: Option<usize>, now_ms: i64) -> bool {
        self.forget(now_ms);
        let known = self.last.get_key_value(user).map(|(user, _)| user.clone());
        if known.is_none() && limit.is_some_and(|limit| self.last.len() >= limit) {
            return false;
        }
        let user = known.unwrap_or_else(|| Arc::from(user));
        self.last.insert(user.clone(), now_ms);
        self.times.push_back((now_ms, user));
        true
    }

    /// How many there are.
    pub(crate) fn count(&mut self, now_ms: i64) -> usize {
        self.forget(now_ms);
        self.last.len()
    }

    fn forget(&mut self, now_ms: i64) {
        while let Some((at_ms, user)) = self.times.pop_front_if(|(at_ms, _)| now_ms - *at_ms >= UNIQUE_MS) {
            if self.last.get(&user).is_some_and(|last| *last == at_ms) {
                self.last.remove(&user);
            }
        }
    }
}

// === impl Pair ===

impl Pair {
    /// Everything that was sent is paid for.
    fn paid(&self, now_ms: i64) -> bool {
        self.paid_until_ms <= now_ms
    }

    /// One more may be borrowed.
    fn bursting(&self, now_ms: i64) -> bool {
        now_ms - self.burst_started_ms < PAIR_BURST_MS && self.burst < PAIR_BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(limits: &mut NumberLimits, user: &str, now_ms: i64) -> bool {
        let free = limits.pair_free(user, now_ms);
        if free {
            limits.take_pair(user, now_ms);
        }
        free
    }

    #[test]
    fn throughput_is_a_bucket_of_one_second() {
        let mut limits = NumberLimits::new(80);
        assert_eq!((0..200).filter(|_| limits.take_throughput(1_000_000)).count(), 80);
        assert_eq!((0..200).filter(|_| limits.take_throughput(1_000_500)).count(), 40);
    }

    #[test]
    fn a_burst_of_twenty_is_followed_by_two_minutes_of_silence() {
        let mut limits = NumberLimits::new(1_000);
        assert!((0..20).all(|index| send(&mut limits, "1", 1_000 + index)));
        assert!(!send(&mut limits, "1", 1_000 + 6_000));
        assert!(!send(&mut limits, "1", 1_000 + 119_000));
        assert!(send(&mut limits, "2", 1_000 + 119_000), "another user is not concerned");
        assert!(send(&mut limits, "1", 1_000 + 120_000));
    }

    #[test]
    fn no_burst_is_longer_than_45() {
        let mut limits = NumberLimits::new(1_000);
        assert_eq!((0..100).filter(|_| send(&mut limits, "1", 5_000)).count(), 45);
    }

    #[test]
    fn one_message_in_six_seconds_always_passes() {
        let mut limits = NumberLimits::new(1_000);
        assert!((0..100).all(|index| send(&mut limits, "1", index * 6_000)));
    }

    #[test]
    fn windows_only_grow() {
        let mut limits = NumberLimits::new(80);
        assert!(!limits.window_open("1", 0));
        limits.open_window("1", 10_000);
        limits.open_window("1", 5_000);
        assert!(limits.window_open("1", 10_000 + WINDOW_MS - 1));
        assert!(!limits.window_open("1", 10_000 + WINDOW_MS));
    }

    #[test]
    fn the_tier_counts_users_not_messages() {
        let mut unique = UniqueUsers::default();
        assert!(unique.take("1", Some(2), 0) && unique.take("1", Some(2), 1) && unique.take("2", Some(2), 2));
        assert!(!unique.take("3", Some(2), 3));
        assert!(unique.take("3", Some(2), UNIQUE_MS + 1), "the first user's day is over");
        assert!(unique.take("4", None, UNIQUE_MS + 1));
    }

    #[test]
    fn a_users_day_begins_anew_with_each_message() {
        let mut unique = UniqueUsers::default();
        assert!(unique.take("1", Some(1), 0) && unique.take("1", Some(1), 500));
        assert!(!unique.take("2", Some(1), UNIQUE_MS + 499));
        assert_eq!(unique.count(UNIQUE_MS + 499), 1);
        assert!(unique.take("2", Some(1), UNIQUE_MS + 500));
    }
}
