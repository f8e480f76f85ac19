//! The service with everything around it.

use std::time::Duration;

use outeract_clock::{SystemClock, SystemRandom};
use outeract_connection::Connection;
use outeract_domain::{ConnectionId, KeyId};
use outeract_graph::Token;
use outeract_proto::connection::admin::v1 as admin;
use outeract_proto::connection::admin::v1::admin_service_client::AdminServiceClient;
use outeract_proto::connection::internal::v1::connection_internal_service_client::ConnectionInternalServiceClient;
use outeract_proto::connection::v1::application_service_client::ApplicationServiceClient;
use outeract_proto::connection::v1::connection_service_client::ConnectionServiceClient;
use outeract_proto::connection::v1::{self as public, CreateConnectionRequest};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{Channel, KeyText, ServiceCredential, secret_sha256};
use outeract_runtime::Process;
use outeract_runtime::config::Env;
use outeract_seal::Secret;
use outeract_simulator::control::{self, NewWorld, WorldCreated};
use outeract_simulator::{Config, Handle, Simulator};
use outeract_testkit::TestDatabase;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::sibling::Sibling;

pub(crate) const CONNECTION_SECRET: &str = "connection-secret-connection-secret";
const MESSAGING_SECRET: &str = "messaging-secret-messaging-secret-m";
const WEBHOOK_SECRET: &str = "webhook-secret-webhook-secret-webho";
const TRACKING_SECRET: &str = "tracking-secret-tracking-secret-tra";
const SEAL_KEYS: &str =
    "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nhash:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// The connection service, its database, its siblings and Meta.
pub(crate) struct Suite {
    pub(crate) db: TestDatabase,
    pub(crate) meta: Handle,
    pub(crate) sim: control::Client,
    pub(crate) messaging: Sibling,
    pub(crate) webhook: Sibling,
    pub(crate) operator: String,
    process: Process,
    stop: Box<dyn Fn() + Send + Sync>,
}

/// An application and a key of its own with every scope.
pub(crate) struct Tenant {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// Adds `authorization: Bearer …`.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

pub(crate) type Intercepted = InterceptedService<transport::Channel, Bearer>;

// === impl Suite ===

impl Suite {
    /// Everything is up.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Everything is up, with these settings more.
    pub(crate) async fn start_with(more: &[(&str, &str)]) -> Self {
        let (mut messaging, mut webhook) = (Sibling::away(), Sibling::away());
        messaging.come().await;
        webhook.come().await;
        Self::start_between(messaging, webhook, more).await
    }

    /// The service is up, between siblings that may be away.
    pub(crate) async fn start_between(messaging: Sibling, webhook: Sibling, more: &[(&str, &str)]) -> Self {
        let db = TestDatabase::create(&["connection"]).await;
        let meta = Simulator::start(Config::default()).await.unwrap();
        let sim = meta.client().unwrap();
        let (operator, _) = KeyText::generate("op", KeyId::new(&SystemClock, &SystemRandom), &SystemRandom);
        let mut env = env(&db, &meta, &messaging, &webhook);
        env.set("CONNECTION_BOOTSTRAP_OPERATOR_KEY", operator.as_str());
        for (key, value) in more {
            env.set(*key, *value);
        }
        let process = Process::start::<Connection>(&env).await.unwrap();
        let stop = Box::new(process.stopper());
        Self {
            db,
            meta,
            sim,
            messaging,
            webhook,
            operator,
            process,
            stop,
        }
    }

    /// Another process on the same database.
    pub(crate) async fn another_process(&self) -> Process {
        let env = env(&self.db, &self.meta, &self.messaging, &self.webhook);
        Process::start::<Connection>(&env).await.unwrap()
    }

    /// A portfolio at Meta.
    pub(crate) async fn world(&self, new: NewWorld) -> WorldCreated {
        self.sim.create_world(&new).await.unwrap()
    }

    /// A new application with a key.
    pub(crate) async fn tenant(&self, name: &str) -> Tenant {
        let request = admin::CreateApplicationRequest { name: name.to_owned() };
        let created = self.admin().create_application(request).await.unwrap().into_inner();
        let id = created.application.unwrap().id;
        let key = self.key(&id, &["*"]).await.1;
        Tenant { id, key }
    }

    /// A key with these scopes.
    pub(crate) async fn key(&self, application: &str, scopes: &[&str]) -> (admin::Key, String) {
        let request = admin::CreateKeyRequest {
            application_id: application.to_owned(),
            name: "test".to_owned(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            ..admin::CreateKeyRequest::default()
        };
        let created = self.admin().create_key(request).await.unwrap().into_inner();
        (created.key.unwrap(), created.secret)
    }

    pub(crate) fn admin(&self) -> AdminServiceClient<Intercepted> {
        self.admin_with(&self.operator)
    }

    pub(crate) fn admin_with(&self, key: &str) -> AdminServiceClient<Intercepted> {
        AdminServiceClient::with_interceptor(self.internal_channel(), Bearer::new(key))
    }

    pub(crate) fn applications(&self, key: &str) -> ApplicationServiceClient<Intercepted> {
        ApplicationServiceClient::with_interceptor(self.application_channel(), Bearer::new(key))
    }

    pub(crate) fn connections(&self, tenant: &Tenant) -> ConnectionServiceClient<Intercepted> {
        self.connections_with(&tenant.key)
    }

    pub(crate) fn connections_with(&self, key: &str) -> ConnectionServiceClient<Intercepted> {
        ConnectionServiceClient::with_interceptor(self.application_channel(), Bearer::new(key))
    }

    /// The internal service, as this sibling.
    pub(crate) fn internal_as(&self, sibling: &'static str) -> ConnectionInternalServiceClient<Channel> {
        let secret = match sibling {
            "messaging" => MESSAGING_SECRET,
            "webhook" => WEBHOOK_SECRET,
            "tracking" => TRACKING_SECRET,
            other => other,
        };
        let url = format!("http://{}", self.process.addresses().internal);
        let credential = ServiceCredential::new(sibling, secret).unwrap();
        ConnectionInternalServiceClient::new(Channel::new(&url, credential).unwrap())
    }

    /// Connects a token's numbers.
    pub(crate) async fn connect(&self, tenant: &Tenant, token: &str) -> Vec<public::Connection> {
        let request = create(token);
        let created = self.connections(tenant).create_connection(request).await.unwrap();
        created.into_inner().connections
    }

    /// Whether the app is subscribed to an account's webhooks at Meta.
    pub(crate) async fn subscribed(&self, token: &str, waba: &str) -> bool {
        let config = Config::default();
        let http = outeract_egress::Client::new(&outeract_egress::Config::default()).unwrap();
        let graph = outeract_graph::Client::new(http, &self.meta.url(), "v25.0");
        let token = Token::with_app_secret(Secret::from(token), &Secret::new(config.app_secret));
        let reply = graph
            .get(&token, &format!("{waba}/subscribed_apps"), &[])
            .await
            .unwrap();
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        !body["data"].as_array().unwrap().is_empty()
    }

    /// How many rows of connections, tokens and outbox are stored.
    pub(crate) async fn rows(&self) -> [i64; 3] {
        let count = async |sql: &'static str| {
            let count: i64 = sqlx::query_scalar(sql).fetch_one(self.db.admin()).await.unwrap();
            count
        };
        [
            count("SELECT count(*) FROM connection.connection").await,
            count("SELECT count(*) FROM connection.token_grant").await,
            count("SELECT count(*) FROM connection.outbox").await,
        ]
    }

    /// Runs SQL as superuser.
    pub(crate) async fn sql(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(self.db.admin()).await.unwrap();
    }

    fn application_channel(&self) -> transport::Channel {
        channel(self.process.addresses().application)
    }

    fn internal_channel(&self) -> transport::Channel {
        channel(self.process.addresses().internal)
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        // At once: nothing is to outlive the test's database.
        (self.stop)();
        (self.stop)();
    }
}

/// The settings of the service, as a process or within one.
pub(crate) fn env(db: &TestDatabase, meta: &Handle, messaging: &Sibling, webhook: &Sibling) -> Env {
    let peer = |name: &str, secret: &str| format!("{name}={}", hex(&secret_sha256(secret)));
    let peers = [
        peer("messaging", MESSAGING_SECRET),
        peer("webhook", WEBHOOK_SECRET),
        peer("tracking", TRACKING_SECRET),
    ];
    let config = Config::default();
    [
        ("OUTERACT_SHUTDOWN_DELAY", "0s".to_owned()),
        ("CONNECTION_DATABASE_URL", db.url("connection").expose().clone()),
        ("CONNECTION_LISTEN", "127.0.0.1:0".to_owned()),
        ("CONNECTION_INTERNAL_LISTEN", "127.0.0.1:0".to_owned()),
        ("CONNECTION_OPS_LISTEN", "127.0.0.1:0".to_owned()),
        ("CONNECTION_SEAL_KEYS", SEAL_KEYS.to_owned()),
        ("CONNECTION_SERVICE_SECRET", CONNECTION_SECRET.to_owned()),
        ("CONNECTION_PEERS", peers.join(",")),
        ("CONNECTION_MESSAGING_URL", messaging.url()),
        ("CONNECTION_WEBHOOK_URL", webhook.url()),
        ("GRAPH_BASE_URL", meta.url()),
        ("META_APP_ID", config.app_id),
        ("META_APP_SECRET", config.app_secret),
    ]
    .into_iter()
    .collect()
}

/// A request for all numbers of the token's only account.
pub(crate) fn create(token: &str) -> CreateConnectionRequest {
    CreateConnectionRequest {
        access_token: token.to_owned(),
        ..CreateConnectionRequest::default()
    }
}

/// The UUID in a connection's id.
pub(crate) fn uuid(connection: &public::Connection) -> Uuid {
    connection.id.parse::<ConnectionId>().unwrap().uuid()
}

/// The code, reason and one fact of a refusal.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, reason: ErrorReason) -> Status {
    let status = answer.unwrap_err();
    assert_eq!(
        (status.code(), outeract_rpc::reason(&status)),
        (code, Some(reason)),
        "{status:?}"
    );
    status
}

/// A fact in a refusal's `ErrorInfo`.
pub(crate) fn fact(status: &Status, key: &str) -> Option<String> {
    status.get_details_error_info()?.metadata.get(key).cloned()
}

/// The paths of the fields that a refusal names.
pub(crate) fn paths(status: &Status) -> Vec<String> {
    let bad = status.get_details_bad_request().map(|bad| bad.field_violations);
    bad.unwrap_or_default()
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

pub(crate) const SOON: Duration = Duration::from_secs(20);

fn channel(address: std::net::SocketAddr) -> transport::Channel {
    transport::Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_lazy()
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

// === impl Bearer ===

impl Bearer {
    fn new(key: &str) -> Self {
        Self(format!("Bearer {key}").parse().unwrap())
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}
