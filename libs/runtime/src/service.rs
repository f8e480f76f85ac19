use std::fmt;
use std::future::Future;
use std::sync::Arc;

use outeract_clock::{SharedClock, SharedRandom};
use outeract_rpc::page::PageTokens;
use outeract_rpc::{Authenticator, BoxError, Channel, ChannelError, Keys, ServiceCredential};
use outeract_seal::KeyRing;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tonic::service::Routes;

use crate::config::{FromEnv, ServiceUrl};
use crate::health::Health;
use crate::stop::Stop;
use crate::tasks::Tasks;

/// One of the four services, as the harness runs it.
pub trait Service: Sized + 'static {
    /// `connection`, `messaging`, `webhook` or `tracking`: the schema, the credential's name, and in upper case the prefix of its keys.
    const NAME: &'static str;
    /// The service has an HTTP edge, and the key `<NAME>_EDGE_LISTEN`.
    const EDGE: bool = false;
    /// Commands of its own, beside `serve`, `migrate` and `config check`: name and what it does.
    const COMMANDS: &'static [(&'static str, &'static str)] = &[];

    /// What it reads from the environment beyond what every service reads.
    type Config: FromEnv + fmt::Debug + Send;

    /// The migrations of its schema.
    fn migrator() -> &'static Migrator;

    /// Wires the service: begins its tasks and returns what it serves. The schema has been checked.
    fn build(context: Context, config: Self::Config) -> impl Future<Output = Result<Endpoints, BoxError>> + Send;

    /// Runs one of [`Self::COMMANDS`]; the schema has been checked.
    fn command(
        name: &str,
        context: Context,
        config: Self::Config,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (context, config);
        let unknown = format!("no command {name}");
        async move { Err(unknown.into()) }
    }
}

/// What a service is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who it is.
    pub identity: ServiceIdentity,
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub random: SharedRandom,
    /// Its database.
    pub db: PgPool,
    /// Its key ring.
    pub key_ring: Arc<KeyRing>,
    /// Page tokens under its key ring.
    pub page_tokens: PageTokens,
    /// Its background tasks.
    pub tasks: Tasks,
    /// When to stop.
    pub stop: Stop,
    /// Whether it wants traffic.
    pub health: Health,
}

/// A service's name and its credential towards siblings.
#[derive(Debug, Clone)]
pub struct ServiceIdentity {
    /// `connection`, `messaging`, `webhook` or `tracking`.
    pub name: &'static str,
    /// What it presents to siblings.
    pub credential: ServiceCredential,
}

/// What a service serves.
#[derive(Debug)]
pub struct Endpoints {
    pub(crate) keys: Authenticator,
    pub(crate) application: Routes,
    pub(crate) internal: Routes,
    pub(crate) edge: Option<axum::Router>,
}

// === impl Context ===

impl Context {
    /// A channel to a sibling's internal listener. Connects when first used.
    pub fn channel(&self, url: &ServiceUrl) -> Result<Channel, ChannelError> {
        Channel::new(url.as_str(), self.identity.credential.clone())
    }

    /// Checks callers' keys against `keys`, which for all but connection is [`outeract_rpc::RemoteKeys`].
    pub fn authenticator(&self, keys: impl Keys) -> Authenticator {
        Authenticator::new(keys, Arc::clone(&self.clock))
    }
}

// === impl Endpoints ===

impl Endpoints {
    /// Nothing yet but who is let in.
    pub fn new(keys: Authenticator) -> Self {
        Self {
            keys,
            application: Routes::default(),
            internal: Routes::default(),
            edge: None,
        }
    }

    /// The services for applications.
    #[must_use]
    pub fn application(mut self, routes: Routes) -> Self {
        self.application = routes;
        self
    }

    /// The services for siblings and operators.
    #[must_use]
    pub fn internal(mut self, routes: Routes) -> Self {
        self.internal = routes;
        self
    }

    /// The HTTP edge.
    #[must_use]
    pub fn edge(mut self, router: axum::Router) -> Self {
        self.edge = Some(router);
        self
    }
}
