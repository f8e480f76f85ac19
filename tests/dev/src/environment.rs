//! Every configuration key that the suite's processes get here, in one place.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sha256::sha256_hex;
use crate::suite::{Service, SuiteOptions};
use crate::{Context, Instance, Result, random};

/// The listeners of one process.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    pub(crate) application: u16,
    pub(crate) internal: u16,
    pub(crate) ops: u16,
    pub(crate) edge: u16,
}

impl Ports {
    /// The ports that the documentation names.
    pub(crate) fn documented(service: Service) -> Self {
        let first = match service {
            Service::Connection => 7010,
            Service::Messaging => 7020,
            Service::Webhook => 7030,
            Service::Tracking => 7040,
        };
        Self {
            application: first,
            internal: first + 1,
            ops: first + 2,
            edge: first + 3,
        }
    }

    pub(crate) fn of(instance: &Instance, service: Service) -> Result<Self> {
        let (application, internal, ops) = (instance.port()?, instance.port()?, instance.port()?);
        let edge = if has_edge(service) { instance.port()? } else { 0 };
        Ok(Self {
            application,
            internal,
            ops,
            edge,
        })
    }
}

/// Which services speak HTTP to the outside.
pub(crate) fn has_edge(service: Service) -> bool {
    service == Service::Webhook
}

/// Which siblings a service calls: the others' URLs are not its business.
pub(crate) fn calls(service: Service, sibling: Service) -> bool {
    let siblings: &[Service] = match service {
        // Pushes what it knows of a connection.
        Service::Connection => &[Service::Messaging, Service::Webhook],
        // Keys and tokens from one, its events to the other; the third helps to erase users.
        Service::Messaging => &[Service::Connection, Service::Tracking, Service::Webhook],
        Service::Webhook => &[Service::Connection, Service::Messaging, Service::Tracking],
        Service::Tracking => &[Service::Connection],
    };
    siblings.contains(&sibling)
}

/// Secrets made for one suite.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// The Meta app's id.
    pub app_id: String,
    /// The Meta app's secret, which signs webhooks.
    pub app_secret: String,
    /// What Meta presents when it verifies the webhook URL.
    pub verify_token: String,
    /// A key for admin methods.
    pub operator_key: String,
    /// What keeps this suite's keys in Redis apart from those of others.
    redis_prefix: String,
    /// Each service's own secret, in the order of [`Service::ALL`].
    services: Vec<(Service, String)>,
}

impl Secrets {
    pub(crate) fn generate() -> Result<Self> {
        let services: Result<Vec<_>> = Service::ALL
            .into_iter()
            .map(|service| Ok((service, random::secret()?)))
            .collect();
        Ok(Self {
            app_id: "1000000000000001".to_owned(),
            app_secret: random::hex(&random::bytes::<16>()?),
            verify_token: random::secret()?,
            operator_key: operator_key()?,
            redis_prefix: format!("outeract:{}:", random::hex(&random::bytes::<4>()?)),
            services: services?,
        })
    }

    /// The secret by which a service proves itself to its siblings.
    pub fn of(&self, service: Service) -> &str {
        self.services
            .iter()
            .find(|(of, _)| *of == service)
            .map_or("", |(_, secret)| secret)
    }
}

/// `otr_op_<id of the key>_<secret>`: the id is a `UUIDv7` like every other.
fn operator_key() -> Result<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this package uses std only, and nobody tests this time"
    )]
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("reading the clock")?;
    let mut id = random::bytes::<16>()?;
    id[..6].copy_from_slice(&(now.as_millis() as u64).to_be_bytes()[2..]);
    id[6] = id[6] & 0x0f | 0x70;
    id[8] = id[8] & 0x3f | 0x80;
    Ok(format!(
        "otr_op_{}_{}",
        random::typeid_suffix(id),
        random::base64url(&random::bytes::<32>()?)
    ))
}

/// The configuration of one service, less the URLs of its siblings.
pub(crate) fn of_service(
    service: Service,
    ports: &Ports,
    secrets: &Secrets,
    options: &SuiteOptions,
    graph_base_url: &str,
) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    let mut shared = |key: &str, value: String| drop(keys.insert(key.to_owned(), value));
    shared("OUTERACT_LOG", "info".to_owned());
    // Nothing here routes by readiness, so there is nobody to wait for.
    shared("OUTERACT_SHUTDOWN_DELAY", "0s".to_owned());
    shared("OUTERACT_SHUTDOWN_GRACE", "5s".to_owned());
    shared("OUTERACT_REFLECTION", "true".to_owned());

    let prefix = service.prefix();
    let listen = |port: u16| format!("127.0.0.1:{port}");
    let mut own = |key: &str, value: String| drop(keys.insert(format!("{prefix}_{key}"), value));
    own("DATABASE_URL", role_url(&options.database_url, service));
    own("LISTEN", listen(ports.application));
    own("INTERNAL_LISTEN", listen(ports.internal));
    own("OPS_LISTEN", listen(ports.ops));
    if has_edge(service) {
        own("EDGE_LISTEN", listen(ports.edge));
    }
    own("SEAL_KEYS", seal_keys(secrets.of(service)));
    own("SERVICE_SECRET", secrets.of(service).to_owned());
    let peers = secrets.services.iter().filter(|(peer, _)| *peer != service);
    let peers: Vec<String> = peers
        .map(|(peer, secret)| format!("{}={}", peer.name(), sha256_hex(secret.as_bytes())))
        .collect();
    own("PEERS", peers.join(","));

    let mut more = |key: &str, value: &str| drop(keys.insert(key.to_owned(), value.to_owned()));
    match service {
        Service::Connection => {
            more("GRAPH_BASE_URL", graph_base_url);
            more("META_APP_ID", &secrets.app_id);
            more("META_APP_SECRET", &secrets.app_secret);
            more("META_VERIFY_TOKEN", &secrets.verify_token);
            more("CONNECTION_BOOTSTRAP_OPERATOR_KEY", &secrets.operator_key);
        }
        Service::Messaging => {
            more("GRAPH_BASE_URL", graph_base_url);
            more("REDIS_URL", &options.redis_url);
            more("MESSAGING_REDIS_PREFIX", &secrets.redis_prefix);
            more("MESSAGING_FILES_URL", &files_url(&options.files));
            more(
                "MESSAGING_ADVERTISE_URL",
                &format!("http://127.0.0.1:{}", ports.internal),
            );
        }
        Service::Webhook => {
            more("META_APP_SECRET", &secrets.app_secret);
            more("META_VERIFY_TOKEN", &secrets.verify_token);
        }
        Service::Tracking => {}
    }
    keys
}

/// A directory of this machine as the messaging service is told of it: shared, because all replicas run here.
fn files_url(directory: &Path) -> String {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let mut url = "file://".to_owned();
    for byte in absolute.display().to_string().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url + "?shared=true"
}

/// The simulator's configuration.
pub(crate) fn of_simulator(port: u16, secrets: &Secrets) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("SIMULATOR_LISTEN".to_owned(), format!("127.0.0.1:{port}")),
        ("META_APP_ID".to_owned(), secrets.app_id.clone()),
        ("META_APP_SECRET".to_owned(), secrets.app_secret.clone()),
        ("META_VERIFY_TOKEN".to_owned(), secrets.verify_token.clone()),
    ])
}

/// One sealing key and one hashing key, made from the service's secret so that a restart opens what it sealed before.
fn seal_keys(secret: &str) -> String {
    let key = |purpose: &str| {
        let digest = sha256_hex(format!("{purpose} {secret}").as_bytes());
        let bytes: Vec<u8> = (0..32)
            .filter_map(|at| u8::from_str_radix(digest.get(2 * at..2 * at + 2)?, 16).ok())
            .collect();
        random::base64(&bytes)
    };
    format!("k1:{}\nhash:{}", key("seal"), key("hash"))
}

/// The same database as the service's own role, with the password that [`crate::bootstrap`] gives it.
pub(crate) fn role_url(database_url: &str, service: Service) -> String {
    let (scheme, rest) = database_url.split_once("://").unwrap_or(("postgres", database_url));
    let authority_ends = rest.find(['/', '?']).unwrap_or(rest.len());
    let host = rest[..authority_ends].rfind('@').map_or(rest, |at| &rest[at + 1..]);
    format!("{scheme}://outeract_{}:{ROLE_PASSWORD}@{host}", service.name())
}

/// Roles belong to the whole cluster, which other runs (and the tests, by `outeract-testkit`) share: so everyone uses the same.
pub(crate) const ROLE_PASSWORD: &str = "dev";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_key_has_its_form() {
        let key = operator_key().unwrap();
        let parts: Vec<&str> = key.splitn(4, '_').collect();
        assert_eq!(
            (parts[0], parts[1], parts[2].len(), parts[3].len()),
            ("otr", "op", 26, 43)
        );
        assert!(key.as_bytes()[7] <= b'7');
    }

    #[test]
    fn a_role_logs_in_at_the_same_database() {
        let role = "outeract_webhook:dev";
        assert_eq!(
            role_url("postgres://h/d", Service::Webhook),
            format!("postgres://{role}@h/d")
        );
        assert_eq!(
            role_url("postgres://u:p@h:1/d?a=b@c", Service::Webhook),
            format!("postgres://{role}@h:1/d?a=b@c")
        );
    }

    #[test]
    fn files_are_kept_where_every_replica_finds_them() {
        assert_eq!(
            files_url(Path::new("/tmp/a b/files")),
            "file:///tmp/a%20b/files?shared=true"
        );
        assert!(files_url(Path::new("target")).starts_with("file:///"));
    }

    #[test]
    fn services_know_each_other_by_hash_only() {
        let secrets = Secrets::generate().unwrap();
        let options = SuiteOptions::new("postgres://h/d", "redis://h", "logs");
        let keys = of_service(
            Service::Webhook,
            &Ports::documented(Service::Webhook),
            &secrets,
            &options,
            "http://g",
        );
        assert_eq!(keys["WEBHOOK_EDGE_LISTEN"], "127.0.0.1:7033");
        assert_eq!(keys["WEBHOOK_SEAL_KEYS"].lines().count(), 2);
        assert!(keys["WEBHOOK_PEERS"].contains(&format!(
            "messaging={}",
            sha256_hex(secrets.of(Service::Messaging).as_bytes())
        )));
        assert!(
            !keys["WEBHOOK_PEERS"].contains(secrets.of(Service::Messaging))
                && !keys["WEBHOOK_PEERS"].contains("webhook=")
        );
    }
}
