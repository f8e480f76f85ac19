//! When Meta takes calls again, by the headers of a refusal.

use std::collections::HashMap;
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use serde::Deserialize;

const BUSINESS_USE_CASE: &str = "x-business-use-case-usage";
const MINUTE: u64 = 60;
/// Meta's windows are shorter than this.
const LONGEST: Duration = Duration::from_hours(24);

#[derive(Deserialize)]
struct Usage {
    /// Minutes.
    #[serde(default)]
    estimated_time_to_regain_access: f64,
}

/// When calls are taken again: the longest that Meta's usage header names, else what `Retry-After` says. `None`: neither says that it is to be waited for.
pub(crate) fn regain_after(headers: &HeaderMap) -> Option<Duration> {
    let used = headers
        .get(BUSINESS_USE_CASE)
        .and_then(|value| by_usage(value.as_bytes()));
    let told = || {
        let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    };
    used.or_else(told).map(|after| after.min(LONGEST))
}

fn by_usage(header: &[u8]) -> Option<Duration> {
    let accounts: HashMap<String, Vec<Usage>> = serde_json::from_slice(header).ok()?;
    let minutes = accounts
        .values()
        .flatten()
        .map(|usage| usage.estimated_time_to_regain_access)
        .fold(0.0, f64::max);
    (minutes > 0.0).then(|| Duration::try_from_secs_f64(minutes * MINUTE as f64).unwrap_or(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn the_longest_time_of_any_use_counts() {
        let usage = r#"{"102290129340398":[{"type":"whatsapp_business_management","call_count":100,"total_cputime":1,"total_time":1,"estimated_time_to_regain_access":3},
            {"type":"whatsapp","call_count":10,"estimated_time_to_regain_access":12}],"7":[{"type":"new"}]}"#;
        let after = regain_after(&headers(&[
            (BUSINESS_USE_CASE, usage.replace('\n', " ").as_str()),
            ("retry-after", "5"),
        ]));
        assert_eq!(after, Some(Duration::from_mins(12)));
    }

    #[test]
    fn who_has_not_used_it_up_is_told_nothing_and_nonsense_says_nothing() {
        let usage = r#"{"7":[{"type":"whatsapp","call_count":10,"estimated_time_to_regain_access":0}]}"#;
        assert_eq!(regain_after(&headers(&[(BUSINESS_USE_CASE, usage)])), None);
        for nonsense in [
            "",
            "[]",
            "{",
            r#"{"7":"x"}"#,
            r#"{"7":[{"estimated_time_to_regain_access":"soon"}]}"#,
        ] {
            assert_eq!(regain_after(&headers(&[(BUSINESS_USE_CASE, nonsense)])), None);
        }
        assert_eq!(
            regain_after(&headers(&[(BUSINESS_USE_CASE, usage), ("retry-after", "5")])),
            Some(Duration::from_secs(5))
        );
        assert_eq!(
            regain_after(&headers(&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")])),
            None
        );
        assert_eq!(regain_after(&headers(&[("retry-after", "99999999999")])), Some(LONGEST));
    }
}
