//! What is asked of this service over gRPC. One file per method; here they are only joined to the contract.

mod get_webhook;
mod list_items;
mod push_connections;
mod set_decoding;

use std::sync::Arc;

use outeract_clock::{SharedClock, SharedRandom};
use outeract_postgres::{Class, Summary, classify};
use outeract_proto::webhook::admin::v1 as admin;
use outeract_proto::webhook::admin::v1::admin_service_server::AdminService;
use outeract_proto::webhook::internal::v1 as internal;
use outeract_proto::webhook::internal::v1::webhook_internal_service_server::WebhookInternalService;
use outeract_proto::webhook::v1 as public;
use outeract_proto::webhook::v1::webhook_service_server::WebhookService;
use outeract_rpc::page::PageTokens;
use outeract_rpc::{Fault, Reply};
use outeract_seal::KeyRing;
use sqlx::PgPool;
use tonic::Request;
use uuid::Uuid;

use crate::board::Board;
use crate::projection::Projection;

/// What every method shares. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rpc {
    /// The database.
    pub db: PgPool,
    /// Opens bodies.
    pub keyring: Arc<KeyRing>,
    /// Makes and reads page tokens.
    pub pages: PageTokens,
    /// Time of ids.
    pub clock: SharedClock,
    /// Randomness of ids.
    pub random: SharedRandom,
    /// Tells the decoder of switches.
    pub board: Arc<Board>,
    /// Takes over snapshots.
    pub projection: Projection,
}

#[tonic::async_trait]
impl WebhookService for Rpc {
    async fn list_items(&self, request: Request<public::ListItemsRequest>) -> Reply<public::ListItemsResponse> {
        list_items::for_application(self, request).await
    }
}

#[tonic::async_trait]
impl AdminService for Rpc {
    async fn list_items(&self, request: Request<admin::ListItemsRequest>) -> Reply<admin::ListItemsResponse> {
        list_items::for_operator(self, request).await
    }

    async fn get_webhook(&self, request: Request<admin::GetWebhookRequest>) -> Reply<admin::GetWebhookResponse> {
        get_webhook::get_webhook(self, request).await
    }

    async fn set_decoding(&self, request: Request<admin::SetDecodingRequest>) -> Reply<admin::SetDecodingResponse> {
        set_decoding::set_decoding(self, request).await
    }
}

#[tonic::async_trait]
impl WebhookInternalService for Rpc {
    async fn push_connections(
        &self,
        request: Request<internal::PushConnectionsRequest>,
    ) -> Reply<internal::PushConnectionsResponse> {
        push_connections::push_connections(self, request).await
    }
}

// === impl Rpc ===

impl Rpc {
    /// A new id of a line in the audit log.
    fn audit_id(&self) -> Uuid {
        outeract_domain::WebhookId::new(&*self.clock, &*self.random).uuid()
    }
}

/// What a failure of Postgres means for the caller.
#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn fault(error: sqlx::Error) -> Fault {
    let summary = Summary(&error).to_string();
    match classify(&error) {
        Class::Unavailable | Class::CommitUnknown | Class::Conflict => Fault::unavailable(summary),
        Class::Data | Class::Bug => Fault::internal(summary),
    }
}
