use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outeract_clock::{SeededRandom, SystemClock};
use outeract_domain::{ApplicationId, KeyId};
use outeract_proto::messaging::v1::file_service_server::FileServiceServer;
use outeract_proto::messaging::v1::messaging_service_client::MessagingServiceClient;
use outeract_proto::messaging::v1::messaging_service_server::{MessagingService, MessagingServiceServer};
use outeract_proto::messaging::v1::{
    self, GetMessageRequest, GetMessageResponse, SendMessageRequest, SendMessageResponse,
};
use outeract_proto::tracking::v1::event_service_server::{EventService, EventServiceServer};
use outeract_proto::tracking::v1::{
    AcknowledgeEventsRequest, AcknowledgeEventsResponse, GetEventRequest, GetEventResponse, ListEventsRequest,
    ListEventsResponse, StreamEventsRequest, StreamEventsResponse,
};
use outeract_proto::webhook::admin::v1 as admin;
use outeract_proto::webhook::admin::v1::admin_service_server::{AdminService, AdminServiceServer};
use outeract_proto::webhook::admin::v1::{
    GetWebhookRequest, GetWebhookResponse, ListItemsRequest, ListItemsResponse, SetDecodingRequest, SetDecodingResponse,
};
use outeract_proto::webhook::internal::v1::webhook_internal_service_server::{
    WebhookInternalService, WebhookInternalServiceServer,
};
use outeract_proto::webhook::internal::v1::{
    EraseUserRequest, EraseUserResponse, PushConnectionsRequest, PushConnectionsResponse,
};
use outeract_rpc::{
    Admission, Authenticator, Channel, Fault, KeyText, Keys, Limits, Peers, Reply, Server, ServiceCredential,
    Unavailable, Verdict, caller, secret_sha256,
};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// A listener with the small service behind it. Gone when dropped.
pub(crate) struct Fixture {
    pub(crate) address: SocketAddr,
    pub(crate) keys: FakeKeys,
    pub(crate) gate: Arc<Gate>,
    pub(crate) drain: CancellationToken,
    pub(crate) serving: JoinSet<()>,
}

/// Keys in memory, which can be away.
#[derive(Clone, Default)]
pub(crate) struct FakeKeys(Arc<KeysState>);

#[derive(Default)]
pub(crate) struct KeysState {
    verdicts: Mutex<HashMap<Uuid, ([u8; 32], Verdict)>>,
    pub(crate) away: AtomicBool,
    pub(crate) asked: AtomicUsize,
}

/// What the handlers wait for and tell.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) entered: Notify,
    pub(crate) open: Notify,
    /// A sibling to call on `sibling`.
    pub(crate) sibling: Mutex<Option<Channel>>,
}

pub(crate) const MESSAGING_SECRET: &str = "messaging-secret-of-32-characters";
pub(crate) const CONNECTION_SECRET: &str = "connection-secret-of-32-characters";

/// Short enough for tests, long enough for busy machines.
pub(crate) fn limits() -> Limits {
    Limits {
        drain_idle: Duration::from_millis(200),
        handshake: Duration::from_millis(500),
        ..Limits::application()
    }
}

/// The listener for applications.
pub(crate) async fn applications(limits: Limits) -> Fixture {
    start(limits, ANY, Admission::Applications).await
}

/// The listener for siblings and operators.
pub(crate) async fn siblings(limits: Limits) -> Fixture {
    start(limits, ANY, admit_siblings).await
}

/// The listener for siblings and operators, where one has been before.
pub(crate) async fn siblings_at(address: SocketAddr) -> Fixture {
    start(limits(), address, admit_siblings).await
}

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn admit_siblings(keys: Authenticator) -> Admission {
    let peers = Peers::default()
        .with("messaging", secret_sha256(MESSAGING_SECRET))
        .with("connection", secret_sha256(CONNECTION_SECRET));
    Admission::Siblings(peers, keys)
}

async fn start(limits: Limits, address: SocketAddr, admission: impl FnOnce(Authenticator) -> Admission) -> Fixture {
    let keys = FakeKeys::default();
    let gate = Arc::new(Gate::default());
    let routes = Routes::new(MessagingServiceServer::new(Small(Arc::clone(&gate))))
        .add_service(EventServiceServer::new(Small(Arc::clone(&gate))))
        .add_service(FileServiceServer::new(Small(Arc::clone(&gate))))
        .add_service(AdminServiceServer::new(Small(Arc::clone(&gate))))
        .add_service(WebhookInternalServiceServer::new(Small(Arc::clone(&gate))))
        .add_service(tonic_health::server::health_reporter().1);
    let admission = admission(Authenticator::new(keys.clone(), Arc::new(SystemClock)));
    let drain = CancellationToken::new();
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(Server::new(admission, routes, limits, drain.clone()).serve(listener));
    Fixture {
        address,
        keys,
        gate,
        drain,
        serving,
    }
}

// === impl Fixture ===

impl Fixture {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn channel(&self) -> tonic::transport::Channel {
        tonic::transport::Endpoint::from_shared(self.url())
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    pub(crate) async fn messaging(&self) -> MessagingServiceClient<tonic::transport::Channel> {
        MessagingServiceClient::new(self.channel().await)
    }

    /// A channel as the service `name` holds one.
    pub(crate) fn as_service(&self, name: &'static str, secret: &str) -> Channel {
        Channel::new(&self.url(), ServiceCredential::new(name, secret).unwrap()).unwrap()
    }

    /// The listener has ended by itself within `time`.
    pub(crate) async fn ended_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.serving.join_next()).await.is_ok()
    }
}

// === impl FakeKeys ===

impl FakeKeys {
    pub(crate) fn application(&self, scopes: &[&str]) -> (String, KeyId) {
        let scopes: Arc<[String]> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let application = ApplicationId::from_uuid(Uuid::from_u128(7));
        self.add(
            "live",
            Verdict::Application {
                application,
                scopes,
                expires: None,
            },
        )
    }

    pub(crate) fn add(&self, environment: &str, verdict: Verdict) -> (String, KeyId) {
        let mut verdicts = self.0.verdicts.lock().unwrap();
        let key = KeyId::from_uuid(Uuid::from_u128(0x1000 + verdicts.len() as u128));
        let (text, hash) = KeyText::generate(environment, key, &SeededRandom::new(verdicts.len() as u64));
        verdicts.insert(key.uuid(), (hash, verdict));
        (text, key)
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.0.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }
}

impl Keys for FakeKeys {
    async fn authenticate(&self, key_id: Uuid, secret_sha256: [u8; 32]) -> Result<Verdict, Unavailable> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        if self.0.away.load(Ordering::SeqCst) {
            return Err(Unavailable("away".into()));
        }
        let verdicts = self.0.verdicts.lock().unwrap();
        Ok(match verdicts.get(&key_id) {
            Some((hash, verdict)) if *hash == secret_sha256 => verdict.clone(),
            Some(_) | None => Verdict::Unknown,
        })
    }
}

/// `request` with a bearer key.
pub(crate) fn with_key<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

/// A send whose idempotency key tells the small service what to do.
pub(crate) fn send(what: &str) -> SendMessageRequest {
    SendMessageRequest {
        idempotency_key: what.to_owned(),
        ..SendMessageRequest::default()
    }
}

/// The small service.
pub(crate) struct Small(Arc<Gate>);

#[tonic::async_trait]
impl MessagingService for Small {
    async fn send_message(&self, request: Request<SendMessageRequest>) -> Reply<SendMessageResponse> {
        let id = match request.get_ref().idempotency_key.as_str() {
            "panic" => panic!("on purpose"),
            "internal" => return Err(Fault::internal(std::io::Error::other("hunter2")).into()),
            "bare" => return Err(Status::internal("hunter2")),
            "invalid" => return Err(Fault::invalid("to_external_id", "must be a number").into()),
            "application" => caller::application(&request)?.id.to_string(),
            "remaining" => {
                let deadline = caller::call(&request)?.deadline().unwrap();
                deadline.remaining().as_millis().to_string()
            }
            "large" => "x".repeat(5 * 1_024 * 1_024),
            "wait" => {
                self.0.entered.notify_one();
                self.0.open.notified().await;
                String::new()
            }
            "leave" => {
                caller::call(&request)?.leave_limit();
                self.0.entered.notify_one();
                self.0.open.notified().await;
                String::new()
            }
            "charge 6" => {
                caller::call(&request)?.charge(6)?;
                String::new()
            }
            "sibling" => {
                let channel = self.0.sibling.lock().unwrap().clone().unwrap();
                let answer = MessagingServiceClient::new(channel)
                    .get_message(GetMessageRequest::default())
                    .await;
                answer.map_err(|status| Fault::sibling(&status))?;
                String::new()
            }
            other => other.to_owned(),
        };
        Ok(Response::new(SendMessageResponse {
            id,
            ..SendMessageResponse::default()
        }))
    }

    async fn get_message(&self, request: Request<GetMessageRequest>) -> Reply<GetMessageResponse> {
        let _ = caller::application(&request)?;
        Err(Fault::not_found("message").into())
    }
    // The small service is about sending; what else the contract has is not asked of it.
    async fn batch_send_messages(
        &self,
        _: Request<v1::BatchSendMessagesRequest>,
    ) -> Reply<v1::BatchSendMessagesResponse> {
        Err(Status::unimplemented("not asked"))
    }
    async fn send_template_message(
        &self,
        _: Request<v1::SendTemplateMessageRequest>,
    ) -> Reply<v1::SendTemplateMessageResponse> {
        Err(Status::unimplemented("not asked"))
    }
    async fn validate_message(&self, _: Request<v1::ValidateMessageRequest>) -> Reply<v1::ValidateMessageResponse> {
        Err(Status::unimplemented("not asked"))
    }
    async fn cancel_message(&self, _: Request<v1::CancelMessageRequest>) -> Reply<v1::CancelMessageResponse> {
        Err(Status::unimplemented("not asked"))
    }
    async fn resolve_unknown(&self, _: Request<v1::ResolveUnknownRequest>) -> Reply<v1::ResolveUnknownResponse> {
        Err(Status::unimplemented("not asked"))
    }
    async fn mark_message_as_read(
        &self,
        _: Request<v1::MarkMessageAsReadRequest>,
    ) -> Reply<v1::MarkMessageAsReadResponse> {
        Err(Status::unimplemented("not asked"))
    }
    async fn send_typing_indicator(
        &self,
        _: Request<v1::SendTypingIndicatorRequest>,
    ) -> Reply<v1::SendTypingIndicatorResponse> {
        Err(Status::unimplemented("not asked"))
    }
    async fn get_conversation_window(
        &self,
        _: Request<v1::GetConversationWindowRequest>,
    ) -> Reply<v1::GetConversationWindowResponse> {
        Err(Status::unimplemented("not asked"))
    }
}

type Events = tokio_stream::wrappers::ReceiverStream<Result<StreamEventsResponse, Status>>;

#[tonic::async_trait]
impl EventService for Small {
    type StreamEventsStream = Events;

    async fn get_event(&self, _: Request<GetEventRequest>) -> Reply<GetEventResponse> {
        Err(Fault::not_found("event").into())
    }

    async fn list_events(&self, _: Request<ListEventsRequest>) -> Reply<ListEventsResponse> {
        Ok(Response::new(ListEventsResponse::default()))
    }

    /// One heartbeat, and then nothing for ever.
    async fn stream_events(&self, _: Request<StreamEventsRequest>) -> Reply<Events> {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        sender.send(Ok(StreamEventsResponse::default())).await.unwrap();
        // Never closed: the listener has to end it.
        std::mem::forget(sender);
        Ok(Response::new(Events::new(receiver)))
    }

    async fn acknowledge_events(&self, _: Request<AcknowledgeEventsRequest>) -> Reply<AcknowledgeEventsResponse> {
        Ok(Response::new(AcknowledgeEventsResponse::default()))
    }
}

#[tonic::async_trait]
impl AdminService for Small {
    async fn list_items(&self, _: Request<ListItemsRequest>) -> Reply<ListItemsResponse> {
        Ok(Response::new(ListItemsResponse::default()))
    }

    async fn get_webhook(&self, request: Request<GetWebhookRequest>) -> Reply<GetWebhookResponse> {
        let operator = caller::operator(&request)?;
        Ok(Response::new(GetWebhookResponse {
            id: operator.key.to_string(),
            ..GetWebhookResponse::default()
        }))
    }

    async fn set_decoding(&self, _: Request<SetDecodingRequest>) -> Reply<SetDecodingResponse> {
        Ok(Response::new(SetDecodingResponse::default()))
    }

    async fn get_item(&self, _: Request<admin::GetItemRequest>) -> Reply<admin::GetItemResponse> {
        Ok(Response::new(admin::GetItemResponse::default()))
    }

    async fn retry_items(&self, _: Request<admin::RetryItemsRequest>) -> Reply<admin::RetryItemsResponse> {
        Ok(Response::new(admin::RetryItemsResponse::default()))
    }

    async fn discard_items(&self, _: Request<admin::DiscardItemsRequest>) -> Reply<admin::DiscardItemsResponse> {
        Ok(Response::new(admin::DiscardItemsResponse::default()))
    }

    async fn start_replay(&self, _: Request<admin::StartReplayRequest>) -> Reply<admin::StartReplayResponse> {
        Ok(Response::new(admin::StartReplayResponse::default()))
    }

    async fn get_replay(&self, _: Request<admin::GetReplayRequest>) -> Reply<admin::GetReplayResponse> {
        Ok(Response::new(admin::GetReplayResponse::default()))
    }

    async fn list_replays(&self, _: Request<admin::ListReplaysRequest>) -> Reply<admin::ListReplaysResponse> {
        Ok(Response::new(admin::ListReplaysResponse::default()))
    }

    async fn cancel_replay(&self, _: Request<admin::CancelReplayRequest>) -> Reply<admin::CancelReplayResponse> {
        Ok(Response::new(admin::CancelReplayResponse::default()))
    }
}

#[tonic::async_trait]
impl WebhookInternalService for Small {
    async fn push_connections(&self, request: Request<PushConnectionsRequest>) -> Reply<PushConnectionsResponse> {
        assert_eq!(caller::service(&request)?, "connection");
        Ok(Response::new(PushConnectionsResponse::default()))
    }

    async fn erase_user(&self, request: Request<EraseUserRequest>) -> Reply<EraseUserResponse> {
        assert_eq!(caller::service(&request)?, "messaging");
        Ok(Response::new(EraseUserResponse::default()))
    }
}
