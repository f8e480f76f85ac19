//! Everything around the service, and what tests do with it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outeract_clock::{SystemClock, SystemRandom};
use outeract_domain::{ApplicationId, ConnectionId, EventId, KeyId};
use outeract_proto::connection::internal::v1::ConnectionSnapshot;
use outeract_proto::connection::v1::{AutoMarkRead, ConnectionState};
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{
    ApplyItemsRequest, Item, ItemResult, PushConnectionsRequest, ReportIngestRequest, StatusItem,
};
use outeract_proto::messaging::v1::message_content::Kind as Content;
use outeract_proto::messaging::v1::{
    GetMessageRequest, Message, MessageContent, OnUnknown, SendMessageRequest, SendMessageResponse, SendWait,
    SubmissionState, TemplateContent, TemplateParameter, TextContent, template_parameter,
};
use outeract_rpc::{KeyText, secret_sha256};
use outeract_runtime::config::Env;
use outeract_simulator::control::{Client as Control, NewWorld};
use outeract_simulator::{Accepted, Config as SimulatorConfig, Handle, Simulator, Switches};
use outeract_testkit::{TestDatabase, eventually, free_port, redis_prefix, redis_url};
use tempfile::TempDir;
use uuid::Uuid;

use crate::instance::{Client, Instance, secret_of};
use crate::siblings::Siblings;

/// Meta, the siblings, a database and a Redis, and one application with some numbers.
pub(crate) struct Suite {
    pub(crate) database: TestDatabase,
    pub(crate) siblings: Siblings,
    pub(crate) meta: Control,
    pub(crate) application: ApplicationId,
    pub(crate) key: String,
    /// An operator's key.
    pub(crate) operator: String,
    pub(crate) numbers: Vec<Number>,
    /// The account that the numbers belong to.
    pub(crate) waba: String,
    /// Another token, for the whole portfolio.
    pub(crate) portfolio_token: String,
    /// Where the bytes of files are.
    pub(crate) directory: TempDir,
    /// Most bytes of the application's files.
    pub(crate) quota: u64,
    /// Most bytes of a user's medium.
    pub(crate) media_max: u64,
    simulator: Handle,
    redis_url: String,
    database_at: Option<SocketAddr>,
    redis_prefix: String,
    graph_url: String,
}

/// A number of the application.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    pub(crate) id: String,
    pub(crate) e164: String,
    pub(crate) connection: ConnectionId,
    pub(crate) token: String,
}

/// What every process seals with.
pub(crate) const SEAL_KEYS: &str =
    "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nhash:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Contacts that [`Suite`] makes: those that most tests write to.
pub(crate) const USERS: i64 = 1_800;
pub(crate) const SOON: Duration = Duration::from_mins(1);
static SENDS: AtomicU64 = AtomicU64::new(0);

// === impl Suite ===

impl Suite {
    pub(crate) async fn new() -> Self {
        Self::with_numbers(1).await
    }

    pub(crate) async fn with_numbers(count: usize) -> Self {
        let suite = Self::with_strangers(count).await;
        suite.users_have_written().await;
        suite
    }

    /// As [`Self::with_numbers`], but nobody has written yet: what is sent is a template.
    pub(crate) async fn with_strangers(count: usize) -> Self {
        let (database, siblings) = tokio::join!(TestDatabase::create(&["messaging"]), Siblings::start());
        let simulator = Simulator::start(SimulatorConfig::default()).await.expect("a simulator");
        let meta = simulator.client().expect("a client");
        // What is tested is this service, not Meta's limits.
        meta.set_switches(Switches::OFF).await.expect("switched");
        let world = NewWorld {
            numbers_per_waba: count,
            throughput: 1_000,
            subscribed: true,
            ..NewWorld::default()
        };
        let world = meta.create_world(&world).await.expect("a world");
        let waba = &world.wabas[0];
        let application = ApplicationId::new(&SystemClock, &SystemRandom);
        let key_id = KeyId::new(&SystemClock, &SystemRandom);
        let (key, _) = KeyText::generate("test", key_id, &SystemRandom);
        siblings
            .state
            .keys
            .lock()
            .expect("keys")
            .insert(key_id.uuid(), application.uuid());
        let operator_id = KeyId::new(&SystemClock, &SystemRandom);
        let (operator, _) = KeyText::generate("op", operator_id, &SystemRandom);
        let operators = &siblings.state.operators;
        operators.lock().expect("keys").insert(operator_id.uuid());
        let numbers: Vec<_> = waba
            .numbers
            .iter()
            .map(|number| Number {
                id: number.phone_number_id.clone(),
                e164: number.e164.clone(),
                connection: ConnectionId::new(&SystemClock, &SystemRandom),
                token: waba.token.clone(),
            })
            .collect();
        let suite = Self {
            database,
            siblings,
            meta,
            application,
            key,
            operator,
            numbers,
            waba: waba.waba_id.clone(),
            portfolio_token: world.token.clone(),
            directory: tempfile::tempdir().expect("a directory"),
            quota: 1 << 30,
            media_max: 100 << 20,
            graph_url: simulator.url(),
            simulator,
            redis_url: redis_url().expose().clone(),
            database_at: None,
            redis_prefix: redis_prefix(),
        };
        for number in &suite.numbers {
            suite.connect(number, 1_000);
        }
        suite
    }

    /// The users that most tests write to have written to every number a moment ago: their windows are open.
    async fn users_have_written(&self) {
        let numbers: Vec<_> = self.numbers.iter().map(|number| number.id.as_str()).collect();
        for sql in [
            "INSERT INTO messaging.contact (id, application_id, created_at) SELECT id, $1, now() FROM users WHERE $2::text[] IS NOT NULL",
            "INSERT INTO messaging.identity (application_id, kind, value, contact_id) SELECT $1, 1, value, id FROM users WHERE $2::text[] IS NOT NULL",
            "INSERT INTO messaging.service_window (phone_number_id, contact_id, last_inbound_at, expires_at, last_wamid_sealed) \
             SELECT number, id, now(), now() + interval '24 hours', '' FROM users CROSS JOIN unnest($2::text[]) number WHERE $1 IS NOT NULL",
        ] {
            let sql = format!(
                "WITH users AS (SELECT '+1415555' || lpad(n::text, 4, '0') AS value, md5(n::text)::uuid AS id FROM generate_series(0, 9499) n WHERE n < 1300 OR n >= 9000) {sql}"
            );
            #[expect(clippy::disallowed_methods, reason = "put together from constants above")]
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(self.application.uuid())
                .bind(&numbers)
                .execute(self.database.admin())
                .await
                .expect("written");
        }
    }

    /// A user's window with a number is as it was left `ago` the user's last message; none: there is none.
    pub(crate) async fn wrote(&self, number: &Number, to: &str, ago: Option<time::Duration>) {
        let sql = match ago {
            None => {
                "DELETE FROM messaging.service_window w USING messaging.identity i WHERE i.value = $1 AND w.contact_id = i.contact_id AND w.phone_number_id = $2 AND $3::float8 IS NULL"
            }
            Some(_) => {
                "UPDATE messaging.service_window w SET last_inbound_at = messaging.now_() - make_interval(secs => $3), \
                 expires_at = messaging.now_() - make_interval(secs => $3) + interval '24 hours', closed_at = NULL \
                 FROM messaging.identity i WHERE i.value = $1 AND w.contact_id = i.contact_id AND w.phone_number_id = $2"
            }
        };
        let done = sqlx::query(sql)
            .bind(to)
            .bind(&number.id)
            .bind(ago.map(time::Duration::as_seconds_f64))
            .execute(self.database.admin())
            .await
            .expect("written");
        assert_eq!(done.rows_affected(), 1);
    }

    /// Calls go through here instead of to the simulator.
    pub(crate) fn reach_meta_at(&mut self, address: SocketAddr) {
        self.graph_url = format!("http://{address}");
    }

    pub(crate) fn meta_address(&self) -> SocketAddr {
        self.simulator.address()
    }

    /// Statements go through here instead of to Postgres.
    pub(crate) fn reach_database_at(&mut self, address: SocketAddr) {
        self.database_at = Some(address);
    }

    pub(crate) fn database_address(&self) -> SocketAddr {
        let url = self.database.url("messaging").expose().clone();
        let (_, rest) = url.split_once('@').expect("a user");
        let (authority, _) = rest.split_once('/').expect("a database");
        authority.parse().expect("an address")
    }

    fn database_url(&self) -> String {
        let url = self.database.url("messaging").expose().clone();
        match self.database_at {
            Some(address) => url.replace(&self.database_address().to_string(), &address.to_string()),
            None => url,
        }
    }

    pub(crate) fn redis_url(&self) -> &str {
        &self.redis_url
    }

    pub(crate) fn redis_prefix(&self) -> &str {
        &self.redis_prefix
    }

    pub(crate) fn keep_buckets_at(&mut self, redis_url: &str) {
        redis_url.clone_into(&mut self.redis_url);
    }

    /// Makes a number known to the connection service.
    pub(crate) fn connect(&self, number: &Number, throughput: i32) {
        self.set_token(number, &number.token.clone());
        self.siblings
            .state
            .connections
            .lock()
            .expect("connections")
            .push(ConnectionSnapshot {
                connection_id: number.connection.bytes(),
                application_id: self.application.bytes(),
                version: 1,
                waba_id: self.waba.clone(),
                phone_number_id: number.id.clone(),
                state: ConnectionState::Active.into(),
                paused: false,
                throughput_per_second: throughput,
                display_phone_number: number.e164.clone(),
                token_version: 1,
                auto_mark_read: AutoMarkRead::Never.into(),
                ..ConnectionSnapshot::default()
            });
    }

    pub(crate) fn set_token(&self, number: &Number, token: &str) {
        let proof =
            outeract_graph::signature::appsecret_proof(&token.into(), &SimulatorConfig::default().app_secret.into());
        self.siblings
            .state
            .tokens
            .lock()
            .expect("tokens")
            .insert(number.connection.uuid(), (token.to_owned(), proof));
    }

    /// Changes what is known of a number's connection, and pushes it.
    pub(crate) async fn change(
        &self,
        instance: &Instance,
        number: &Number,
        change: impl FnOnce(&mut ConnectionSnapshot),
    ) {
        let snapshot = {
            let mut connections = self.siblings.state.connections.lock().expect("connections");
            let connection = connections
                .iter_mut()
                .find(|connection| connection.connection_id == number.connection.bytes())
                .expect("known");
            connection.version += 1;
            change(connection);
            connection.clone()
        };
        push(instance, snapshot).await;
    }

    /// Pauses a number's connection, or lets it go on.
    pub(crate) async fn pause(&self, instance: &Instance, number: &Number, paused: bool) {
        self.change(instance, number, |connection| connection.paused = paused)
            .await;
    }

    /// The connection service has a younger token, and could not push that.
    pub(crate) fn raise_token_version(&self, number: &Number) {
        let mut connections = self.siblings.state.connections.lock().expect("connections");
        let known = connections
            .iter_mut()
            .find(|connection| connection.connection_id == number.connection.bytes());
        known.expect("known").token_version += 1;
    }

    /// Gives a number's connection to a new application, and pushes that.
    pub(crate) async fn application(&self, instance: &Instance, number: &Number) -> ApplicationId {
        let other = ApplicationId::new(&SystemClock, &SystemRandom);
        self.change(instance, number, |connection| connection.application_id = other.bytes())
            .await;
        other
    }

    /// Another application with a key of its own; the number is its from the start.
    pub(crate) fn tenant(&self, number: &Number) -> (ApplicationId, String) {
        let application = ApplicationId::new(&SystemClock, &SystemRandom);
        let key_id = KeyId::new(&SystemClock, &SystemRandom);
        let (key, _) = KeyText::generate("test", key_id, &SystemRandom);
        let mut keys = self.siblings.state.keys.lock().expect("keys");
        keys.insert(key_id.uuid(), application.uuid());
        let mut connections = self.siblings.state.connections.lock().expect("connections");
        let known = connections
            .iter_mut()
            .find(|connection| connection.connection_id == number.connection.bytes());
        known.expect("known").application_id = application.bytes();
        (application, key)
    }

    /// Applies items of one number, in order.
    pub(crate) async fn apply_all(
        &self,
        instance: &Instance,
        application: ApplicationId,
        number: &Number,
        kinds: Vec<Kind>,
    ) -> Vec<ItemResult> {
        let items = kinds.into_iter().map(|kind| Item {
            application_id: application.bytes(),
            connection_id: number.connection.bytes(),
            phone_number_id: number.id.clone(),
            kind: Some(kind),
        });
        let request = ApplyItemsRequest { items: items.collect() };
        let answer = instance.internal("webhook").apply_items(request).await;
        answer.expect("applied").into_inner().results
    }

    pub(crate) fn env(&self) -> Env {
        let internal = format!("127.0.0.1:{}", free_port());
        let peer = |service: &str| format!("{service}={}", hex::encode(secret_sha256(&secret_of(service))));
        let siblings = format!("http://{}", self.siblings.address);
        [
            ("MESSAGING_DATABASE_URL", self.database_url()),
            ("MESSAGING_DATABASE_CONNECTIONS", "6".to_owned()),
            ("MESSAGING_LISTEN", "127.0.0.1:0".to_owned()),
            ("MESSAGING_INTERNAL_LISTEN", internal.clone()),
            ("MESSAGING_OPS_LISTEN", "127.0.0.1:0".to_owned()),
            ("MESSAGING_ADVERTISE_URL", format!("http://{internal}")),
            ("MESSAGING_SEAL_KEYS", SEAL_KEYS.to_owned()),
            ("MESSAGING_SERVICE_SECRET", secret_of("messaging")),
            ("MESSAGING_PEERS", [peer("connection"), peer("webhook")].join(",")),
            ("MESSAGING_CONNECTION_URL", siblings.clone()),
            ("MESSAGING_TRACKING_URL", siblings.clone()),
            ("MESSAGING_WEBHOOK_URL", siblings),
            ("MESSAGING_REDIS_PREFIX", self.redis_prefix.clone()),
            ("REDIS_URL", self.redis_url.clone()),
            ("GRAPH_BASE_URL", self.graph_url.clone()),
            (
                "MESSAGING_FILES_URL",
                format!("file://{}?shared=true", self.directory.path().display()),
            ),
            ("MESSAGING_FILE_QUOTA_BYTES", self.quota.to_string()),
            ("MESSAGING_MEDIA_MAX_BYTES", self.media_max.to_string()),
            ("OUTERACT_SHUTDOWN_DELAY", "0s".to_owned()),
            ("OUTERACT_SHUTDOWN_GRACE", "10s".to_owned()),
        ]
        .into_iter()
        .collect()
    }

    /// A process that has taken its numbers over.
    pub(crate) async fn start(&self) -> Instance {
        let instance = Instance::start(self.env()).await;
        self.owned().await;
        instance
    }

    /// As [`Self::start`], where a slow machine must not look like a process that died or a call that was lost.
    pub(crate) async fn start_patient(&self) -> Instance {
        let instance = Instance::start_patient(self.env()).await;
        self.owned().await;
        instance
    }

    /// Waits until every number has a living owner.
    pub(crate) async fn owned(&self) {
        let count = self.numbers.len() as i64;
        eventually(SOON, async || {
            let owned: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM messaging.number_owner o JOIN messaging.worker w ON w.id = o.worker WHERE w.expires_at > messaging.now_()",
            )
            .fetch_one(self.database.admin())
            .await
            .expect("a count");
            owned == count
        })
        .await;
    }

    /// Sends, and does not wait for Meta.
    pub(crate) async fn store(&self, client: &mut Client, number: &Number, to: &str) -> EventId {
        let request = SendMessageRequest {
            wait: SendWait::Stored.into(),
            ..request(number, to)
        };
        id(&client.send_message(request).await.expect("stored").into_inner())
    }

    /// Sends a template, and does not wait for Meta.
    pub(crate) async fn store_order(&self, client: &mut Client, number: &Number, to: &str) -> EventId {
        let request = SendMessageRequest {
            wait: SendWait::Stored.into(),
            ..order(number, to)
        };
        id(&client.send_message(request).await.expect("stored").into_inner())
    }

    /// Waits until the message is in this state, and gives it.
    pub(crate) async fn reaches(&self, client: &Client, id: EventId, state: SubmissionState) -> Message {
        self.message_when(client, id, |message| message.state() == state).await
    }

    /// Waits until the message is as it should be, and gives it.
    pub(crate) async fn message_when(&self, client: &Client, id: EventId, is: impl Fn(&Message) -> bool) -> Message {
        let mut found = None;
        eventually(SOON, async || {
            let message = get(client, id).await;
            let done = is(&message);
            found = Some(message);
            done
        })
        .await;
        found.expect("a message")
    }

    /// What Meta accepted.
    pub(crate) async fn ledger(&self) -> Vec<Accepted> {
        self.meta.whole_ledger().await.expect("the ledger")
    }

    /// Applies one status as the webhook service would.
    pub(crate) async fn status(&self, instance: &Instance, number: &Number, status: StatusItem) -> ItemResult {
        self.apply(instance, number, Kind::Status(status)).await
    }

    pub(crate) async fn apply(&self, instance: &Instance, number: &Number, kind: Kind) -> ItemResult {
        let item = Item {
            application_id: self.application.bytes(),
            connection_id: number.connection.bytes(),
            phone_number_id: number.id.clone(),
            kind: Some(kind),
        };
        let results = instance
            .internal("webhook")
            .apply_items(ApplyItemsRequest { items: vec![item] })
            .await
            .expect("applied")
            .into_inner()
            .results;
        results.into_iter().next().expect("a result")
    }

    /// Time passes by the database's clock, while webhooks are decoded in time.
    pub(crate) async fn quiet(&self, instance: &Instance, time: time::Duration) {
        let mut left = time;
        while left > time::Duration::ZERO {
            self.report(instance).await;
            self.database.advance(time::Duration::seconds(10)).await;
            left -= time::Duration::seconds(10);
        }
        self.report(instance).await;
    }

    /// Every webhook is decoded, the newest just now.
    pub(crate) async fn report(&self, instance: &Instance) {
        let now: time::OffsetDateTime = sqlx::query_scalar("SELECT messaging.now_()")
            .fetch_one(self.database.admin())
            .await
            .expect("a time");
        let request = ReportIngestRequest {
            oldest_pending_time: None,
            newest_decoded_time: Some(outeract_events::timestamp::to_proto(now)),
        };
        let mut client = instance.internal("webhook");
        client.report_ingest(request).await.expect("reported");
    }
}

/// A message to `to`.
pub(crate) fn request(number: &Number, to: &str) -> SendMessageRequest {
    SendMessageRequest {
        idempotency_key: format!("send-{}", SENDS.fetch_add(1, Ordering::Relaxed)),
        connection_id: number.connection.to_string(),
        to_external_id: to.to_owned(),
        content: Some(MessageContent {
            kind: Some(Content::Text(TextContent {
                body: "hello".to_owned(),
                preview_url: None,
            })),
        }),
        on_unknown: OnUnknown::Unspecified.into(),
        wait: SendWait::Unspecified.into(),
        ..SendMessageRequest::default()
    }
}

async fn push(instance: &Instance, snapshot: ConnectionSnapshot) {
    instance
        .internal("connection")
        .push_connections(PushConnectionsRequest {
            connections: vec![snapshot],
        })
        .await
        .expect("pushed");
}

/// A template to `to`, who need not have written.
pub(crate) fn order(number: &Number, to: &str) -> SendMessageRequest {
    let text = |text: &str| TemplateParameter {
        name: String::new(),
        value: Some(template_parameter::Value::Text(text.to_owned())),
    };
    let template = TemplateContent {
        name: "order_confirmation".to_owned(),
        language_code: "en_US".to_owned(),
        body: vec![text("John"), text("#12345")],
        ..TemplateContent::default()
    };
    SendMessageRequest {
        content: Some(MessageContent {
            kind: Some(Content::Template(template)),
        }),
        ..request(number, to)
    }
}

pub(crate) async fn get(client: &Client, id: EventId) -> Message {
    let answer = client
        .clone()
        .get_message(GetMessageRequest { id: id.to_string() })
        .await
        .expect("found");
    answer.into_inner().message.expect("a message")
}

pub(crate) fn id(response: &SendMessageResponse) -> EventId {
    response.id.parse().expect("an id")
}

/// The status `word` of what Meta accepted.
pub(crate) fn status_of(accepted: &Accepted, word: &str) -> StatusItem {
    StatusItem {
        wamid: accepted.wamid.clone(),
        status: word.to_owned(),
        occur_time: Some(prost_types::Timestamp {
            seconds: accepted.at_ms / 1_000,
            nanos: 0,
        }),
        callback_data: accepted.callback.clone().unwrap_or_default(),
        recipient_wa_id: accepted.wa_id.clone(),
        error_code: 0,
        receive_time: Some(prost_types::Timestamp {
            seconds: accepted.at_ms / 1_000 + 1,
            nanos: 0,
        }),
        ..StatusItem::default()
    }
}

/// A recipient of its own for each number.
pub(crate) fn recipient(index: usize) -> String {
    format!("+1415555{index:04}")
}

pub(crate) fn message_of(accepted: &Accepted) -> Uuid {
    let (message, _) = accepted
        .callback
        .as_deref()
        .expect("callback data")
        .split_once('.')
        .expect("a dot");
    message.parse::<EventId>().expect("an id").uuid()
}
