//! How fast each number really sends: as fast as Meta allows it, or less while Meta says that it is too fast.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::scheduler::NumberId;

/// Numbers that send more slowly than they may.
#[derive(Debug, Default)]
pub(crate) struct Throttles {
    numbers: HashMap<NumberId, Slowed>,
}

#[derive(Debug, Clone, Copy)]
struct Slowed {
    /// Of the number's rate, so much was used.
    share: f64,
    since: Instant,
}

/// What is left of the rate each time.
const SLOWER: f64 = 0.7;
/// However often Meta says so.
const LEAST: f64 = 0.1;
/// Of the number's rate, so much is won back each second.
const RECOVERY: f64 = 0.02;
/// The number sends nothing for this long.
pub(crate) const PAUSE: Duration = Duration::from_secs(5);

// === impl Throttles ===

impl Throttles {
    /// Meta says that the number sends too fast.
    pub(crate) fn slow(&mut self, number: &NumberId, now: Instant) {
        let share = (self.share(number, now) * SLOWER).max(LEAST);
        // Nothing is won back while nothing is sent.
        let since = now + PAUSE;
        self.numbers.insert(NumberId::clone(number), Slowed { share, since });
    }

    /// What is left of `rate`: at least one a second.
    pub(crate) fn rate(&mut self, number: &str, rate: u32, now: Instant) -> u32 {
        let share = self.share(number, now);
        if share >= 1.0 {
            self.numbers.remove(number);
            return rate;
        }
        ((f64::from(rate) * share).round() as u32).max(1)
    }

    pub(crate) fn forget(&mut self, number: &str) {
        self.numbers.remove(number);
    }

    /// Numbers that send more slowly than they may, or did when last looked at.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    fn share(&self, number: &str, now: Instant) -> f64 {
        self.numbers.get(number).map_or(1.0, |slowed| {
            let won = now.saturating_duration_since(slowed.since).as_secs_f64() * RECOVERY;
            (slowed.share + won).min(1.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_number_that_is_too_fast_sends_at_seven_tenths_and_wins_back_a_fiftieth_a_second() {
        let (mut throttles, now) = (Throttles::default(), Instant::now());
        let (number, other): (NumberId, NumberId) = (Arc::from("1"), Arc::from("2"));
        throttles.slow(&number, now);
        let rate =
            |throttles: &mut Throttles, seconds| throttles.rate("1", 1_000, now + PAUSE + Duration::from_secs(seconds));
        assert_eq!(throttles.rate("1", 1_000, now), 700);
        assert_eq!([0, 5, 10].map(|seconds| rate(&mut throttles, seconds)), [700, 800, 900]);
        assert_eq!(throttles.rate("2", 80, now), 80);
        throttles.slow(&number, now + PAUSE + Duration::from_secs(10));
        assert_eq!(rate(&mut throttles, 10), 630);
        assert_eq!(throttles.len(), 1);
        assert_eq!(rate(&mut throttles, 60), 1_000);
        assert_eq!(throttles.len(), 0);

        for _ in 0..50 {
            throttles.slow(&other, now);
        }
        assert_eq!((throttles.rate("2", 80, now), throttles.rate("2", 3, now)), (8, 1));
    }
}
