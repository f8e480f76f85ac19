//! What the service reads from its environment beyond what every service reads.

use std::time::Duration;

use outeract_runtime::config::{FromEnv, Reader, Reported, ServiceUrl};
use outeract_seal::Secret;

use crate::files::FilesUrl;

/// The configuration of the messaging service.
#[derive(Debug, Clone)]
pub struct Config {
    /// `MESSAGING_CONNECTION_URL`: the connection service's internal listener.
    pub connection_url: ServiceUrl,
    /// `MESSAGING_TRACKING_URL`: the tracking service's internal listener.
    pub tracking_url: ServiceUrl,
    /// `MESSAGING_WEBHOOK_URL`: the webhook service's internal listener.
    pub webhook_url: ServiceUrl,
    /// `MESSAGING_ADVERTISE_URL`: this process's internal listener as its siblings reach it. No two live processes share one.
    pub advertise_url: ServiceUrl,
    /// `REDIS_URL`: where the token buckets are.
    pub redis_url: Secret,
    /// `MESSAGING_REDIS_PREFIX`: goes before every key in Redis; installations that share a Redis need different ones.
    pub redis_prefix: String,
    /// `GRAPH_BASE_URL`: Meta's Graph API.
    pub graph_base_url: String,
    /// `GRAPH_API_VERSION`: its version.
    pub graph_api_version: String,
    /// `MESSAGING_UNKNOWN_AFTER`: how long evidence about an UNKNOWN outcome is waited for before the message's policy settles it, given that webhooks come.
    pub unknown_after: Duration,
    /// `MESSAGING_MAX_REPLICAS`: most processes of this service at a time; while Redis is away each sends at its share of a number's rate.
    pub max_replicas: u32,
    /// `MESSAGING_CALLS_IN_FLIGHT`: most calls to Meta at a time.
    pub calls_in_flight: usize,
    /// `MESSAGING_FILES_URL`: where files' bytes are kept, the same for all replicas.
    pub files_url: FilesUrl,
    /// `MESSAGING_FILE_QUOTA_BYTES`: most bytes that the files of one application have together.
    pub file_quota_bytes: i64,
    /// How users' media are fetched.
    pub fetch: FetchLimits,
    /// How often one user is written to from one number.
    pub pair_rate: PairRate,
}

/// How users' media are fetched from Meta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// `MESSAGING_MEDIA_FETCHES`: most at a time in one process; each holds up to 5 MiB in memory.
    pub at_a_time: usize,
    /// `MESSAGING_MEDIA_MAX_BYTES`: larger ones are not fetched. Meta takes 100 MiB from users.
    pub max_bytes: u64,
}

/// How often one user is written to from one number. Meta's own limit: more than it allows only brings refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairRate {
    /// `MESSAGING_PAIR_INTERVAL`: between two messages in the long run; zero: no limit.
    pub interval: Duration,
    /// `MESSAGING_PAIR_BURST`: most messages within one interval. They are borrowed from the future: silence pays for them.
    pub burst: u32,
}

/// How often the service looks after things. Not configurable; tests make it faster.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// After which a process without a heartbeat is dead.
    pub expiry: Duration,
    /// After which a process without a confirmed heartbeat no longer believes that it owns anything. Less than `expiry`.
    pub belief: Duration,
    /// Between looks at who owns which number.
    pub ownership: Duration,
    /// Between scans of an owned number's queue.
    pub scan: Duration,
    /// How long a call of another process is given to come to its end before its message counts as UNKNOWN.
    pub call_budget: Duration,
    /// How long a lane waits for its head, or for an outcome nobody knows.
    pub patience: Duration,
    /// Between pulls of all connections.
    pub pull: Duration,
    /// Between looks at what other processes learned of connections, and at what operators hold back: that is promised within 2 seconds.
    pub refresh: Duration,
    /// After which an event that is still in the outbox was forgotten, and between looks for such.
    pub overdue: Duration,
    /// How long a connection that Meta does not let in waits before it is tried again.
    pub unauthorised: Duration,
    /// An upload that brings no byte so long is broken off.
    pub upload_stall: Duration,
    /// Between looks for objects that belong to no file.
    pub sweep: Duration,
    /// After a pass of an erasure, until it looks for what raced with it: longer than a call of a service takes to land.
    pub erasure_settles: Duration,
}

// === impl PairRate ===

impl PairRate {
    /// What Meta allows.
    pub const META: Self = Self {
        interval: Duration::from_secs(6),
        burst: 45,
    };
    /// No limit.
    pub const OFF: Self = Self {
        interval: Duration::ZERO,
        burst: 1,
    };

    fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let interval = env.or("MESSAGING_PAIR_INTERVAL", Self::META.interval);
        let burst = env.or("MESSAGING_PAIR_BURST", Self::META.burst);
        let bounds = [
            env.ensure(
                interval.is_ok_and(|interval| interval <= Duration::from_hours(1)) || interval.is_err(),
                "MESSAGING_PAIR_INTERVAL",
                "must be at most 1h",
            ),
            env.ensure(
                burst.is_ok_and(|burst| (1..=1_000).contains(&burst)) || burst.is_err(),
                "MESSAGING_PAIR_BURST",
                "must be 1 to 1000",
            ),
        ];
        for bound in bounds {
            bound?;
        }
        Ok(Self {
            interval: interval?,
            burst: burst?,
        })
    }
}

// === impl FetchLimits ===

impl FetchLimits {
    fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let at_a_time = env.or("MESSAGING_MEDIA_FETCHES", 8_usize);
        let max_bytes = env.or("MESSAGING_MEDIA_MAX_BYTES", 100_u64 << 20);
        let bounds = [
            env.ensure(
                at_a_time.is_ok_and(|count| (1..=64).contains(&count)) || at_a_time.is_err(),
                "MESSAGING_MEDIA_FETCHES",
                "must be 1 to 64",
            ),
            env.ensure(
                max_bytes.is_ok_and(|bytes| (1_024..=1 << 30).contains(&bytes)) || max_bytes.is_err(),
                "MESSAGING_MEDIA_MAX_BYTES",
                "must be 1024 to 1073741824",
            ),
        ];
        for bound in bounds {
            bound?;
        }
        Ok(Self {
            at_a_time: at_a_time?,
            max_bytes: max_bytes?,
        })
    }
}

// === impl Timing ===

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(3),
            // A dead process is replaced within ten seconds of its death, the look included.
            expiry: Duration::from_secs(9),
            belief: Duration::from_secs(7),
            ownership: Duration::from_millis(500),
            scan: Duration::from_secs(5),
            call_budget: Duration::from_secs(20),
            patience: Duration::from_secs(30),
            pull: Duration::from_secs(30),
            refresh: Duration::from_secs(1),
            overdue: Duration::from_secs(5),
            unauthorised: Duration::from_secs(30),
            upload_stall: Duration::from_secs(30),
            sweep: Duration::from_secs(30),
            erasure_settles: Duration::from_secs(30),
        }
    }
}

/// 10 GiB.
const FILE_QUOTA: i64 = 10 << 30;

// === impl Config ===

impl FromEnv for Config {
    fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let connection_url = env.required("MESSAGING_CONNECTION_URL");
        let tracking_url = env.required("MESSAGING_TRACKING_URL");
        let webhook_url = env.required("MESSAGING_WEBHOOK_URL");
        let advertise_url = env.required("MESSAGING_ADVERTISE_URL");
        let redis_url = env.secret("REDIS_URL");
        let redis_prefix = env.or("MESSAGING_REDIS_PREFIX", "outeract:messaging:".to_owned());
        let graph_base_url = env.or("GRAPH_BASE_URL", "https://graph.facebook.com".to_owned());
        let graph_api_version = env.or("GRAPH_API_VERSION", "v25.0".to_owned());
        let unknown_after = env.or("MESSAGING_UNKNOWN_AFTER", Duration::from_mins(10));
        let max_replicas = env.or("MESSAGING_MAX_REPLICAS", 4_u32);
        let calls_in_flight = env.or("MESSAGING_CALLS_IN_FLIGHT", 256_usize);
        let files_url = env.required::<FilesUrl>("MESSAGING_FILES_URL");
        let file_quota_bytes = env.or("MESSAGING_FILE_QUOTA_BYTES", FILE_QUOTA);
        let alone = max_replicas.is_ok_and(|count| count == 1);
        let fetch = FetchLimits::from_env(env);
        let pair_rate = PairRate::from_env(env);
        let bounds = [
            env.ensure(
                alone || !files_url.as_ref().is_ok_and(FilesUrl::is_local),
                "MESSAGING_FILES_URL",
                "must be a bucket, or a directory that all replicas share (?shared=true), unless MESSAGING_MAX_REPLICAS is 1",
            ),
            env.ensure(
                file_quota_bytes.is_ok_and(|bytes| bytes > 0) || file_quota_bytes.is_err(),
                "MESSAGING_FILE_QUOTA_BYTES",
                "must be above 0",
            ),
            env.ensure(
                max_replicas.is_ok_and(|count| (1..=1_000).contains(&count)) || max_replicas.is_err(),
                "MESSAGING_MAX_REPLICAS",
                "must be 1 to 1000",
            ),
            env.ensure(
                calls_in_flight.is_ok_and(|count| (1..=4_096).contains(&count)) || calls_in_flight.is_err(),
                "MESSAGING_CALLS_IN_FLIGHT",
                "must be 1 to 4096",
            ),
            env.ensure(
                unknown_after.is_ok_and(|after| (Duration::from_secs(30)..=Duration::from_hours(24)).contains(&after))
                    || unknown_after.is_err(),
                "MESSAGING_UNKNOWN_AFTER",
                "must be 30s to 24h",
            ),
        ];
        for bound in bounds {
            bound?;
        }
        Ok(Self {
            connection_url: connection_url?,
            tracking_url: tracking_url?,
            webhook_url: webhook_url?,
            advertise_url: advertise_url?,
            redis_url: redis_url?,
            redis_prefix: redis_prefix?,
            graph_base_url: graph_base_url?,
            graph_api_version: graph_api_version?,
            unknown_after: unknown_after?,
            max_replicas: max_replicas?,
            calls_in_flight: calls_in_flight?,
            files_url: files_url?,
            file_quota_bytes: file_quota_bytes?,
            fetch: fetch?,
            pair_rate: pair_rate?,
        })
    }
}

#[cfg(test)]
mod tests {
    use outeract_runtime::config::Env;

    use super::*;

    fn faults(files: &str, replicas: &str) -> Vec<String> {
        let env: Env = [
            ("MESSAGING_CONNECTION_URL", "http://connection:7011"),
            ("MESSAGING_TRACKING_URL", "http://tracking:7041"),
            ("MESSAGING_WEBHOOK_URL", "http://webhook:7031"),
            ("MESSAGING_ADVERTISE_URL", "http://messaging:7021"),
            ("REDIS_URL", "redis://redis"),
            ("MESSAGING_FILES_URL", files),
            ("MESSAGING_MAX_REPLICAS", replicas),
        ]
        .into_iter()
        .collect();
        let mut reader = Reader::new(&env);
        let read = Config::from_env(&mut reader);
        let read = reader.finish(read, &["MESSAGING_"]);
        read.err()
            .map_or_else(Vec::new, |faults| faults.0.into_iter().map(|fault| fault.key).collect())
    }

    #[test]
    fn a_directory_of_its_own_is_for_a_single_replica() {
        assert!(faults("file:///var/lib/outeract", "1").is_empty());
        assert!(faults("file:///var/lib/outeract?shared=true", "4").is_empty());
        assert!(faults("s3://bucket", "4").is_empty());
        assert_eq!(faults("file:///var/lib/outeract", "2"), ["MESSAGING_FILES_URL"]);
        // Four replicas are the default.
        assert_eq!(faults("file:///var/lib/outeract", ""), ["MESSAGING_FILES_URL"]);
        assert_eq!(faults("", "1"), ["MESSAGING_FILES_URL"]);
        assert_eq!(faults("nowhere", "1"), ["MESSAGING_FILES_URL"]);
    }
}
