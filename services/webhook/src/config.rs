use outeract_runtime::config::{FromEnv, Reader, Reported, ServiceUrl};

use crate::edge::Credentials;

/// What the webhook service reads beyond what every service reads.
#[derive(Debug)]
pub struct Config {
    pub(crate) credentials: Credentials,
    pub(crate) connection: ServiceUrl,
    pub(crate) messaging: ServiceUrl,
    pub(crate) tracking: ServiceUrl,
    pub(crate) retention_days: u16,
}

/// Meta sends again for seven days, and parked items wait as long: less would drop what is still needed.
const LEAST_DAYS: u16 = 8;

impl FromEnv for Config {
    fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let app_secret = env.secret("META_APP_SECRET");
        let previous = env.optional_secret("META_APP_SECRET_PREVIOUS");
        let verify_token = env.secret("META_VERIFY_TOKEN");
        let connection = env.required("WEBHOOK_CONNECTION_URL");
        let messaging = env.required("WEBHOOK_MESSAGING_URL");
        let tracking = env.required("WEBHOOK_TRACKING_URL");
        let retention_days = env.or("WEBHOOK_RETENTION_DAYS", LEAST_DAYS).and_then(|days| {
            env.ensure(
                days >= LEAST_DAYS,
                "WEBHOOK_RETENTION_DAYS",
                format!("must be at least {LEAST_DAYS}"),
            )?;
            Ok(days)
        });
        Ok(Self {
            credentials: Credentials {
                app_secrets: [app_secret?].into_iter().chain(previous?).collect(),
                verify_token: verify_token?,
            },
            connection: connection?,
            messaging: messaging?,
            tracking: tracking?,
            retention_days: retention_days?,
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
