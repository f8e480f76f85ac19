//! How many of its calls an app has used up, as Meta's answers tell.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

/// What Meta says of the calls used up, in percent of what it allows in a rolling hour. Zeros: it said nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the account's management calls (`X-Business-Use-Case-Usage`).
    pub account_percent: u32,
    /// Of the app's calls over all accounts (`X-App-Usage`).
    pub app_percent: u32,
    /// For so long Meta refuses calls about the account yet.
    pub regain_after: Duration,
}

/// The share that uses up fastest decides.
const SHARES: [&str; 3] = ["call_count", "total_cputime", "total_time"];
/// Meta's figures are for a rolling hour; what it says beyond a day is a mistake.
const LONGEST_REGAIN: Duration = Duration::from_hours(24);

// === impl Usage ===

impl Usage {
    /// What an answer's headers tell. What cannot be read counts as nothing said.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut usage = Self::default();
        if let Some(app) = json(headers, "x-app-usage") {
            usage.app_percent = percent(&app);
        }
        let accounts = json(headers, "x-business-use-case-usage");
        let entries = accounts
            .iter()
            .filter_map(Value::as_object)
            .flat_map(|all| all.values());
        // The header speaks of the account that was asked about. Its sends are counted apart, under another type.
        let management = entries
            .filter_map(Value::as_array)
            .flatten()
            .filter(|entry| entry["type"] == "whatsapp_business_management");
        for entry in management {
            let minutes = entry["estimated_time_to_regain_access"]
                .as_f64()
                .unwrap_or(0.0)
                .max(0.0);
            let regain = Duration::try_from_secs_f64(minutes * 60.0).unwrap_or(LONGEST_REGAIN);
            usage.account_percent = usage.account_percent.max(percent(entry));
            usage.regain_after = usage.regain_after.max(regain.min(LONGEST_REGAIN));
        }
        usage
    }
}

fn json(headers: &HeaderMap, name: &str) -> Option<Value> {
    serde_json::from_slice(headers.get(name)?.as_bytes()).ok()
}

fn percent(entry: &Value) -> u32 {
    let shares = SHARES.iter().filter_map(|share| entry[*share].as_f64());
    shares.fold(0.0, f64::max).ceil() as u32
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn usage(name: &'static str, value: &'static str) -> Usage {
        Usage::of(&HeaderMap::from_iter([(
            http::HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )]))
    }

    #[test]
    fn the_highest_share_and_the_longest_wait_count() {
        let both = r#"{"102290129340398":[{"type":"whatsapp","call_count":99,"total_cputime":1,"total_time":1,"estimated_time_to_regain_access":7},
            {"type":"whatsapp_business_management","call_count":28,"total_cputime":25,"total_time":96.2,"estimated_time_to_regain_access":19}]}"#;
        let both: &'static str = Box::leak(both.replace('\n', "").into_boxed_str());
        assert_eq!(
            usage("x-business-use-case-usage", both),
            Usage {
                account_percent: 97,
                app_percent: 0,
                regain_after: Duration::from_mins(19),
            }
        );
        let app = usage("x-app-usage", r#"{"call_count":28,"total_time":25,"total_cputime":25}"#);
        assert_eq!((app.app_percent, app.account_percent), (28, 0));
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for value in ["", "[]", "{", "7", r#"{"1":{}}"#, r#"{"1":[7,null,{}]}"#] {
            assert_eq!(usage("x-business-use-case-usage", value), Usage::default(), "{value}");
            assert_eq!(usage("x-app-usage", value), Usage::default(), "{value}");
        }
        let odd = r#"{"1":[{"type":"whatsapp_business_management","call_count":-4,"total_time":1e300,"estimated_time_to_regain_access":1e300}]}"#;
        let odd = usage("x-business-use-case-usage", odd);
        assert_eq!((odd.account_percent, odd.regain_after), (u32::MAX, LONGEST_REGAIN));
    }
}
