//! The calls that an app may make of one account's management, and how Meta tells how many it made.

use std::collections::VecDeque;

use serde_json::json;

/// Calls of the last hour, by minute.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    minutes: VecDeque<(i64, u32)>,
    count: u32,
    /// Instead of Meta's limit.
    pub(crate) limit: Option<u32>,
}

const MINUTE_MS: i64 = 60_000;
const HOUR: i64 = 60;
/// Calls an hour of an account with a registered number.
const ACTIVE: u32 = 5_000;
/// Calls an hour of another account.
const INACTIVE: u32 = 200;

// === impl Usage ===

impl Usage {
    fn limit(&self, active: bool) -> u32 {
        self.limit.unwrap_or(if active { ACTIVE } else { INACTIVE })
    }

    fn forget(&mut self, now_ms: i64) {
        while let Some((_, calls)) = self
            .minutes
            .pop_front_if(|(minute, _)| *minute <= now_ms / MINUTE_MS - HOUR)
        {
            self.count -= calls;
        }
    }

    /// Counts a call; false when it is one too many.
    pub(crate) fn take(&mut self, active: bool, now_ms: i64) -> bool {
        self.forget(now_ms);
        if self.count >= self.limit(active) {
            return false;
        }
        let minute = now_ms / MINUTE_MS;
        match self.minutes.back_mut() {
            Some((last, calls)) if *last == minute => *calls += 1,
            _ => self.minutes.push_back((minute, 1)),
        }
        self.count += 1;
        true
    }

    /// `X-Business-Use-Case-Usage`: percentages, and minutes until calls are taken again.
    pub(crate) fn header(&mut self, waba_id: &str, active: bool, now_ms: i64) -> String {
        self.forget(now_ms);
        let limit = self.limit(active);
        let percent = (u64::from(self.count) * 100)
            .checked_div(u64::from(limit))
            .unwrap_or(100);
        let full = self.count >= limit;
        let first = self.minutes.front().filter(|_| full);
        let wait = first.map_or(0, |(minute, _)| minute + HOUR - now_ms / MINUTE_MS);
        json!({waba_id: [{
            "type": "whatsapp_business_management",
            "call_count": percent,
            "total_cputime": percent / 4,
            "total_time": percent / 4,
            "estimated_time_to_regain_access": wait,
        }]})
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_over_an_hour() {
        let mut usage = Usage::default();
        assert_eq!((0..300).filter(|_| usage.take(false, 0)).count(), 200);
        assert!(!usage.take(false, 59 * MINUTE_MS));
        let header = usage.header("7", false, 20 * MINUTE_MS);
        assert!(header.contains(r#""call_count":100"#) && header.contains(r#""estimated_time_to_regain_access":40"#));
        assert!(usage.take(false, 60 * MINUTE_MS));
        assert!(usage.header("7", false, 60 * MINUTE_MS).contains(r#""call_count":0"#));
    }

    #[test]
    fn an_account_with_numbers_may_call_more() {
        let mut usage = Usage::default();
        assert_eq!((0..6_000).filter(|_| usage.take(true, 0)).count(), 5_000);
        usage.limit = Some(5_001);
        assert!(usage.take(true, 0) && !usage.take(true, 0));
    }
}
