//! Deadlines as gRPC carries them: a duration in the header `grpc-timeout`, an instant in the process.

use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use crate::call;

/// When a call has to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// Granted to a call that names no deadline.
pub const DEFAULT: Duration = Duration::from_secs(10);
/// Granted to a call that names a later one.
pub const CAP: Duration = Duration::from_mins(1);
/// Granted to a call whose request streams in, as of a large file over a slow line: when it names no deadline, or a later one.
pub const STREAM: Duration = Duration::from_mins(15);
/// Less than this is not worth starting.
const LEAST: Duration = Duration::from_millis(5);

// === impl Deadline ===

impl Deadline {
    /// `after` from now.
    pub fn after(after: Duration) -> Self {
        Self(Instant::now() + after)
    }

    /// What is left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The moment itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// What to grant to a call made on behalf of this one: nine tenths of what is left, so that its answer can still be used. `None`: not worth starting.
    pub fn pass_on(self) -> Option<Duration> {
        let remaining = self.remaining().mul_f64(0.9);
        (remaining >= LEAST).then_some(remaining)
    }
}

/// The deadline of the call that this task works on. `None` outside of a call, and in calls without one (those whose answer is a stream).
pub fn current() -> Option<Deadline> {
    call::current()?.deadline()
}

/// Reads a `grpc-timeout`: at most eight digits and a unit of `H M S m u n`. `None` for anything else.
pub(crate) fn parse(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits
        .iter()
        .fold(0_u64, |count, digit| count * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(count * 3_600)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Writes a `grpc-timeout` in the finest unit that eight digits hold, rounded down.
pub(crate) fn format(timeout: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let text = if timeout.as_micros() <= MOST {
        format!("{}u", timeout.as_micros())
    } else if timeout.as_millis() <= MOST {
        format!("{}m", timeout.as_millis())
    } else {
        format!("{}S", u128::from(timeout.as_secs()).min(MOST))
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("0u"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        let read = |text: &'static str| parse(&HeaderValue::from_static(text));
        assert_eq!(read("2H"), Some(Duration::from_hours(2)));
        assert_eq!(read("3M"), Some(Duration::from_mins(3)));
        assert_eq!(read("42S"), Some(Duration::from_secs(42)));
        assert_eq!(read("13m"), Some(Duration::from_millis(13)));
        assert_eq!(read("2u"), Some(Duration::from_micros(2)));
        assert_eq!(read("82n"), Some(Duration::from_nanos(82)));
        assert_eq!(read("0m"), Some(Duration::ZERO));
        assert_eq!(read("99999999H"), Some(Duration::from_hours(99_999_999)));
        for bad in ["", "S", "1", "1s", "-1S", "1.5S", "123456789S", "1 S"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_reads_back_no_longer() {
        for millis in [0, 1, 999, 10_000, 60_000, 99_999_999, 4_000_000_000] {
            let timeout = Duration::from_millis(millis);
            let back = parse(&format(timeout)).unwrap();
            assert!(
                back <= timeout && timeout.checked_sub(back).unwrap() < Duration::from_secs(1),
                "{timeout:?} {back:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nine_tenths_are_passed_on_while_it_is_worth_it() {
        assert_eq!(
            Deadline::after(Duration::from_secs(10)).pass_on(),
            Some(Duration::from_secs(9))
        );
        assert_eq!(Deadline::after(Duration::from_millis(5)).pass_on(), None);
        assert_eq!(Deadline::after(Duration::ZERO).remaining(), Duration::ZERO);
    }
}
