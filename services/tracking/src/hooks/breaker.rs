//! When a target is called at all.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What counts: attempts of the last five minutes.
const SPAN: Duration = Duration::from_mins(5);
/// Attempts that must have been made before the breaker opens.
const LEAST: usize = 10;
/// Attempts remembered.
const MOST: usize = 64;
/// How long it stays open at first, and at most; it doubles each time the probe fails.
const FIRST: Duration = Duration::from_secs(30);
const LAST: Duration = Duration::from_mins(10);
/// Deliveries at a time to a target that works.
const WIDEST: usize = 8;

/// The breaker of one target, and how many deliveries it is given at a time: one at first, twice as many after each success, one again after a failure. So one that hangs
/// holds one place and one that works soon has eight.
#[derive(Debug)]
pub(super) struct Breaker {
    recent: VecDeque<(Instant, bool)>,
    state: State,
    width: usize,
    /// Not before this moment, because the target said so.
    not_before: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
        pause: Duration,
    },
    /// One attempt decides.
    Probing {
        pause: Duration,
    },
}

/// What may be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// So many deliveries at a time.
    Width(usize),
    /// None before this moment.
    Not(Instant),
}

// === impl Breaker ===

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            recent: VecDeque::new(),
            state: State::Closed,
            width: 1,
            not_before: None,
        }
    }

    /// What may be begun at `now`.
    pub(super) fn leave(&mut self, now: Instant) -> Leave {
        if let Some(at) = self.not_before {
            if at > now {
                return Leave::Not(at);
            }
            self.not_before = None;
        }
        match self.state {
            State::Closed => Leave::Width(self.width),
            State::Open { until, .. } if until > now => Leave::Not(until),
            State::Open { pause, .. } => {
                self.state = State::Probing { pause };
                Leave::Width(1)
            }
            State::Probing { .. } => Leave::Width(1),
        }
    }

    /// The target works: its last attempt succeeded.
    pub(super) fn proven(&self) -> bool {
        self.width > 1
    }

    /// Notes an attempt.
    pub(super) fn note(&mut self, now: Instant, success: bool) {
        self.width = if success { (self.width * 2).min(WIDEST) } else { 1 };
        match self.state {
            State::Probing { .. } if success => {
                self.recent.clear();
                self.state = State::Closed;
            }
            State::Probing { pause } => self.open(now, (pause * 2).min(LAST)),
            // Attempts that were on their way when it opened.
            State::Open { .. } => {}
            State::Closed => {
                self.recent.push_back((now, success));
                while self.recent.len() > MOST || self.recent.front().is_some_and(|(at, _)| *at + SPAN < now) {
                    self.recent.pop_front();
                }
                let failed = self.recent.iter().filter(|(_, success)| !success).count();
                if !success && self.recent.len() >= LEAST && failed * 2 >= self.recent.len() {
                    self.open(now, FIRST);
                }
            }
        }
    }

    /// The target asked to be left alone for a while.
    pub(super) fn hold(&mut self, now: Instant, wish: Duration) {
        self.not_before = Some(now + wish.min(LAST));
    }

    fn open(&mut self, now: Instant, pause: Duration) {
        self.recent.clear();
        self.state = State::Open {
            until: now + pause,
            pause,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(breaker: &mut Breaker, now: Instant) -> Option<Duration> {
        match breaker.leave(now) {
            Leave::Not(until) => Some(until - now),
            Leave::Width(_) => None,
        }
    }

    #[test]
    fn it_opens_after_ten_attempts_of_which_half_failed_and_each_failed_probe_doubles_the_pause() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new();
        for attempt in 0..10 {
            assert_eq!(open(&mut breaker, now), None, "{attempt}");
            breaker.note(now, attempt % 2 == 0);
        }
        for pause in [30, 60, 120, 240, 480, 600, 600] {
            let pause = Duration::from_secs(pause);
            assert_eq!(open(&mut breaker, now), Some(pause));
            now += pause;
            assert_eq!(breaker.leave(now), Leave::Width(1));
            breaker.note(now, false);
        }
        now += Duration::from_mins(10);
        assert_eq!(breaker.leave(now), Leave::Width(1));
        breaker.note(now, true);
        assert_eq!(open(&mut breaker, now), None);
        assert!(breaker.proven());
    }

    #[test]
    fn attempts_of_long_ago_do_not_count() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 0..30 {
            breaker.note(now, false);
            assert_eq!(open(&mut breaker, now), None);
            now += Duration::from_secs(40);
        }
    }

    #[test]
    fn what_works_is_given_more_at_a_time_and_what_fails_one() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        for width in [1, 2, 4, 8, 8] {
            assert_eq!(breaker.leave(now), Leave::Width(width));
            breaker.note(now, true);
        }
        breaker.note(now, false);
        assert_eq!(breaker.leave(now), Leave::Width(1));
        breaker.hold(now, Duration::from_hours(5));
        assert_eq!(open(&mut breaker, now), Some(LAST));
    }
}
