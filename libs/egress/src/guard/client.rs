use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode};
use reqwest::{Response, redirect};

use super::resolve::{Lookup, Refusal, Vetted};
use super::{Policy, Refused, Target};
use crate::{Cause, Invalid};

/// Bounds of a guarded call.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For name, connection and TLS together.
    pub connect_timeout: Duration,
    /// For the whole exchange, the answer's body included.
    pub total_timeout: Duration,
    /// Bytes of the answer's body that are read; what is longer is cut and the connection closed.
    pub read: usize,
    /// Bytes of it that are kept.
    pub keep: usize,
}

/// Calls targets that strangers name. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guarded {
    policy: Arc<Policy>,
    limits: Limits,
    usual: Side,
    allowed_only: Side,
}

/// What is called in one way: its connections are kept apart from the other's.
#[derive(Debug, Clone)]
struct Side {
    http: reqwest::Client,
    vetted: Vetted,
}

/// What a target answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The beginning of the body.
    pub excerpt: Bytes,
}

/// Why there is no answer. Never names the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The target may not be called; nothing was sent.
    #[error("the target may not be called")]
    Refused(Refused),
    /// The host's name does not resolve.
    #[error("the host's name does not resolve")]
    Unresolved,
    /// The exchange failed.
    #[error("no whole answer: {0}")]
    Failed(Cause),
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            total_timeout: Duration::from_secs(15),
            read: 64 * 1024,
            keep: 1_024,
        }
    }
}

// === impl Guarded ===

impl Guarded {
    /// A client under this policy.
    pub fn new(policy: Policy, limits: Limits, lookup: &Arc<dyn Lookup>) -> Result<Self, Invalid> {
        let policy = Arc::new(policy);
        let side = |allowed_only| {
            let vetted = Vetted {
                lookup: Arc::clone(lookup),
                policy: Arc::clone(&policy),
                allowed_only,
            };
            let http = reqwest::Client::builder()
                // Where a redirect leads was not vetted.
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .referer(false)
                .http1_only()
                .dns_resolver(vetted.clone())
                .connect_timeout(limits.connect_timeout)
                .timeout(limits.total_timeout)
                .pool_max_idle_per_host(8)
                .pool_idle_timeout(Duration::from_secs(20))
                .tcp_nodelay(true)
                .user_agent(concat!("outeract-whatsapp/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(Invalid)?;
            Ok(Side { http, vetted })
        };
        Ok(Self {
            usual: side(false)?,
            allowed_only: side(true)?,
            policy,
            limits,
        })
    }

    /// Reads a target; checks its form and, when its host is an address, that.
    pub fn target(&self, text: &str) -> Result<Target, Refused> {
        self.policy.target(text)
    }

    /// Resolves the target's host and vets its addresses without calling it.
    pub async fn check(&self, target: &Target) -> Result<(), CallError> {
        let vetted = &self.side(target).vetted;
        match (target.address, target.url.host_str()) {
            (Some(address), _) => vetted.vet(&[address]).map_err(CallError::from),
            (None, Some(host)) => vetted.addresses(host).await.map(drop).map_err(CallError::from),
            (None, None) => Err(CallError::Refused(Refused::Form)),
        }
    }

    /// Makes one attempt: a POST of `body`. Resolves, vets and connects to what was vetted.
    pub async fn post(&self, target: &Target, headers: HeaderMap, body: Bytes) -> Result<Answer, CallError> {
        let side = self.side(target);
        if let Some(address) = target.address {
            // An address needs no resolver: the connector would go there straight.
            side.vetted.vet(&[address])?;
        }
        let request = side.http.post(target.url.clone()).headers(headers).body(body);
        let response = request.send().await.map_err(|error| failed(&error))?;
        if let Some(peer) = response.remote_addr() {
            side.vetted.vet(&[peer.ip()])?;
        }
        self.read(response).await
    }

    async fn read(&self, response: Response) -> Result<Answer, CallError> {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut chunks = response.bytes_stream();
        let (mut excerpt, mut read) = (BytesMut::new(), 0);
        while read < self.limits.read
            && let Some(chunk) = chunks.next().await
        {
            let chunk = chunk.map_err(|error| failed(&error))?;
            read += chunk.len();
            let wanted = self.limits.keep.saturating_sub(excerpt.len()).min(chunk.len());
            excerpt.extend_from_slice(&chunk[..wanted]);
        }
        Ok(Answer {
            status,
            headers,
            excerpt: excerpt.freeze(),
        })
    }

    fn side(&self, target: &Target) -> &Side {
        if target.allowed_only {
            &self.allowed_only
        } else {
            &self.usual
        }
    }
}

// === impl CallError ===

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(_) => Self::Unresolved,
            Refusal::Address(refused) => Self::Refused(refused),
        }
    }
}

fn failed(error: &reqwest::Error) -> CallError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return CallError::from(*refusal);
        }
        source = cause.source();
    }
    CallError::Failed(if error.is_timeout() {
        Cause::Timeout
    } else if error.is_connect() {
        Cause::Connect
    } else {
        Cause::Broken
    })
}
