use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use outeract_postgres::PostgresConfig;
use outeract_rpc::{Peers, Quota, ServiceCredential};
use outeract_seal::KeyRing;

use crate::config::{Env, Faults, FromEnv as _, Reader, Reported, Value as _};
use crate::service::{Service, ServiceIdentity};
use crate::telemetry::LogFilter;

/// What every service reads.
pub(crate) struct Base {
    pub(crate) log: LogFilter,
    pub(crate) otlp: Option<Otlp>,
    pub(crate) shutdown_delay: Duration,
    pub(crate) shutdown_grace: Duration,
    pub(crate) reflection: bool,
    pub(crate) postgres: PostgresConfig,
    pub(crate) listen: SocketAddr,
    pub(crate) internal_listen: SocketAddr,
    pub(crate) ops_listen: SocketAddr,
    pub(crate) edge_listen: Option<SocketAddr>,
    pub(crate) key_ring: Arc<KeyRing>,
    pub(crate) identity: ServiceIdentity,
    pub(crate) peers: Peers,
    pub(crate) quota: Quota,
}

/// Where spans go, and which share of new traces.
#[derive(Debug, Clone)]
pub(crate) struct Otlp {
    pub(crate) endpoint: String,
    pub(crate) ratio: f64,
}

const SAMPLED: f64 = 0.01;

/// Reads the whole configuration of a service.
pub(crate) fn read<S: Service>(env: &Env) -> Result<(Base, S::Config), Faults> {
    let mut reader = Reader::new(env);
    let (base, own) = read_both::<S>(&mut reader);
    let both = base.and_then(|base| Ok((base, own?)));
    reader.finish(both, &[&prefix::<S>()])
}

/// The settings as they took effect and the faults, for `config check`.
pub(crate) fn check<S: Service>(env: &Env) -> (Vec<String>, Result<(), Faults>) {
    let mut reader = Reader::new(env);
    let (base, own) = read_both::<S>(&mut reader);
    let lines = reader
        .settings()
        .iter()
        .map(|(key, setting)| format!("{key}={setting}"))
        .collect();
    let both = base.and_then(|_| own.map(drop));
    (lines, reader.finish(both, &[&prefix::<S>()]))
}

fn read_both<S: Service>(reader: &mut Reader<'_>) -> (Result<Base, Reported>, Result<S::Config, Reported>) {
    // Both are read before either is looked at, so that the faults of both are told.
    (read_base::<S>(reader), S::Config::from_env(reader))
}

/// `MESSAGING_`.
fn prefix<S: Service>() -> String {
    format!("{}_", S::NAME.to_ascii_uppercase())
}

fn read_base<S: Service>(env: &mut Reader<'_>) -> Result<Base, Reported> {
    let key = |name: &str| format!("{}{name}", prefix::<S>());
    let log = env.or("OUTERACT_LOG", LogFilter::default());
    let otlp = read_otlp(env);
    let shutdown_delay = env.or("OUTERACT_SHUTDOWN_DELAY", Duration::from_secs(5));
    let shutdown_grace = env.or("OUTERACT_SHUTDOWN_GRACE", Duration::from_secs(25));
    let reflection = env.or("OUTERACT_REFLECTION", true);
    let url = env.secret(&key("DATABASE_URL"));
    let max_connections = env.or(&key("DATABASE_CONNECTIONS"), 4_u32);
    let listen = env.required(&key("LISTEN"));
    let internal_listen = env.required(&key("INTERNAL_LISTEN"));
    let ops_listen = env.required(&key("OPS_LISTEN"));
    let edge_listen = if S::EDGE {
        env.required(&key("EDGE_LISTEN")).map(Some)
    } else {
        Ok(None)
    };
    let key_ring = read_key_ring(env, &key("SEAL_KEYS"));
    let identity = read_identity::<S>(env, &key("SERVICE_SECRET"));
    let peers = env.or(&key("PEERS"), Peers::default());
    let quota = read_quota(env);
    let max_connections = max_connections.and_then(|most| {
        env.ensure(
            (1..=64).contains(&most),
            &key("DATABASE_CONNECTIONS"),
            "must be 1 to 64",
        )?;
        Ok(most)
    });
    let identity = identity?;
    Ok(Base {
        log: log?,
        otlp: otlp?,
        shutdown_delay: shutdown_delay?,
        shutdown_grace: shutdown_grace?,
        reflection: reflection?,
        postgres: PostgresConfig {
            url: url?,
            max_connections: max_connections?,
        },
        listen: listen?,
        internal_listen: internal_listen?,
        ops_listen: ops_listen?,
        edge_listen: edge_listen?,
        key_ring: key_ring?,
        // Replicas of one service call one another.
        peers: peers?.with_self(&identity.credential),
        quota: quota?,
        identity,
    })
}

/// What one application may take of each process: operators divide by the number of replicas.
fn read_quota(env: &mut Reader<'_>) -> Result<Quota, Reported> {
    const PER_MINUTE: &str = "RPC_QUOTA_PER_MINUTE";
    const BURST: &str = "RPC_QUOTA_BURST";
    const CALLS: &str = "RPC_APPLICATION_CALLS";
    const STREAMS: &str = "RPC_APPLICATION_STREAMS";
    let usual = Quota::default();
    let per_minute = env.or(PER_MINUTE, usual.per_minute);
    let burst = env.or(BURST, usual.burst);
    let calls = env.or(CALLS, usual.calls);
    let streams = env.or(STREAMS, usual.streams);
    let bounds = [
        (
            PER_MINUTE,
            per_minute.is_ok_and(|count| count > 60_000_000),
            "must be 0 (no limit) to 60000000",
        ),
        (
            BURST,
            burst.is_ok_and(|count| !(1..=60_000_000).contains(&count)),
            "must be 1 to 60000000",
        ),
        (CALLS, calls.is_ok_and(|count| count == 0), "must be at least 1"),
        (STREAMS, streams.is_ok_and(|count| count == 0), "must be at least 1"),
    ];
    let checked = bounds.map(|(key, broken, rule)| env.ensure(!broken, key, rule));
    for bound in checked {
        bound?;
    }
    Ok(Quota {
        per_minute: per_minute?,
        burst: burst?,
        calls: calls?,
        streams: streams?,
    })
}

fn read_otlp(env: &mut Reader<'_>) -> Result<Option<Otlp>, Reported> {
    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const RATIO: &str = "OTEL_TRACES_SAMPLER_ARG";
    let endpoint = env.optional::<String>(ENDPOINT);
    let ratio = env.or(RATIO, SAMPLED).and_then(|ratio| {
        env.ensure((0.0..=1.0).contains(&ratio), RATIO, "must be 0 to 1")?;
        Ok(ratio)
    });
    let (endpoint, ratio) = (endpoint?, ratio?);
    let Some(endpoint) = endpoint else { return Ok(None) };
    if crate::config::ServiceUrl::parse(&endpoint).is_err() {
        return env.fault(ENDPOINT, "must be http://host:port of a collector's gRPC port");
    }
    Ok(Some(Otlp { endpoint, ratio }))
}

fn read_key_ring(env: &mut Reader<'_>, key: &str) -> Result<Arc<KeyRing>, Reported> {
    let text = env.secret(key)?;
    match KeyRing::parse(text.expose()) {
        Ok(ring) => Ok(Arc::new(ring)),
        Err(malformed) => env.fault(key, format!("is not a key ring: {malformed}")),
    }
}

fn read_identity<S: Service>(env: &mut Reader<'_>, key: &str) -> Result<ServiceIdentity, Reported> {
    const LEAST: usize = 32;
    let secret = env.secret(key)?;
    env.ensure(
        secret.expose().len() >= LEAST,
        key,
        format!("must have at least {LEAST} characters"),
    )?;
    match ServiceCredential::new(S::NAME, secret.expose()) {
        Some(credential) => Ok(ServiceIdentity {
            name: S::NAME,
            credential,
        }),
        None => env.fault(key, "must be printable ASCII"),
    }
}
