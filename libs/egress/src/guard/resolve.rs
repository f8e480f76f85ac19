use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Policy;
use super::target::Refused;

/// A name must resolve within this time.
const PATIENCE: Duration = Duration::from_secs(3);

/// Finds the addresses of a host's name.
pub trait Lookup: Send + Sync + fmt::Debug + 'static {
    /// All addresses of `host`.
    fn lookup<'a>(&'a self, host: &'a str)
    -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, NoAddress>> + Send + 'a>>;
}

/// The name has no address, or nobody answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name does not resolve")]
pub struct NoAddress;

/// Asks the name servers that the machine is configured for.
pub struct SystemLookup(TokioResolver);

/// Gives the connector vetted addresses, and no other: between the vetting and the connection nobody asks again.
#[derive(Debug, Clone)]
pub(super) struct Vetted {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) policy: Arc<Policy>,
    /// Only addresses that the policy allows by name: for what the public Internet must not be called by.
    pub(super) allowed_only: bool,
}

// === impl SystemLookup ===

impl SystemLookup {
    /// A resolver as the machine is configured. `None`: its configuration cannot be read.
    pub fn new() -> Option<Self> {
        let builder = TokioResolver::builder_tokio().ok()?;
        Some(Self(builder.build().ok()?))
    }
}

impl Lookup for SystemLookup {
    fn lookup<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, NoAddress>> + Send + 'a>> {
        Box::pin(async move {
            let found = self.0.lookup_ip(host).await.map_err(|_| NoAddress)?;
            Ok(found.iter().collect())
        })
    }
}

impl fmt::Debug for SystemLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemLookup").finish_non_exhaustive()
    }
}

// === impl Vetted ===

impl Vetted {
    /// The addresses of `host`, each of which may be called. One that may not refuses them all: such a name is not what it says it is.
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Refusal> {
        let found = tokio::time::timeout(PATIENCE, self.lookup.lookup(host)).await;
        let found = found.unwrap_or(Err(NoAddress)).map_err(Refusal::Unknown)?;
        if found.is_empty() {
            return Err(Refusal::Unknown(NoAddress));
        }
        self.vet(&found)?;
        Ok(found)
    }

    /// Whether every one of these addresses may be called.
    pub(super) fn vet(&self, addresses: &[IpAddr]) -> Result<(), Refusal> {
        let fine = |address: &IpAddr| self.policy.may_call(*address, self.allowed_only);
        if addresses.iter().all(fine) {
            Ok(())
        } else {
            Err(Refusal::Address(Refused::Address))
        }
    }
}

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let addresses = this.addresses(name.as_str()).await?;
            // The connector puts the URL's port in place of 0.
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// Why a name's addresses are not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Unknown(NoAddress),
    #[error(transparent)]
    Address(Refused),
}
