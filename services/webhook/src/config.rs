use std::ops::RangeInclusive;

use outeract_runtime::config::{FromEnv, Reader, Reported, ServiceUrl};

use crate::edge::Credentials;

/// What the webhook service reads beyond what every service reads.
#[derive(Debug)]
pub struct Config {
    pub(crate) credentials: Credentials,
    pub(crate) connection: ServiceUrl,
    pub(crate) messaging: ServiceUrl,
    pub(crate) tracking: ServiceUrl,
    pub(crate) keep: Keep,
    /// Bytes that raw bodies may take up; 0: no limit.
    pub(crate) storage_budget: u64,
}

/// For how many days what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keep {
    /// Raw bodies.
    pub bodies: u16,
    /// Items that were not applied.
    pub items: u16,
    /// Accounts.
    pub accounts: u16,
    /// Parked items, until they are quarantined.
    pub parked: u16,
}

/// Meta sends again for seven days: less would drop what is still needed.
const LEAST_DAYS: u16 = 8;
/// Days that items, accounts and parked items are kept unless configured otherwise.
const ITEM_DAYS: u16 = 30;
const ACCOUNT_DAYS: u16 = 90;
const PARKED_DAYS: u16 = 7;
/// Years ahead, sums of days are no dates any more.
const MOST_DAYS: u16 = 3_650;
const MIB: u64 = 1 << 20;
/// A pebibyte.
const MOST_MIB: u64 = 1 << 30;

impl FromEnv for Config {
    fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let app_secret = env.secret("META_APP_SECRET");
        let previous = env.optional_secret("META_APP_SECRET_PREVIOUS");
        let verify_token = env.secret("META_VERIFY_TOKEN");
        let connection = env.required("WEBHOOK_CONNECTION_URL");
        let messaging = env.required("WEBHOOK_MESSAGING_URL");
        let tracking = env.required("WEBHOOK_TRACKING_URL");
        let keep = Keep::from_env(env);
        let budget = env.or("WEBHOOK_STORAGE_BUDGET_MIB", 0_u64).and_then(|mib| {
            env.ensure(
                mib <= MOST_MIB,
                "WEBHOOK_STORAGE_BUDGET_MIB",
                format!("must be at most {MOST_MIB}"),
            )?;
            Ok(mib * MIB)
        });
        Ok(Self {
            credentials: Credentials {
                app_secrets: [app_secret?].into_iter().chain(previous?).collect(),
                verify_token: verify_token?,
            },
            connection: connection?,
            messaging: messaging?,
            tracking: tracking?,
            keep: keep?,
            storage_budget: budget?,
        })
    }
}

// === impl Keep ===

impl Keep {
    fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let mut days = |key: &'static str, default: u16, range: RangeInclusive<u16>| {
            env.or(key, default).and_then(|days| {
                let (least, most) = (range.start(), range.end());
                env.ensure(range.contains(&days), key, format!("must be {least} to {most}"))?;
                Ok(days)
            })
        };
        let bodies = days("WEBHOOK_RETENTION_DAYS", LEAST_DAYS, LEAST_DAYS..=MOST_DAYS);
        let kept = *bodies.as_ref().unwrap_or(&LEAST_DAYS);
        // Lists and accounts say what became of bodies, so they stay at least as long; what is parked must still have its body.
        let items = days("WEBHOOK_ITEM_RETENTION_DAYS", ITEM_DAYS.max(kept), kept..=MOST_DAYS);
        let accounts = days(
            "WEBHOOK_ACCOUNT_RETENTION_DAYS",
            ACCOUNT_DAYS.max(kept),
            kept..=MOST_DAYS,
        );
        let parked = days("WEBHOOK_PARKED_DAYS", PARKED_DAYS, 1..=kept - 1);
        Ok(Self {
            bodies: bodies?,
            items: items?,
            accounts: accounts?,
            parked: parked?,
        })
    }
}

#[cfg(test)]
mod tests {
    use outeract_runtime::config::Env;

    use super::*;

    fn env() -> Env {
        let mut env = Env::default();
        for (key, value) in [
            ("META_APP_SECRET", "current"),
            ("META_VERIFY_TOKEN", "token"),
            ("WEBHOOK_CONNECTION_URL", "http://connection:7011"),
            ("WEBHOOK_MESSAGING_URL", "http://messaging:7021"),
            ("WEBHOOK_TRACKING_URL", "http://tracking:7041"),
        ] {
            env.set(key, value);
        }
        env
    }

    fn read(env: &Env) -> Result<Config, String> {
        let mut reader = Reader::new(env);
        let config = Config::from_env(&mut reader);
        reader
            .finish(config, &["WEBHOOK_"])
            .map_err(|faults| faults.to_string())
    }

    #[test]
    fn the_previous_secret_is_optional_and_nothing_secret_is_shown() {
        let mut env = env();
        assert_eq!(read(&env).unwrap().credentials.app_secrets.len(), 1);
        env.set("META_APP_SECRET_PREVIOUS", "previous");
        let config = read(&env).unwrap();
        assert_eq!(config.credentials.app_secrets.len(), 2);
        let shown = format!("{config:?}");
        assert!(!shown.contains("previous") && !shown.contains("\"token\""), "{shown}");
    }

    #[test]
    fn what_says_what_became_of_bodies_stays_as_long_as_they_do() {
        let mut env = env();
        let keep = |env: &Env| read(env).map(|config| config.keep);
        let of = |bodies, items, accounts, parked| Keep {
            bodies,
            items,
            accounts,
            parked,
        };
        assert_eq!(keep(&env), Ok(of(8, 30, 90, 7)));
        env.set("WEBHOOK_RETENTION_DAYS", "40");
        assert_eq!(keep(&env), Ok(of(40, 40, 90, 7)));
        env.set("WEBHOOK_ITEM_RETENTION_DAYS", "39");
        assert!(keep(&env).unwrap_err().contains("WEBHOOK_ITEM_RETENTION_DAYS"));
        env.set("WEBHOOK_ITEM_RETENTION_DAYS", "41");
        env.set("WEBHOOK_PARKED_DAYS", "40");
        assert!(keep(&env).unwrap_err().contains("WEBHOOK_PARKED_DAYS"));
        env.set("WEBHOOK_PARKED_DAYS", "39");
        env.set("WEBHOOK_STORAGE_BUDGET_MIB", "20");
        assert_eq!(read(&env).unwrap().storage_budget, 20 << 20);
        assert_eq!(keep(&env), Ok(of(40, 41, 90, 39)));
    }

    #[test]
    fn every_fault_is_told() {
        let mut env = env();
        env.set("WEBHOOK_RETENTION_DAYS", "7");
        env.set("WEBHOOK_STORAGE", "off");
        env.set("META_APP_SECRET", "");
        let faults = read(&env).unwrap_err();
        for key in ["WEBHOOK_RETENTION_DAYS", "WEBHOOK_STORAGE", "META_APP_SECRET"] {
            assert!(faults.contains(key), "{key}: {faults}");
        }
    }
}
