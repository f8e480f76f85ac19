//! Lines in the log about what fails again and again.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Whether a fault that repeats itself is worth another line: its first is, then one in a while.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    last: Mutex<Option<Instant>>,
}

const WHILE: Duration = Duration::from_secs(10);

// === impl Seldom ===

impl Seldom {
    /// It happened again. True: say so.
    pub(crate) fn again(&self) -> bool {
        let Ok(mut last) = self.last.lock() else { return true };
        let due = last.is_none_or(|last| last.elapsed() >= WHILE);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_what_follows_at_once_is_not() {
        let seldom = Seldom::default();
        assert!(seldom.again());
        assert!(!seldom.again());
    }
}
