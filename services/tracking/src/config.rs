//! What the service reads from the environment beyond what every service reads.

use std::time::Duration;

use outeract_egress::guard::{Networks, Policy};
use outeract_runtime::config::{FromEnv, Invalid, Reader, Reported, ServiceUrl, Value};

/// How long events are kept unless configured: 35 days.
const RETENTION: Duration = Duration::from_hours(35 * 24);
/// Meta reports what happened up to 7 days ago; an event must outlive its own report.
const LEAST_RETENTION: Duration = Duration::from_hours(24);
/// How long deliveries are kept unless configured: 7 days.
const DELIVERY_RETENTION: Duration = Duration::from_hours(7 * 24);
/// How long a target may fail before its subscription is disabled: 5 days.
const DISABLE_AFTER: Duration = Duration::from_hours(5 * 24);

/// The tracking service's own settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// `TRACKING_CONNECTION_URL`: the connection service's internal listener, which knows the keys.
    pub connection: ServiceUrl,
    /// `TRACKING_RETENTION`: how long events are kept after they were recorded. Default `840h`.
    pub retention: Duration,
    /// `TRACKING_STREAMS_PER_APPLICATION`: open streams of one application in one process. Default 64.
    pub streams_per_application: usize,
    /// `TRACKING_WEBHOOK_RETENTION`: how long deliveries are kept. Default `168h`.
    pub webhook_retention: Duration,
    /// `TRACKING_WEBHOOK_DISABLE_AFTER`: how long a target may do nothing but fail before its subscription is disabled. Default `120h`.
    pub webhook_disable_after: Duration,
    /// `TRACKING_WEBHOOK_PORTS` (default `443,8443`) and `TRACKING_WEBHOOK_ALLOW_PRIVATE` (default none): what targets may be called.
    pub webhook_policy: Policy,
}

/// Networks between commas.
struct Private(Networks);

/// Ports between commas.
struct Ports(Vec<u16>);

// === impl Config ===

impl FromEnv for Config {
    fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let connection = env.required("TRACKING_CONNECTION_URL");
        let retention = env.or("TRACKING_RETENTION", RETENTION);
        let streams = env.or("TRACKING_STREAMS_PER_APPLICATION", 64_usize);
        let kept = env.or("TRACKING_WEBHOOK_RETENTION", DELIVERY_RETENTION);
        let disable_after = env.or("TRACKING_WEBHOOK_DISABLE_AFTER", DISABLE_AFTER);
        let ports = env.optional::<Ports>("TRACKING_WEBHOOK_PORTS");
        let private = env.optional::<Private>("TRACKING_WEBHOOK_ALLOW_PRIVATE");
        let (connection, retention, streams) = (connection?, retention?, streams?);
        let (kept, disable_after, ports, private) = (kept?, disable_after?, ports?, private?);
        env.ensure(
            kept >= LEAST_RETENTION,
            "TRACKING_WEBHOOK_RETENTION",
            "must be at least 24h",
        )?;
        let strict = Policy::strict();
        env.ensure(
            retention >= LEAST_RETENTION,
            "TRACKING_RETENTION",
            "must be at least 24h",
        )?;
        env.ensure(streams >= 1, "TRACKING_STREAMS_PER_APPLICATION", "must be at least 1")?;
        Ok(Self {
            connection,
            retention,
            streams_per_application: streams,
            webhook_retention: kept,
            webhook_disable_after: disable_after,
            webhook_policy: Policy {
                ports: ports.map_or(strict.ports, |Ports(ports)| ports),
                allowed: private.map_or(strict.allowed, |Private(networks)| networks),
            },
        })
    }
}

// === impl Private ===

impl Value for Private {
    fn parse(text: &str) -> Result<Self, Invalid> {
        Networks::parse(text)
            .map(Self)
            .ok_or_else(|| Invalid::must("be networks between commas, such as 127.0.0.0/8,::1/128"))
    }
}

// === impl Ports ===

impl Value for Ports {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let ports = text.split(',').map(|port| port.trim().parse());
        ports
            .collect::<Result<_, _>>()
            .map(Self)
            .map_err(|_| Invalid::must("be ports between commas, such as 443,8443"))
    }
}
