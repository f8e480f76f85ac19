/// A bucket's rate and size in whole microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Between two tokens.
    pub(crate) interval: i64,
    /// What the bucket holds.
    pub(crate) burst: i64,
}

/// What a bucket answers, and the state it is left in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// When the bucket will be full again: all that is stored of it.
    pub(crate) full_at: i64,
    pub(crate) granted: u32,
    /// Microseconds until one more is due; 0 if all were granted.
    pub(crate) wait: i64,
}

/// What a bucket may owe at most, in microseconds of refilling: what was spent beyond what it held.
pub(crate) const DEBT: i64 = 1_000_000;
/// A token a day: what "never" amounts to.
const SLOWEST: i64 = 86_400_000_000;
/// Keeps all sums with the time of day exact in Lua's numbers, which have 53 bits.
const LONGEST: i64 = 1_000_000_000_000_000;

// === impl Shape ===

impl Shape {
    pub(crate) fn new(rate_per_second: f64, burst: u32) -> Self {
        let interval = if rate_per_second > 0.0 {
            // Rounded to the nearest thousandth first: a rate such as 1/6 must not cost a microsecond more for its last bit.
            ((1e6 / rate_per_second * 1e3).round() / 1e3)
                .ceil()
                .clamp(1.0, SLOWEST as f64) as i64
        } else {
            SLOWEST
        };
        Self {
            interval,
            burst: i64::from(burst.max(1)).min(LONGEST / interval),
        }
    }

    /// One of `parts` of this bucket.
    pub(crate) fn divided(self, parts: i64) -> Self {
        Self {
            interval: (self.interval.saturating_mul(parts)).min(SLOWEST),
            burst: (self.burst / parts).max(1),
        }
    }
}

/// The same arithmetic as `take.lua`.
pub(crate) fn take(full_at: Option<i64>, now: i64, shape: Shape, want: u32) -> Answer {
    let span = shape.burst * shape.interval;
    let full_at = full_at.unwrap_or(now).clamp(now, now + span + DEBT);
    let free = (now + span - full_at) / shape.interval;
    let granted = free.clamp(0, i64::from(want));
    let full_at = full_at + granted * shape.interval;
    let due = if granted < i64::from(want) {
        (full_at + shape.interval - now - span).max(1)
    } else {
        0
    };
    Answer {
        full_at,
        granted: granted as u32,
        wait: due,
    }
}

/// The same arithmetic as `spend.lua`.
#[cfg(test)]
pub(crate) fn spend(full_at: Option<i64>, now: i64, shape: Shape, count: u32) -> i64 {
    let most = now + shape.burst * shape.interval + DEBT;
    (full_at.unwrap_or(now).max(now) + i64::from(count) * shape.interval).min(most)
}

/// The same arithmetic as `give_back.lua`.
pub(crate) fn give_back(full_at: i64, now: i64, shape: Shape, count: u32) -> i64 {
    (full_at - i64::from(count) * shape.interval).max(now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_become_whole_microseconds() {
        assert_eq!(Shape::new(80.0, 10).interval, 12_500);
        assert_eq!(Shape::new(1_000.0, 10).interval, 1_000);
        assert_eq!(Shape::new(1.0 / 6.0, 10).interval, 6_000_000);
        // Rounded so that the rate is never exceeded.
        assert_eq!(Shape::new(72.0, 10).interval, 13_889);
        assert_eq!(Shape::new(1e12, 10).interval, 1);
        for never in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY, f64::MIN_POSITIVE] {
            assert_eq!(Shape::new(never, 10).interval, SLOWEST);
        }
        assert_eq!(Shape::new(1.0, 0).burst, 1);
    }

    #[test]
    fn a_burst_then_the_rate() {
        let shape = Shape::new(1.0 / 6.0, 10);
        let first = take(None, 0, shape, 12);
        assert_eq!((first.granted, first.wait), (10, 6_000_000));
        assert_eq!(take(Some(first.full_at), 5_999_999, shape, 1).granted, 0);
        assert_eq!(take(Some(first.full_at), 5_999_999, shape, 1).wait, 1);
        assert_eq!(take(Some(first.full_at), 6_000_000, shape, 1).granted, 1);
    }

    #[test]
    fn a_clock_that_steps_back_freezes_nothing() {
        let shape = Shape::new(100.0, 10);
        let full_at = take(None, 3_600_000_000, shape, 10).full_at;
        let stepped = take(Some(full_at), 0, shape, 1);
        assert_eq!((stepped.granted, stepped.wait), (0, shape.interval + DEBT));
    }

    #[test]
    fn what_is_spent_beyond_what_there_was_is_made_good_first() {
        let shape = Shape::new(100.0, 10);
        // Ten are there: of fifteen, five are owed.
        let full_at = spend(None, 0, shape, 15);
        let answer = take(Some(full_at), 0, shape, 1);
        assert_eq!((answer.granted, answer.wait), (0, 6 * shape.interval));
        assert_eq!(take(Some(full_at), 6 * shape.interval, shape, 5).granted, 1);
        // However much is spent, no more is owed than refills in a second.
        let full_at = spend(Some(full_at), 0, shape, 1_000_000);
        assert_eq!(take(Some(full_at), 0, shape, 1).wait, DEBT + shape.interval);
        // Tokens that are left are spent first.
        assert_eq!(take(Some(spend(None, 0, shape, 4)), 0, shape, 10).granted, 6);
    }

    fn shape() -> impl Strategy<Value = Shape> {
        (0.01_f64..10_000.0, 1_u32..200).prop_map(|(rate, burst)| Shape::new(rate, burst))
    }

    proptest! {
        /// Over any stretch of time no more is granted than the burst and what refills, whatever is asked when; and whoever waits as told gets one.
        #[test]
        fn never_more_than_promised(shape in shape(), calls in prop::collection::vec((0_i64..200_000, 0_u32..50), 1..60)) {
            let (mut now, mut full_at, mut history) = (1_700_000_000_000_000, None, Vec::new());
            for (pause, want) in calls {
                now += pause;
                let answer = take(full_at, now, shape, want);
                prop_assert!(answer.granted <= want);
                prop_assert_eq!(answer.wait > 0, answer.granted < want);
                if answer.wait > 0 {
                    prop_assert_eq!(take(Some(answer.full_at), now + answer.wait, shape, 1).granted, 1);
                    prop_assert_eq!(take(Some(answer.full_at), now + answer.wait - 1, shape, 1).granted, 0);
                }
                full_at = Some(answer.full_at);
                history.push((now, i64::from(answer.granted)));
            }
            for (index, (since, _)) in history.iter().enumerate() {
                let mut sum = 0;
                for (until, granted) in &history[index..] {
                    sum += granted;
                    prop_assert!(sum <= shape.burst + (until - since) / shape.interval);
                }
            }
        }

        /// What is spent and what is granted together stay within the promise, but for what may be owed.
        #[test]
        fn spending_counts_as_granting(shape in shape(), calls in prop::collection::vec((0_i64..200_000, 0_u32..50, 0_u32..50), 1..60)) {
            let (mut now, mut full_at, mut granted, mut spent) = (1_700_000_000_000_000, None, 0, 0);
            let start = now;
            for (pause, want, count) in calls {
                now += pause;
                let before = full_at;
                let after = spend(before, now, shape, count);
                // As far as it was not forgiven.
                spent += (after - before.unwrap_or(now).max(now)).max(0);
                let answer = take(Some(after), now, shape, want);
                full_at = Some(answer.full_at);
                granted += i64::from(answer.granted) * shape.interval;
                prop_assert!(granted + spent <= (shape.burst * shape.interval + DEBT) + (now - start));
            }
        }

        #[test]
        fn what_is_given_back_can_be_had_again(shape in shape(), taken in 1_u32..200, back in 1_u32..200) {
            let now = 1_700_000_000_000_000;
            let first = take(None, now, shape, taken);
            let back = back.min(first.granted);
            let full_at = give_back(first.full_at, now, shape, back);
            let again = take(Some(full_at), now, shape, u32::MAX);
            prop_assert_eq!(i64::from(again.granted), shape.burst - i64::from(first.granted - back));
        }

        #[test]
        fn nothing_overflows(rate: f64, burst: u32, want: u32, full_at: Option<i64>, parts in 1_i64..1_000) {
            let shape = Shape::new(rate, burst).divided(parts);
            prop_assert!(shape.interval >= 1 && shape.burst >= 1);
            let answer = take(full_at, 1_700_000_000_000_000, shape, want);
            prop_assert!(answer.full_at < 1 << 53);
        }
    }
}
