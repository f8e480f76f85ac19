//! A webhook service with made-up siblings, and what calls it.

use std::net::SocketAddr;
use std::time::Duration;

use outeract_clock::{SystemClock, SystemRandom};
use outeract_domain::{ApplicationId, ConnectionId, KeyId};
use outeract_proto::connection::internal::v1::ConnectionSnapshot;
use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::webhook::admin::v1::admin_service_client::AdminServiceClient;
use outeract_proto::webhook::internal::v1::PushConnectionsRequest;
use outeract_proto::webhook::internal::v1::webhook_internal_service_client::WebhookInternalServiceClient;
use outeract_proto::webhook::v1::webhook_service_client::WebhookServiceClient;
use outeract_rpc::{KeyText, ServiceCredential, secret_sha256};
use outeract_runtime::Process;
use outeract_testkit::{TestDatabase, eventually, free_port};
use outeract_webhook::Webhook;
use tokio::task::JoinSet;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::http::{APP_SECRET, Http, PREVIOUS_SECRET};
use crate::siblings::Siblings;

pub(crate) const LONG: Duration = Duration::from_secs(20);
pub(crate) const VERIFY_TOKEN: &str = "the verify token";
const SECRET: &str = "a secret of a sibling, long enough to count";
const MESSAGING_SECRET: &str = "a secret of the messaging service, long enough";
const RING: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nhash:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// A database, siblings, and services on them.
pub(crate) struct Suite {
    pub(crate) db: TestDatabase,
    pub(crate) siblings: Siblings,
    siblings_at: SocketAddr,
    tasks: JoinSet<()>,
    /// Settings of services that are started from now on.
    pub(crate) settings: Vec<(&'static str, &'static str)>,
}

/// A webhook service that runs.
pub(crate) struct Instance {
    pub(crate) edge: SocketAddr,
    pub(crate) application: SocketAddr,
    pub(crate) internal: SocketAddr,
    stop: Box<dyn Fn() + Send + Sync>,
    ended: tokio::sync::oneshot::Receiver<outeract_runtime::Outcome>,
}

/// A connection as tests speak of it.
#[derive(Clone)]
pub(crate) struct Number {
    pub(crate) application: ApplicationId,
    pub(crate) connection: ConnectionId,
    pub(crate) waba: &'static str,
    pub(crate) id: &'static str,
}

/// Adds a key to every call.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

// === impl Suite ===

impl Suite {
    pub(crate) async fn new() -> Self {
        let db = TestDatabase::create(&["webhook"]).await;
        let siblings = Siblings::default();
        let mut tasks = JoinSet::new();
        let siblings_at = siblings.serve(&mut tasks, "127.0.0.1:0").await;
        Self {
            db,
            siblings,
            siblings_at,
            tasks,
            settings: Vec::new(),
        }
    }

    /// Siblings that are not there yet.
    pub(crate) async fn without_siblings() -> Self {
        let db = TestDatabase::create(&["webhook"]).await;
        let siblings_at = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self {
            db,
            siblings: Siblings::default(),
            siblings_at,
            tasks: JoinSet::new(),
            settings: Vec::new(),
        }
    }

    /// The siblings come.
    pub(crate) async fn serve_siblings(&mut self) {
        let at = self.siblings_at.to_string();
        self.siblings.serve(&mut self.tasks, &at).await;
    }

    pub(crate) async fn with_instance() -> (Self, Instance) {
        let mut suite = Self::new().await;
        let instance = suite.start().await;
        (suite, instance)
    }

    pub(crate) async fn start(&mut self) -> Instance {
        let url = self.db.url("webhook");
        self.start_on(url.expose()).await
    }

    /// Starts a webhook service on this database URL.
    pub(crate) async fn start_on(&mut self, url: &str) -> Instance {
        let siblings = format!("http://{}", self.siblings_at);
        let secret = hex::encode(secret_sha256(SECRET));
        let peers = format!(
            "connection={secret},messaging={}",
            hex::encode(secret_sha256(MESSAGING_SECRET))
        );
        let env = [
            ("WEBHOOK_DATABASE_URL", url),
            ("WEBHOOK_LISTEN", "127.0.0.1:0"),
            ("WEBHOOK_INTERNAL_LISTEN", "127.0.0.1:0"),
            ("WEBHOOK_OPS_LISTEN", "127.0.0.1:0"),
            ("WEBHOOK_EDGE_LISTEN", "127.0.0.1:0"),
            ("WEBHOOK_SEAL_KEYS", RING),
            ("WEBHOOK_SERVICE_SECRET", SECRET),
            ("WEBHOOK_PEERS", peers.as_str()),
            ("WEBHOOK_CONNECTION_URL", siblings.as_str()),
            ("WEBHOOK_MESSAGING_URL", siblings.as_str()),
            ("WEBHOOK_TRACKING_URL", siblings.as_str()),
            ("META_APP_SECRET", APP_SECRET),
            ("META_APP_SECRET_PREVIOUS", PREVIOUS_SECRET),
            ("META_VERIFY_TOKEN", VERIFY_TOKEN),
            ("OUTERACT_SHUTDOWN_DELAY", "0ms"),
            ("OUTERACT_SHUTDOWN_GRACE", "5s"),
        ];
        let process = Process::start::<Webhook>(&env.into_iter().chain(self.settings.clone()).collect())
            .await
            .unwrap();
        let addresses = process.addresses();
        let stop = Box::new(process.stopper());
        let (sender, ended) = tokio::sync::oneshot::channel();
        self.tasks.spawn(async move {
            let _ = sender.send(process.wait().await);
        });
        Instance {
            edge: addresses.edge.unwrap(),
            application: addresses.application,
            internal: addresses.internal,
            stop,
            ended,
        }
    }

    /// A key of an application, or of an operator.
    pub(crate) fn key(&self, application: Option<ApplicationId>, scopes: &[&str]) -> Bearer {
        let key = KeyId::new(&SystemClock, &SystemRandom);
        let environment = if application.is_some() { "test" } else { "op" };
        let (text, hash) = KeyText::generate(environment, key, &SystemRandom);
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.siblings
            .world()
            .keys
            .insert(key.bytes(), (application, hash, scopes));
        Bearer(format!("Bearer {text}").parse().unwrap())
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar::<_, i64>(sql)
            .fetch_one(self.db.admin())
            .await
            .unwrap()
    }

    /// Every stored webhook is accounted for, and the accounts agree with the items that are listed.
    pub(crate) async fn settled(&self) {
        let open = "select count(*) from webhook.post p left join webhook.post_account a on a.post_id = p.id where a.post_id is null";
        eventually(LONG, async || self.count(open).await == 0).await;
        self.check().await;
    }

    /// Items in = items accounted, in every webhook.
    pub(crate) async fn check(&self) {
        let wrong = "
            select count(*) from webhook.post_account a
            left join (
              select post_id, count(*) filter (where outcome = 3) parked, count(*) filter (where outcome = 4) unsupported,
                     count(*) filter (where outcome = 5) quarantined, count(*) filter (where outcome = 6) discarded
              from webhook.item group by post_id
            ) i on i.post_id = a.post_id
            where a.items <> a.applied + a.duplicate + a.parked + a.unsupported + a.quarantined + a.discarded
               or (a.parked, a.unsupported, a.quarantined, a.discarded) is distinct from
                  (coalesce(i.parked, 0), coalesce(i.unsupported, 0), coalesce(i.quarantined, 0), coalesce(i.discarded, 0))";
        assert_eq!(self.count(wrong).await, 0, "accounts and items disagree");
        assert_eq!(
            self.count(
                "select count(*) from webhook.cursor c join webhook.lane l using (lane) where c.decoded > l.head"
            )
            .await,
            0
        );
    }

    /// Sums over all accounts: items, applied, duplicate, parked, unsupported, quarantined.
    pub(crate) async fn accounts(&self) -> [i64; 6] {
        let row: (i64, i64, i64, i64, i64, i64) = sqlx::query_as(
            "select coalesce(sum(items), 0)::bigint, coalesce(sum(applied), 0)::bigint, coalesce(sum(duplicate), 0)::bigint,
                    coalesce(sum(parked), 0)::bigint, coalesce(sum(unsupported), 0)::bigint, coalesce(sum(quarantined), 0)::bigint
             from webhook.post_account",
        )
        .fetch_one(self.db.admin())
        .await
        .unwrap();
        [row.0, row.1, row.2, row.3, row.4, row.5]
    }

    /// Pointers and reasons of listed items with this outcome, oldest first.
    pub(crate) async fn listed(&self, outcome: i16) -> Vec<(String, String)> {
        sqlx::query_as(
            "select pointer, reason from webhook.item where outcome = $1 order by received_at, position, ordinal",
        )
        .bind(outcome)
        .fetch_all(self.db.admin())
        .await
        .unwrap()
    }
}

// === impl Instance ===

impl Instance {
    pub(crate) async fn http(&self) -> Http {
        Http::connect(self.edge).await
    }

    /// Posts a signed webhook that must be stored.
    pub(crate) async fn stored(&self, body: &[u8]) {
        let answer = self.http().await.post(body).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{answer:?}");
    }

    pub(crate) fn internal(&self) -> WebhookInternalServiceClient<outeract_rpc::Channel> {
        self.internal_as("connection", SECRET)
    }

    /// As messaging sees it.
    pub(crate) fn for_messaging(&self) -> WebhookInternalServiceClient<outeract_rpc::Channel> {
        self.internal_as("messaging", MESSAGING_SECRET)
    }

    fn internal_as(
        &self,
        service: &'static str,
        secret: &'static str,
    ) -> WebhookInternalServiceClient<outeract_rpc::Channel> {
        let credential = ServiceCredential::new(service, secret).unwrap();
        let channel = outeract_rpc::Channel::new(&format!("http://{}", self.internal), credential).unwrap();
        WebhookInternalServiceClient::new(channel)
    }

    pub(crate) async fn admin(&self, key: Bearer) -> AdminServiceClient<InterceptedService<Channel, Bearer>> {
        AdminServiceClient::with_interceptor(connect(self.internal).await, key)
    }

    pub(crate) async fn webhooks(&self, key: Bearer) -> WebhookServiceClient<InterceptedService<Channel, Bearer>> {
        WebhookServiceClient::with_interceptor(connect(self.application).await, key)
    }

    pub(crate) async fn push(&self, snapshots: Vec<ConnectionSnapshot>) {
        self.internal()
            .push_connections(PushConnectionsRequest { connections: snapshots })
            .await
            .unwrap();
    }

    /// Stops as SIGTERM does.
    pub(crate) async fn stop(self) -> outeract_runtime::Outcome {
        (self.stop)();
        self.ended.await.unwrap()
    }

    /// Ends without finishing anything.
    pub(crate) async fn kill(self) {
        (self.stop)();
        (self.stop)();
        let _ = self.ended.await;
    }
}

async fn connect(to: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{to}"))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

// === impl Number ===

impl Number {
    pub(crate) fn new(waba: &'static str, id: &'static str) -> Self {
        Self {
            application: ApplicationId::new(&SystemClock, &SystemRandom),
            connection: ConnectionId::new(&SystemClock, &SystemRandom),
            waba,
            id,
        }
    }

    pub(crate) fn snapshot(&self, version: i64, state: ConnectionState) -> ConnectionSnapshot {
        ConnectionSnapshot {
            connection_id: self.connection.bytes(),
            application_id: self.application.bytes(),
            version,
            waba_id: self.waba.to_owned(),
            phone_number_id: self.id.to_owned(),
            state: state.into(),
            display_phone_number: "+15550783881".to_owned(),
            ..ConnectionSnapshot::default()
        }
    }

    pub(crate) fn active(&self) -> ConnectionSnapshot {
        self.snapshot(1, ConnectionState::Active)
    }
}
