//! The connection and tracking services, as far as messaging needs them: real gRPC servers that answer from memory.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use outeract_domain::ContactId;
use outeract_proto::connection::internal::v1::connection_internal_service_server::{
    ConnectionInternalService, ConnectionInternalServiceServer,
};
use outeract_proto::connection::internal::v1::{
    AuthenticateKeyRequest, AuthenticateKeyResponse, ConnectionSnapshot, GetTokenForSendRequest,
    GetTokenForSendResponse, KeyVerdict, ListConnectionStatesRequest, ListConnectionStatesResponse,
    ReportAccountsRequest, ReportAccountsResponse,
};
use outeract_proto::tracking::internal::v1::tracking_internal_service_server::{
    TrackingInternalService, TrackingInternalServiceServer,
};
use outeract_proto::tracking::internal::v1::{
    EraseUserRequest as EraseEventsRequest, EraseUserResponse as EraseEventsResponse, EventRecord,
    ListUserMessagesRequest, ListUserMessagesResponse, RecordEventsRequest, RecordEventsResponse, RecordResult,
};
use outeract_proto::tracking::v1::Event;
use outeract_proto::webhook::internal::v1::webhook_internal_service_server::{
    WebhookInternalService, WebhookInternalServiceServer,
};
use outeract_proto::webhook::internal::v1::{
    EraseUserRequest, EraseUserResponse, PushConnectionsRequest, PushConnectionsResponse,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// What the made-up services know, and how they behave.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Applications by key.
    pub(crate) keys: Mutex<HashMap<Uuid, Uuid>>,
    /// Keys of operators.
    pub(crate) operators: Mutex<HashSet<Uuid>>,
    pub(crate) connections: Mutex<Vec<ConnectionSnapshot>>,
    /// Tokens and their proofs, by connection.
    pub(crate) tokens: Mutex<HashMap<Uuid, (String, String)>>,
    pub(crate) events: Mutex<HashMap<Uuid, EventRecord>>,
    pub(crate) repeated: AtomicU64,
    pub(crate) tokens_asked: AtomicU64,
    pub(crate) connection_away: AtomicBool,
    pub(crate) tracking_away: AtomicBool,
    /// Calls to erase users from stored webhooks.
    pub(crate) erased: Mutex<Vec<EraseUserRequest>>,
    /// Stored webhooks are not looked through yet.
    pub(crate) webhooks_behind: AtomicBool,
    /// Events that lost what they say.
    pub(crate) blanked: AtomicU64,
}

/// Three services on one port.
#[derive(Debug)]
pub(crate) struct Siblings {
    pub(crate) state: Arc<State>,
    pub(crate) address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

struct Connection(Arc<State>);
struct Tracking(Arc<State>);
struct Webhook(Arc<State>);

impl Siblings {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(State::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = tonic::transport::Server::builder()
            .add_service(ConnectionInternalServiceServer::new(Connection(Arc::clone(&state))))
            .add_service(TrackingInternalServiceServer::new(Tracking(Arc::clone(&state))))
            .add_service(WebhookInternalServiceServer::new(Webhook(Arc::clone(&state))));
        #[expect(clippy::disallowed_methods, reason = "a test's own server")]
        let server = tokio::spawn(async move {
            router
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .expect("serves");
        });
        Self { state, address, server }
    }

    /// The events whose type and parent these are.
    pub(crate) fn children(&self, message: Uuid, event_type: &str) -> Vec<EventRecord> {
        let events = self.state.events.lock().expect("events");
        let is_child = |event: &&EventRecord| {
            event.origin_event_id == message.as_bytes()
                && event.event.as_ref().is_some_and(|event| event.event_type == event_type)
        };
        events.values().filter(is_child).cloned().collect()
    }

    /// The events of a type, the oldest first.
    pub(crate) fn of_type(&self, event_type: &str) -> Vec<EventRecord> {
        let events = self.state.events.lock().expect("events");
        let of_type = |record: &&EventRecord| {
            record
                .event
                .as_ref()
                .is_some_and(|event| event.event_type == event_type)
        };
        let mut found: Vec<_> = events.values().filter(of_type).cloned().collect();
        found.sort_by(|one, other| one.id.cmp(&other.id));
        found
    }

    pub(crate) fn event(&self, id: Uuid) -> Option<EventRecord> {
        self.state.events.lock().expect("events").get(&id).cloned()
    }
}

impl Drop for Siblings {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl State {
    fn connection_is_here(&self) -> Result<(), Status> {
        if self.connection_away.load(Ordering::Relaxed) {
            Err(Status::unavailable("away"))
        } else {
            Ok(())
        }
    }
}

impl State {
    fn tracking_is_here(&self) -> Result<(), Status> {
        if self.tracking_away.load(Ordering::Relaxed) {
            Err(Status::unavailable("away"))
        } else {
            Ok(())
        }
    }
}

#[tonic::async_trait]
impl ConnectionInternalService for Connection {
    async fn authenticate_key(
        &self,
        request: Request<AuthenticateKeyRequest>,
    ) -> Result<Response<AuthenticateKeyResponse>, Status> {
        self.0.connection_is_here()?;
        let key = Uuid::from_slice(&request.into_inner().key_id).expect("a key");
        let application = self.0.keys.lock().expect("keys").get(&key).copied();
        let operator = self.0.operators.lock().expect("keys").contains(&key);
        Ok(Response::new(AuthenticateKeyResponse {
            verdict: if application.is_some() || operator {
                KeyVerdict::Valid
            } else {
                KeyVerdict::Unknown
            }
            .into(),
            application_id: application
                .map(|application| application.as_bytes().to_vec())
                .unwrap_or_default(),
            scopes: if operator { Vec::new() } else { vec!["*".to_owned()] },
            operator,
            expire_time: None,
        }))
    }

    async fn get_token_for_send(
        &self,
        request: Request<GetTokenForSendRequest>,
    ) -> Result<Response<GetTokenForSendResponse>, Status> {
        self.0.connection_is_here()?;
        self.0.tokens_asked.fetch_add(1, Ordering::Relaxed);
        let id = Uuid::from_slice(&request.into_inner().connection_id).expect("a connection");
        let (token, appsecret_proof) = self
            .0
            .tokens
            .lock()
            .expect("tokens")
            .get(&id)
            .cloned()
            .ok_or_else(|| Status::not_found("no token"))?;
        let connections = self.0.connections.lock().expect("connections");
        let version = connections
            .iter()
            .find(|connection| connection.connection_id == id.as_bytes())
            .map_or(1, |connection| connection.token_version);
        Ok(Response::new(GetTokenForSendResponse {
            token,
            appsecret_proof,
            token_version: version,
        }))
    }

    async fn list_connection_states(
        &self,
        _: Request<ListConnectionStatesRequest>,
    ) -> Result<Response<ListConnectionStatesResponse>, Status> {
        self.0.connection_is_here()?;
        let connections = self.0.connections.lock().expect("connections").clone();
        Ok(Response::new(ListConnectionStatesResponse {
            connections,
            next_page_token: String::new(),
        }))
    }

    async fn report_accounts(
        &self,
        _: Request<ReportAccountsRequest>,
    ) -> Result<Response<ReportAccountsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

#[tonic::async_trait]
impl TrackingInternalService for Tracking {
    async fn record_events(
        &self,
        request: Request<RecordEventsRequest>,
    ) -> Result<Response<RecordEventsResponse>, Status> {
        self.0.tracking_is_here()?;
        let mut events = self.0.events.lock().expect("events");
        let results = request.into_inner().events.into_iter().map(|event| {
            let id = Uuid::from_slice(&event.id).expect("an id");
            if events.insert(id, event).is_some() {
                self.0.repeated.fetch_add(1, Ordering::Relaxed);
                RecordResult::Duplicate.into()
            } else {
                RecordResult::Recorded.into()
            }
        });
        Ok(Response::new(RecordEventsResponse {
            results: results.collect(),
        }))
    }

    async fn list_user_messages(
        &self,
        request: Request<ListUserMessagesRequest>,
    ) -> Result<Response<ListUserMessagesResponse>, Status> {
        self.0.tracking_is_here()?;
        let contact = request.into_inner().contact_id;
        let events = self.0.events.lock().expect("events");
        let outbound = events.values().filter(|record| {
            record
                .event
                .as_ref()
                .is_some_and(|event| event.event_type == "message.outbound" && names(event, &contact))
        });
        Ok(Response::new(ListUserMessagesResponse {
            message_ids: outbound.map(|record| record.id.clone()).collect(),
            next: 0,
        }))
    }

    async fn erase_user(&self, request: Request<EraseEventsRequest>) -> Result<Response<EraseEventsResponse>, Status> {
        self.0.tracking_is_here()?;
        let contact = request.into_inner().contact_id;
        let mut events = self.0.events.lock().expect("events");
        let named: HashSet<Vec<u8>> = events
            .values()
            .filter(|record| record.event.as_ref().is_some_and(|event| names(event, &contact)))
            .map(|record| record.id.clone())
            .collect();
        for record in events.values_mut() {
            if !named.contains(&record.id) && !named.contains(&record.origin_event_id) {
                continue;
            }
            if let Some(event) = record.event.as_mut().filter(|event| !event.erased) {
                event.erased = true;
                event.payload = None;
                let parties = event
                    .edges
                    .iter_mut()
                    .flat_map(|edges| [&mut edges.sent_by, &mut edges.sent_to]);
                for party in parties.flatten() {
                    party.external_id.clear();
                }
                self.0.blanked.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(Response::new(EraseEventsResponse {
            done: true,
            events: i64::try_from(self.0.blanked.load(Ordering::Relaxed)).expect("few"),
            ..EraseEventsResponse::default()
        }))
    }
}

/// Whether the contact took part.
fn names(event: &Event, contact: &[u8]) -> bool {
    let contact = ContactId::from_slice(contact).expect("a contact").to_string();
    let parties = event
        .edges
        .iter()
        .flat_map(|edges| edges.sent_by.iter().chain(&edges.sent_to));
    parties.into_iter().any(|party| party.platform_user_id == contact)
}

#[tonic::async_trait]
impl WebhookInternalService for Webhook {
    async fn push_connections(
        &self,
        _: Request<PushConnectionsRequest>,
    ) -> Result<Response<PushConnectionsResponse>, Status> {
        Err(Status::unimplemented("not asked of it here"))
    }

    async fn erase_user(&self, request: Request<EraseUserRequest>) -> Result<Response<EraseUserResponse>, Status> {
        self.0.erased.lock().expect("calls").push(request.into_inner());
        Ok(Response::new(EraseUserResponse {
            done: !self.0.webhooks_behind.load(Ordering::Relaxed),
            erased: 3,
            scanned: 5,
        }))
    }
}
