//! Small servers in place of connection, messaging and tracking. They can be told to fail.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use outeract_domain::{ApplicationId, ContactId, EventId};
use outeract_proto::connection::internal::v1::connection_internal_service_server::{
    ConnectionInternalService, ConnectionInternalServiceServer,
};
use outeract_proto::connection::internal::v1::{
    AccountNews, AuthenticateKeyRequest, AuthenticateKeyResponse, ConnectionSnapshot, GetTokenForSendRequest,
    GetTokenForSendResponse, KeyVerdict, ListConnectionStatesRequest, ListConnectionStatesResponse,
    ReportAccountsRequest, ReportAccountsResponse, ReportOutcome,
};
use outeract_proto::messaging::internal::v1 as messaging;
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::messaging_internal_service_server::{
    MessagingInternalService, MessagingInternalServiceServer,
};
use outeract_proto::messaging::internal::v1::{ApplyItemsRequest, ApplyItemsResponse, Item, ItemOutcome, ItemResult};
use outeract_proto::tracking::internal::v1::tracking_internal_service_server::{
    TrackingInternalService, TrackingInternalServiceServer,
};
use outeract_proto::tracking::internal::v1::{
    EraseUserRequest, EraseUserResponse, EventRecord, ListUserMessagesRequest, ListUserMessagesResponse,
    RecordEventsRequest, RecordEventsResponse, RecordResult,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

type Reply<T> = Result<Response<T>, Status>;

/// Application (`None`: an operator), hash, scopes.
type Key = (Option<ApplicationId>, [u8; 32], Vec<String>);

/// What the made-up siblings know, were told, and are told to do.
#[derive(Default)]
pub(crate) struct World {
    /// Keys by id.
    pub(crate) keys: HashMap<Vec<u8>, Key>,
    /// What `ListConnectionStates` answers.
    pub(crate) connections: Vec<ConnectionSnapshot>,
    /// News of accounts that connection was told, repetitions included; with how many events there were.
    pub(crate) reported: Vec<(AccountNews, usize)>,
    /// Every report to connection fails so.
    pub(crate) connection_fails: Option<Code>,
    /// Every call to messaging fails so.
    pub(crate) messaging_fails: Option<Code>,
    /// Every call to tracking fails so.
    pub(crate) tracking_fails: Option<Code>,
    /// Calls to messaging fail once it has applied so many items.
    pub(crate) messaging_most: Option<usize>,
    /// Calls that failed because they were told to.
    pub(crate) failures: usize,
    /// So many calls to tracking record everything and then fail, as if the decoder died before it heard.
    pub(crate) tracking_forgets: u32,
    /// Messaging answers REFUSED for these wamids.
    pub(crate) refused: HashSet<String>,
    /// Messaging answers REFUSED with a reason for news of these fields; a connection: for that one only.
    pub(crate) account_refusals: HashMap<String, (Vec<u8>, &'static str)>,
    /// A call to messaging that carries one of these fails as a whole.
    pub(crate) poison: HashSet<String>,
    /// Tracking answers REFUSED for events of these wamids.
    pub(crate) refused_events: HashSet<String>,
    /// Items that messaging applied, in order, repetitions included.
    pub(crate) applied: Vec<Item>,
    /// Events in the order of their first recording.
    pub(crate) events: Vec<EventRecord>,
    /// When the oldest webhook was received, of each report.
    pub(crate) reports: Vec<Option<i64>>,
    /// As above, of the newest decoded webhook.
    pub(crate) newest: Vec<Option<i64>>,
    recorded: HashSet<Vec<u8>>,
}

/// The world, shared.
#[derive(Clone, Default)]
pub(crate) struct Siblings(Arc<Mutex<World>>);

impl Siblings {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Serves all three on one port.
    pub(crate) async fn serve(&self, tasks: &mut JoinSet<()>, at: &str) -> SocketAddr {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Server::builder()
            .add_service(ConnectionInternalServiceServer::new(self.clone()))
            .add_service(MessagingInternalServiceServer::new(self.clone()))
            .add_service(TrackingInternalServiceServer::new(self.clone()));
        tasks.spawn(async move {
            router
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        address
    }

    /// Wamids of the recorded events, in order.
    pub(crate) fn recorded(&self) -> Vec<String> {
        self.world().events.iter().map(event_wamid).collect()
    }
}

pub(crate) fn event_wamid(record: &EventRecord) -> String {
    use outeract_proto::tracking::v1::event::Payload;
    match record.event.as_ref().and_then(|event| event.payload.as_ref()) {
        Some(Payload::Message(message)) => message.external_message_id.clone(),
        Some(Payload::Status(status)) => status.external_message_id.clone(),
        _ => String::new(),
    }
}

fn item_wamid(item: &Item) -> &str {
    match &item.kind {
        Some(Kind::Inbound(inbound)) => &inbound.wamid,
        Some(Kind::Status(status)) => &status.wamid,
        Some(Kind::Account(_)) | None => "",
    }
}

#[tonic::async_trait]
impl ConnectionInternalService for Siblings {
    async fn authenticate_key(&self, request: Request<AuthenticateKeyRequest>) -> Reply<AuthenticateKeyResponse> {
        let request = request.into_inner();
        let mut answer = AuthenticateKeyResponse {
            verdict: KeyVerdict::Unknown.into(),
            ..AuthenticateKeyResponse::default()
        };
        if let Some((application, hash, scopes)) = self.world().keys.get(&request.key_id)
            && hash[..] == request.secret_sha256[..]
        {
            answer.verdict = KeyVerdict::Valid.into();
            answer.operator = application.is_none();
            answer.application_id = application.map(ApplicationId::bytes).unwrap_or_default();
            answer.scopes.clone_from(scopes);
        }
        Ok(Response::new(answer))
    }

    async fn get_token_for_send(&self, _: Request<GetTokenForSendRequest>) -> Reply<GetTokenForSendResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_connection_states(
        &self,
        request: Request<ListConnectionStatesRequest>,
    ) -> Reply<ListConnectionStatesResponse> {
        // One connection a page: the token is where to go on.
        let from: usize = request.into_inner().page_token.parse().unwrap_or(0);
        let world = self.world();
        let more = from + 1 < world.connections.len();
        Ok(Response::new(ListConnectionStatesResponse {
            connections: world.connections.get(from).cloned().into_iter().collect(),
            next_page_token: if more { (from + 1).to_string() } else { String::new() },
        }))
    }

    async fn report_accounts(&self, request: Request<ReportAccountsRequest>) -> Reply<ReportAccountsResponse> {
        let news = request.into_inner().news;
        assert!((1..=1_000).contains(&news.len()));
        let mut world = self.world();
        if let Some(code) = world.connection_fails {
            world.failures += 1;
            return Err(Status::new(code, "told to fail"));
        }
        let outcomes = vec![ReportOutcome::Taken.into(); news.len()];
        let events = world.events.len();
        world.reported.extend(news.into_iter().map(|news| (news, events)));
        Ok(Response::new(ReportAccountsResponse { outcomes }))
    }
}

#[tonic::async_trait]
impl MessagingInternalService for Siblings {
    type DispatchStream = tokio_stream::Empty<Result<messaging::DispatchResponse, Status>>;

    async fn apply_items(&self, request: Request<ApplyItemsRequest>) -> Reply<ApplyItemsResponse> {
        let items = request.into_inner().items;
        assert!(items.len() <= 1_000);
        let mut world = self.world();
        if let Some(code) = world.messaging_fails {
            world.failures += 1;
            return Err(Status::new(code, "told to fail"));
        }
        if world
            .messaging_most
            .is_some_and(|most| world.applied.len() + items.len() > most)
        {
            world.failures += 1;
            return Err(Status::unavailable("told to fail"));
        }
        if items.iter().any(|item| world.poison.contains(item_wamid(item))) {
            return Err(Status::internal("poison"));
        }
        let results = items.iter().map(|item| result(&world, item)).collect();
        world.applied.extend(items);
        Ok(Response::new(ApplyItemsResponse { results }))
    }

    async fn report_ingest(
        &self,
        request: Request<messaging::ReportIngestRequest>,
    ) -> Reply<messaging::ReportIngestResponse> {
        let request = request.into_inner();
        let mut world = self.world();
        world.reports.push(request.oldest_pending_time.map(|at| at.seconds));
        world.newest.push(request.newest_decoded_time.map(|at| at.seconds));
        Ok(Response::new(messaging::ReportIngestResponse {}))
    }

    async fn push_connections(
        &self,
        _: Request<messaging::PushConnectionsRequest>,
    ) -> Reply<messaging::PushConnectionsResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn dispatch(&self, _: Request<messaging::DispatchRequest>) -> Reply<Self::DispatchStream> {
        Err(Status::unimplemented("not here"))
    }
}

fn result(world: &World, item: &Item) -> ItemResult {
    if world.refused.contains(item_wamid(item)) {
        return ItemResult {
            outcome: ItemOutcome::Refused.into(),
            reason: "CONNECTION_UNKNOWN".to_owned(),
            ..ItemResult::default()
        };
    }
    match &item.kind {
        Some(Kind::Account(account)) => match world.account_refusals.get(&account.field) {
            Some((connection, reason)) if connection.is_empty() || *connection == item.connection_id => ItemResult {
                outcome: ItemOutcome::Refused.into(),
                reason: (*reason).to_owned(),
                ..ItemResult::default()
            },
            _ => ItemResult {
                outcome: ItemOutcome::Applied.into(),
                ..ItemResult::default()
            },
        },
        Some(Kind::Inbound(_)) => ItemResult {
            outcome: ItemOutcome::Applied.into(),
            contact_id: ContactId::from_uuid(Uuid::from_u128(77)).bytes(),
            ..ItemResult::default()
        },
        Some(Kind::Status(status)) => match status.callback_data.parse::<outeract_domain::Callback>() {
            Ok(callback) => ItemResult {
                outcome: ItemOutcome::Applied.into(),
                message_id: EventId::bytes(callback.message),
                ..ItemResult::default()
            },
            Err(_) => ItemResult {
                outcome: ItemOutcome::Orphaned.into(),
                ..ItemResult::default()
            },
        },
        None => ItemResult::default(),
    }
}

#[tonic::async_trait]
impl TrackingInternalService for Siblings {
    async fn record_events(&self, request: Request<RecordEventsRequest>) -> Reply<RecordEventsResponse> {
        let events = request.into_inner().events;
        assert!(events.len() <= 1_000);
        let mut world = self.world();
        if let Some(code) = world.tracking_fails {
            world.failures += 1;
            return Err(Status::new(code, "told to fail"));
        }
        let mut results = Vec::new();
        for event in events {
            results.push(if world.refused_events.contains(&event_wamid(&event)) {
                RecordResult::Refused.into()
            } else if world.recorded.insert(event.id.clone()) {
                world.events.push(event);
                RecordResult::Recorded.into()
            } else {
                RecordResult::Duplicate.into()
            });
        }
        if world.tracking_forgets > 0 {
            world.tracking_forgets -= 1;
            return Err(Status::unavailable("recorded, and told to fail"));
        }
        Ok(Response::new(RecordEventsResponse { results }))
    }

    async fn list_user_messages(&self, _: Request<ListUserMessagesRequest>) -> Reply<ListUserMessagesResponse> {
        Err(Status::unimplemented("not asked of it here"))
    }

    async fn erase_user(&self, _: Request<EraseUserRequest>) -> Reply<EraseUserResponse> {
        Err(Status::unimplemented("not asked of it here"))
    }
}
