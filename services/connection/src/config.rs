//! What the connection service reads from the environment beyond what every service reads.

use outeract_rpc::KeyText;
use outeract_runtime::config::{FromEnv, Reader, Reported, ServiceUrl};
use outeract_seal::Secret;

use crate::subscription::Callback;

/// The settings of the connection service.
#[derive(Debug)]
pub struct Config {
    /// `CONNECTION_MESSAGING_URL`: messaging's internal listener.
    pub messaging: ServiceUrl,
    /// `CONNECTION_WEBHOOK_URL`: webhook's internal listener.
    pub webhook: ServiceUrl,
    /// `GRAPH_BASE_URL`: where Meta's Graph API is.
    pub graph: String,
    /// `GRAPH_API_VERSION`.
    pub graph_version: String,
    /// `META_APP_ID`: the installation's Meta app, digits.
    pub app_id: String,
    /// `META_APP_SECRET`.
    pub app_secret: Secret,
    /// `CONNECTION_WEBHOOK_CALLBACK_URL` with `META_VERIFY_TOKEN`: where Meta is to send webhooks. Absent: the app's subscription is made by hand.
    pub callback: Option<Callback>,
    /// `CONNECTION_BOOTSTRAP_OPERATOR_KEY`: an operator key that is to exist.
    pub operator_key: Option<Secret>,
}

const GRAPH_URL: &str = "GRAPH_BASE_URL";
const GRAPH_VERSION: &str = "GRAPH_API_VERSION";
const CALLBACK_URL: &str = "CONNECTION_WEBHOOK_CALLBACK_URL";
const VERIFY_TOKEN: &str = "META_VERIFY_TOKEN";
const OPERATOR_KEY: &str = "CONNECTION_BOOTSTRAP_OPERATOR_KEY";

// === impl Config ===

impl FromEnv for Config {
    fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let messaging = env.required("CONNECTION_MESSAGING_URL");
        let webhook = env.required("CONNECTION_WEBHOOK_URL");
        let graph = env
            .or(GRAPH_URL, "https://graph.facebook.com".to_owned())
            .and_then(|url| {
                env.ensure(is_url(&url), GRAPH_URL, "must be an http or https URL")?;
                Ok(url)
            });
        let graph_version = env.or(GRAPH_VERSION, "v25.0".to_owned()).and_then(|version| {
            env.ensure(is_version(&version), GRAPH_VERSION, "must be a version such as v25.0")?;
            Ok(version)
        });
        let app_id = env.required::<String>("META_APP_ID").and_then(|id| {
            let digits = id.bytes().all(|byte| byte.is_ascii_digit()) && id.len() <= 32;
            env.ensure(digits, "META_APP_ID", "must be digits")?;
            Ok(id)
        });
        let app_secret = env.secret("META_APP_SECRET");
        let callback = read_callback(env);
        let operator_key = read_operator_key(env);
        Ok(Self {
            messaging: messaging?,
            webhook: webhook?,
            graph: graph?,
            graph_version: graph_version?,
            app_id: app_id?,
            app_secret: app_secret?,
            callback: callback?,
            operator_key: operator_key?,
        })
    }
}

fn read_callback(env: &mut Reader<'_>) -> Result<Option<Callback>, Reported> {
    let url = env.optional::<String>(CALLBACK_URL);
    let verify_token = env.optional_secret(VERIFY_TOKEN);
    match (url?, verify_token?) {
        (Some(url), Some(verify_token)) => {
            let problem = "must be the http or https URL at which Meta reaches /webhooks/whatsapp";
            env.ensure(is_url(&url), CALLBACK_URL, problem)?;
            Ok(Some(Callback { url, verify_token }))
        }
        (Some(_), None) => env.fault(VERIFY_TOKEN, format!("must be set with {CALLBACK_URL}")),
        // The token alone may be there for the webhook service.
        (None, _) => Ok(None),
    }
}

fn read_operator_key(env: &mut Reader<'_>) -> Result<Option<Secret>, Reported> {
    let Some(key) = env.optional_secret(OPERATOR_KEY)? else {
        return Ok(None);
    };
    let formed = KeyText::parse(key.expose()).is_ok_and(|text| text.is_operator());
    env.ensure(formed, OPERATOR_KEY, "must be an operator key, otr_op_…")?;
    Ok(Some(key))
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| (1..=1_024).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_graphic()))
}

fn is_version(text: &str) -> bool {
    let number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = text.strip_prefix('v').and_then(|number| number.split_once('.'));
    parts.is_some_and(|(major, minor)| number(major) && number(minor))
}

#[cfg(test)]
mod tests {
    use outeract_runtime::config::{Env, Faults};

    use super::*;

    const COMPLETE: [(&str, &str); 4] = [
        ("CONNECTION_MESSAGING_URL", "http://messaging:7021"),
        ("CONNECTION_WEBHOOK_URL", "http://webhook:7031"),
        ("META_APP_ID", "784512369870123"),
        ("META_APP_SECRET", "s3cret"),
    ];

    fn read(more: &[(&str, &str)]) -> Result<Config, Faults> {
        let env: Env = COMPLETE.iter().chain(more).copied().collect();
        let mut reader = Reader::new(&env);
        let config = Config::from_env(&mut reader);
        reader.finish(config, &["CONNECTION_"])
    }

    #[test]
    fn the_least_that_must_be_set_is_enough() {
        let config = read(&[]).unwrap();
        assert_eq!(config.graph, "https://graph.facebook.com");
        assert_eq!(config.graph_version, "v25.0");
        assert!(config.callback.is_none() && config.operator_key.is_none());
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn every_fault_is_told() {
        let faults = read(&[
            ("META_APP_ID", "app"),
            ("GRAPH_API_VERSION", "25"),
            (CALLBACK_URL, "example.com"),
            (VERIFY_TOKEN, "t"),
            (OPERATOR_KEY, "otr_live_x"),
        ])
        .unwrap_err();
        let keys: Vec<_> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, [GRAPH_VERSION, "META_APP_ID", CALLBACK_URL, OPERATOR_KEY]);
    }

    #[test]
    fn a_callback_needs_its_verify_token() {
        let url = (CALLBACK_URL, "https://example.com/webhooks/whatsapp");
        assert_eq!(read(&[url]).unwrap_err().0[0].key, VERIFY_TOKEN);
        assert!(read(&[url, (VERIFY_TOKEN, "t")]).unwrap().callback.is_some());
        assert!(read(&[(VERIFY_TOKEN, "t")]).unwrap().callback.is_none());
    }
}
