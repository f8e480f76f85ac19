//! A sibling service that only takes pushes, and can be away.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use outeract_clock::SystemClock;
use outeract_proto::connection::internal::v1::ConnectionSnapshot;
use outeract_proto::messaging::internal::v1 as messaging;
use outeract_proto::messaging::internal::v1::messaging_internal_service_server::{
    MessagingInternalService, MessagingInternalServiceServer,
};
use outeract_proto::webhook::internal::v1 as webhook;
use outeract_proto::webhook::internal::v1::webhook_internal_service_server::{
    WebhookInternalService, WebhookInternalServiceServer,
};
use outeract_rpc::{Admission, Authenticator, Keys, Limits, Peers, Reply, Server, Unavailable, Verdict, secret_sha256};
use outeract_testkit::free_port;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::Empty;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::suite::CONNECTION_SECRET;

/// Messaging or webhook, as far as connection sees them.
pub(crate) struct Sibling {
    address: SocketAddr,
    taken: Taken,
    running: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Taken {
    snapshots: Arc<Mutex<Vec<ConnectionSnapshot>>>,
    /// A connection that is refused, and every batch that contains it.
    poison: Arc<Mutex<Option<Vec<u8>>>>,
}

struct Nobody;

// === impl Sibling ===

impl Sibling {
    /// One that is away.
    pub(crate) fn away() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, free_port()).into(),
            taken: Taken::default(),
            running: JoinSet::new(),
        }
    }

    /// It comes (back).
    pub(crate) async fn come(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let peers = Peers::default().with("connection", secret_sha256(CONNECTION_SECRET));
        let keys = Authenticator::new(Nobody, Arc::new(SystemClock));
        let routes = Routes::new(MessagingInternalServiceServer::new(self.taken.clone()))
            .add_service(WebhookInternalServiceServer::new(self.taken.clone()));
        let server = Server::new(
            Admission::Siblings(peers, keys),
            routes,
            Limits::internal(),
            CancellationToken::new(),
        );
        self.running.spawn(server.serve(listener));
    }

    /// It goes, with all its connections.
    pub(crate) async fn go(&mut self) {
        self.running.shutdown().await;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything it was told, in order.
    pub(crate) fn told(&self) -> Vec<ConnectionSnapshot> {
        self.taken
            .snapshots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The versions of one connection that it was told.
    pub(crate) fn versions(&self, connection: Uuid) -> Vec<i64> {
        let of = |snapshot: &ConnectionSnapshot| snapshot.connection_id == connection.as_bytes();
        self.told()
            .iter()
            .filter(|snapshot| of(snapshot))
            .map(|snapshot| snapshot.version)
            .collect()
    }

    /// Refuses whatever contains this connection.
    pub(crate) fn refuse(&self, connection: Option<Uuid>) {
        let id = connection.map(|id| id.as_bytes().to_vec());
        *self.taken.poison.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }
}

// === impl Taken ===

impl Taken {
    fn take(&self, connections: Vec<ConnectionSnapshot>) -> Result<(), Status> {
        let poison = self.poison.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if connections
            .iter()
            .any(|snapshot| Some(&snapshot.connection_id) == poison.as_ref())
        {
            return Err(Status::invalid_argument("poison"));
        }
        self.snapshots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(connections);
        Ok(())
    }
}

#[tonic::async_trait]
impl MessagingInternalService for Taken {
    type DispatchStream = Empty<Result<messaging::DispatchResponse, Status>>;

    async fn push_connections(
        &self,
        request: Request<messaging::PushConnectionsRequest>,
    ) -> Reply<messaging::PushConnectionsResponse> {
        self.take(request.into_inner().connections)?;
        Ok(Response::new(messaging::PushConnectionsResponse {}))
    }

    async fn dispatch(&self, _: Request<messaging::DispatchRequest>) -> Reply<Self::DispatchStream> {
        Err(Status::unimplemented(""))
    }

    async fn apply_items(&self, _: Request<messaging::ApplyItemsRequest>) -> Reply<messaging::ApplyItemsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn report_ingest(
        &self,
        _: Request<messaging::ReportIngestRequest>,
    ) -> Reply<messaging::ReportIngestResponse> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl WebhookInternalService for Taken {
    async fn push_connections(
        &self,
        request: Request<webhook::PushConnectionsRequest>,
    ) -> Reply<webhook::PushConnectionsResponse> {
        self.take(request.into_inner().connections)?;
        Ok(Response::new(webhook::PushConnectionsResponse {}))
    }

    async fn erase_user(&self, _: Request<webhook::EraseUserRequest>) -> Reply<webhook::EraseUserResponse> {
        Err(Status::unimplemented(""))
    }
}

impl Keys for Nobody {
    async fn authenticate(&self, _: Uuid, _: [u8; 32]) -> Result<Verdict, Unavailable> {
        Ok(Verdict::Unknown)
    }
}
