//! A tracking service with a made-up connection service beside it, and what calls it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outeract_clock::{SystemClock, SystemRandom};
use outeract_domain::{ApplicationId, ConnectionId, ContactId, Content, EventId, PhoneNumberId, Text, Wamid};
use outeract_events::content::to_proto;
use outeract_events::{Inbound, Outbound, Status, Step, Submission};
use outeract_proto::connection::internal::v1::connection_internal_service_server::{
    ConnectionInternalService, ConnectionInternalServiceServer,
};
use outeract_proto::connection::internal::v1::{
    AuthenticateKeyRequest, AuthenticateKeyResponse, GetTokenForSendRequest, GetTokenForSendResponse, KeyVerdict,
    ListConnectionStatesRequest, ListConnectionStatesResponse, ReportAccountsRequest, ReportAccountsResponse,
};
use outeract_proto::tracking::internal::v1::tracking_internal_service_client::TrackingInternalServiceClient;
use outeract_proto::tracking::internal::v1::{EventRecord, RecordEventsRequest, RecordResult};
use outeract_proto::tracking::v1::event_service_client::EventServiceClient;
use outeract_proto::tracking::v1::subscription_service_client::SubscriptionServiceClient;
use outeract_proto::tracking::v1::{
    Event, ListEventsRequest, MessagePayload, StatusPayload, StreamEventsRequest, StreamEventsResponse,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{KeyText, ServiceCredential, reason, secret_sha256};
use outeract_runtime::Process;
use outeract_testkit::TestDatabase;
use outeract_tracking::Tracking;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status as GrpcStatus, Streaming};

pub(crate) const LONG: Duration = Duration::from_secs(20);
pub(crate) const SECRET: &str = "a secret of a sibling, long enough to count";
const RING: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nhash:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

type Keys = Arc<Mutex<HashMap<Vec<u8>, (ApplicationId, [u8; 32])>>>;
pub(crate) type Events = EventServiceClient<InterceptedService<Channel, Bearer>>;
pub(crate) type Hooks = SubscriptionServiceClient<InterceptedService<Channel, Bearer>>;
pub(crate) type Internal = TrackingInternalServiceClient<outeract_rpc::Channel>;

/// A database, keys, and services on them.
pub(crate) struct Suite {
    pub(crate) db: TestDatabase,
    keys: Keys,
    connection: SocketAddr,
    tasks: JoinSet<()>,
}

/// A tracking service that runs.
pub(crate) struct Instance {
    pub(crate) application: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) stop: Box<dyn Fn() + Send + Sync>,
}

/// An application with a key and a connection.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) id: ApplicationId,
    pub(crate) connection: ConnectionId,
    key: String,
    since: OffsetDateTime,
}

#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<tonic::metadata::Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, GrpcStatus> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// The connection service as far as keys go.
struct FakeConnection(Keys);

#[tonic::async_trait]
impl ConnectionInternalService for FakeConnection {
    async fn authenticate_key(
        &self,
        request: Request<AuthenticateKeyRequest>,
    ) -> Result<Response<AuthenticateKeyResponse>, GrpcStatus> {
        let request = request.into_inner();
        let keys = self.0.lock().unwrap();
        let mut answer = AuthenticateKeyResponse {
            verdict: KeyVerdict::Unknown.into(),
            ..AuthenticateKeyResponse::default()
        };
        if let Some((application, hash)) = keys.get(&request.key_id)
            && hash[..] == request.secret_sha256[..]
        {
            answer.verdict = KeyVerdict::Valid.into();
            answer.application_id = application.bytes();
            answer.scopes = ["events:read", "webhooks:read", "webhooks:write"]
                .map(str::to_owned)
                .to_vec();
        }
        Ok(Response::new(answer))
    }

    async fn get_token_for_send(
        &self,
        _: Request<GetTokenForSendRequest>,
    ) -> Result<Response<GetTokenForSendResponse>, GrpcStatus> {
        Err(GrpcStatus::unimplemented("not here"))
    }

    async fn list_connection_states(
        &self,
        _: Request<ListConnectionStatesRequest>,
    ) -> Result<Response<ListConnectionStatesResponse>, GrpcStatus> {
        Err(GrpcStatus::unimplemented("not here"))
    }

    async fn report_accounts(
        &self,
        _: Request<ReportAccountsRequest>,
    ) -> Result<Response<ReportAccountsResponse>, GrpcStatus> {
        Err(GrpcStatus::unimplemented("not here"))
    }
}

// === impl Suite ===

impl Suite {
    pub(crate) async fn new() -> Self {
        let db = TestDatabase::create(&["tracking"]).await;
        let keys = Keys::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connection = listener.local_addr().unwrap();
        let service = ConnectionInternalServiceServer::new(FakeConnection(Arc::clone(&keys)));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Self {
            db,
            keys,
            connection,
            tasks,
        }
    }

    /// One service, and clients of it.
    pub(crate) async fn with_instance() -> (Self, Instance) {
        let mut suite = Self::new().await;
        let instance = suite.start(&[]).await;
        (suite, instance)
    }

    /// Starts a tracking service with these settings besides the usual ones.
    pub(crate) async fn start(&mut self, settings: &[(&str, &str)]) -> Instance {
        let url = self.db.url("tracking");
        let connection = format!("http://{}", self.connection);
        let digest = hex::encode(secret_sha256(SECRET));
        let peers = format!("webhook={digest},messaging={digest},connection={digest}");
        let usual = [
            ("TRACKING_DATABASE_URL", url.expose().as_str()),
            ("TRACKING_LISTEN", "127.0.0.1:0"),
            ("TRACKING_INTERNAL_LISTEN", "127.0.0.1:0"),
            ("TRACKING_OPS_LISTEN", "127.0.0.1:0"),
            ("TRACKING_SEAL_KEYS", RING),
            ("TRACKING_SERVICE_SECRET", SECRET),
            ("TRACKING_PEERS", peers.as_str()),
            ("TRACKING_CONNECTION_URL", connection.as_str()),
            ("OUTERACT_SHUTDOWN_DELAY", "0ms"),
            ("OUTERACT_SHUTDOWN_GRACE", "5s"),
        ];
        let env = usual.into_iter().chain(settings.iter().copied()).collect();
        let process = Process::start::<Tracking>(&env).await.unwrap();
        let addresses = process.addresses();
        let stop = Box::new(process.stopper());
        self.tasks.spawn(async move {
            process.wait().await;
        });
        Instance {
            application: addresses.application,
            internal: addresses.internal,
            stop,
        }
    }

    pub(crate) fn app(&self) -> App {
        let id = ApplicationId::new(&SystemClock, &SystemRandom);
        let key = outeract_domain::KeyId::new(&SystemClock, &SystemRandom);
        let (text, hash) = KeyText::generate("test", key, &SystemRandom);
        self.keys.lock().unwrap().insert(key.bytes(), (id, hash));
        App {
            id,
            connection: ConnectionId::new(&SystemClock, &SystemRandom),
            key: text,
            since: now(),
        }
    }
}

// === impl Instance ===

impl Instance {
    /// A client of the application's.
    pub(crate) async fn events(&self, app: &App) -> Events {
        let channel = Channel::from_shared(format!("http://{}", self.application)).unwrap();
        let bearer = Bearer(format!("Bearer {}", app.key).parse().unwrap());
        EventServiceClient::with_interceptor(channel.connect().await.unwrap(), bearer)
    }

    /// A client of the application's, for its subscriptions.
    pub(crate) async fn hooks(&self, app: &App) -> Hooks {
        let channel = Channel::from_shared(format!("http://{}", self.application)).unwrap();
        let bearer = Bearer(format!("Bearer {}", app.key).parse().unwrap());
        SubscriptionServiceClient::with_interceptor(channel.connect().await.unwrap(), bearer)
    }

    /// A client of the webhook service's.
    pub(crate) fn internal(&self) -> Internal {
        let credential = ServiceCredential::new("webhook", SECRET).unwrap();
        let channel = outeract_rpc::Channel::new(&format!("http://{}", self.internal), credential).unwrap();
        TrackingInternalServiceClient::new(channel)
    }

    /// Records events, of which each must be new.
    pub(crate) async fn record(&self, events: Vec<EventRecord>) {
        let count = events.len();
        assert_eq!(self.results(events).await, vec![RecordResult::Recorded; count]);
    }

    pub(crate) async fn results(&self, events: Vec<EventRecord>) -> Vec<RecordResult> {
        let answer = self
            .internal()
            .record_events(RecordEventsRequest { events })
            .await
            .unwrap();
        answer.into_inner().results().collect()
    }
}

// === impl App ===

impl App {
    /// A message from a user; the same `n` is the same message.
    pub(crate) fn inbound(&self, n: u32) -> EventRecord {
        self.inbound_at(n, self.since)
    }

    pub(crate) fn inbound_at(&self, n: u32, occurred: OffsetDateTime) -> EventRecord {
        Inbound {
            application: self.id,
            connection: self.connection,
            number: &number(),
            wamid: &Wamid::new(format!("wamid.{}.{n}", self.id)).unwrap(),
            occurred: occurred.replace_nanosecond(0).unwrap(),
            received: occurred,
            business: "+15550001111",
            from: "+14155559999",
            contact: ContactId::from_uuid(uuid::Uuid::from_u128(7)),
            name: "Ada",
            echo: false,
            payload: MessagePayload {
                content: Some(to_proto(&text(&format!("Hello {n}")))),
                ..MessagePayload::default()
            },
        }
        .record()
    }

    /// A message to a user.
    pub(crate) fn outbound(&self, message: EventId) -> EventRecord {
        Outbound {
            application: self.id,
            connection: self.connection,
            message,
            stored: now(),
            business: "+15550001111",
            to: "+14155551234",
            contact: ContactId::from_uuid(uuid::Uuid::from_u128(7)),
            content: &text("Hello! Thanks for contacting us."),
            reply_to: None,
        }
        .record()
    }

    pub(crate) fn accepted(&self, message: EventId) -> EventRecord {
        Submission {
            application: self.id,
            connection: self.connection,
            message,
            step: Step::Accepted,
            attempt: 1,
            at: now(),
            wamid: Some(&wamid()),
            error: None,
        }
        .record()
    }

    pub(crate) fn status(&self, message: EventId, word: &str, occurred: OffsetDateTime) -> EventRecord {
        Status {
            application: self.id,
            connection: self.connection,
            message,
            wamid: &wamid(),
            word,
            occurred,
            received: now(),
            error: None,
            told: StatusPayload::default(),
        }
        .record()
    }
}

// === what tests read ===

pub(crate) fn now() -> OffsetDateTime {
    outeract_clock::Clock::now(&SystemClock)
}

pub(crate) fn new_message() -> EventId {
    EventId::new(&SystemClock, &SystemRandom)
}

fn number() -> PhoneNumberId {
    "106540352242922".parse().unwrap()
}

fn wamid() -> Wamid {
    Wamid::new("wamid.abc456").unwrap()
}

fn text(body: &str) -> Content {
    Content::Text(Text::new(body.to_owned(), None, "text.body").unwrap())
}

/// Code and reason of an error.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, GrpcStatus>) -> (Code, Option<ErrorReason>) {
    let status = answer.unwrap_err();
    (status.code(), reason(&status))
}

/// Ids as `EventRecord`s carry them, as texts.
pub(crate) fn ids(records: &[EventRecord]) -> Vec<String> {
    records
        .iter()
        .map(|record| EventId::from_slice(&record.id).unwrap().to_string())
        .collect()
}

pub(crate) fn event_ids(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.id.clone()).collect()
}

/// All pages of a list.
pub(crate) async fn list_all(events: &mut Events, mut request: ListEventsRequest) -> Vec<Event> {
    let mut found = Vec::new();
    loop {
        let page = events.list_events(request.clone()).await.unwrap().into_inner();
        found.extend(page.events);
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

pub(crate) async fn open(events: &mut Events, request: StreamEventsRequest) -> Streaming<StreamEventsResponse> {
    events.stream_events(request).await.unwrap().into_inner()
}

/// The next message with events in it.
pub(crate) async fn next(stream: &mut Streaming<StreamEventsResponse>) -> StreamEventsResponse {
    loop {
        let message = tokio::time::timeout(LONG, stream.message())
            .await
            .expect("a message in time")
            .unwrap();
        let message = message.expect("a message, not the end");
        if !message.events.is_empty() {
            return message;
        }
    }
}

/// So many events, in as many messages as they come in.
pub(crate) async fn take(stream: &mut Streaming<StreamEventsResponse>, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        events.extend(next(stream).await.events);
    }
    assert_eq!(events.len(), count);
    events
}

/// How a stream ends.
pub(crate) async fn end(stream: &mut Streaming<StreamEventsResponse>) -> (Code, Option<ErrorReason>) {
    let ended = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without an error"),
                Err(status) => return (status.code(), reason(&status)),
            }
        }
    };
    tokio::time::timeout(LONG, ended).await.expect("the end in time")
}
