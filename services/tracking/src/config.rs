//! What the service reads from the environment beyond what every service reads.

use std::time::Duration;

use outeract_runtime::config::{FromEnv, Reader, Reported, ServiceUrl};

/// How long events are kept unless configured: 35 days.
const RETENTION: Duration = Duration::from_hours(35 * 24);
/// Meta reports what happened up to 7 days ago; an event must outlive its own report.
const LEAST_RETENTION: Duration = Duration::from_hours(24);

/// The tracking service's own settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// `TRACKING_CONNECTION_URL`: the connection service's internal listener, which knows the keys.
    pub connection: ServiceUrl,
    /// `TRACKING_RETENTION`: how long events are kept after they were recorded. Default `840h`.
    pub retention: Duration,
    /// `TRACKING_STREAMS_PER_APPLICATION`: open streams of one application in one process. Default 64.
    pub streams_per_application: usize,
}

// === impl Config ===

impl FromEnv for Config {
    fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let connection = env.required("TRACKING_CONNECTION_URL");
        let retention = env.or("TRACKING_RETENTION", RETENTION);
        let streams = env.or("TRACKING_STREAMS_PER_APPLICATION", 64_usize);
        let (connection, retention, streams) = (connection?, retention?, streams?);
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
        })
    }
}
