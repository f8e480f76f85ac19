//! What is asked of this service over gRPC. One file per method; here they are only joined to the contract.

mod cancel_replay;
mod discard_items;
mod erase_user;
mod get_item;
mod get_replay;
mod get_webhook;
mod list_items;
mod list_replays;
mod names;
mod push_connections;
mod replay;
mod retry_items;
mod set_decoding;
mod start_replay;

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
use crate::decode::{Decoder, Waiting};
use crate::projection::Projection;

/// Characters of an operator's words.
const MAX_WHY: usize = 200;

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
    /// Decodes again what is asked for.
    pub decoder: Arc<Decoder>,
}

#[tonic::async_trait]
impl WebhookService for Rpc {
    async fn list_items(&self, request: Request<public::ListItemsRequest>) -> Reply<public::ListItemsResponse> {
        list_items::for_application(self, request).await
    }

    async fn get_item(&self, request: Request<public::GetItemRequest>) -> Reply<public::GetItemResponse> {
        get_item::for_application(self, request).await
    }

    async fn retry_items(&self, request: Request<public::RetryItemsRequest>) -> Reply<public::RetryItemsResponse> {
        retry_items::for_application(self, request).await
    }

    async fn discard_items(
        &self,
        request: Request<public::DiscardItemsRequest>,
    ) -> Reply<public::DiscardItemsResponse> {
        discard_items::for_application(self, request).await
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

    async fn get_item(&self, request: Request<admin::GetItemRequest>) -> Reply<admin::GetItemResponse> {
        get_item::for_operator(self, request).await
    }

    async fn retry_items(&self, request: Request<admin::RetryItemsRequest>) -> Reply<admin::RetryItemsResponse> {
        retry_items::for_operator(self, request).await
    }

    async fn discard_items(&self, request: Request<admin::DiscardItemsRequest>) -> Reply<admin::DiscardItemsResponse> {
        discard_items::for_operator(self, request).await
    }

    async fn start_replay(&self, request: Request<admin::StartReplayRequest>) -> Reply<admin::StartReplayResponse> {
        start_replay::start_replay(self, request).await
    }

    async fn get_replay(&self, request: Request<admin::GetReplayRequest>) -> Reply<admin::GetReplayResponse> {
        get_replay::get_replay(self, request).await
    }

    async fn list_replays(&self, request: Request<admin::ListReplaysRequest>) -> Reply<admin::ListReplaysResponse> {
        list_replays::list_replays(self, request).await
    }

    async fn cancel_replay(&self, request: Request<admin::CancelReplayRequest>) -> Reply<admin::CancelReplayResponse> {
        cancel_replay::cancel_replay(self, request).await
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

    async fn erase_user(&self, request: Request<internal::EraseUserRequest>) -> Reply<internal::EraseUserResponse> {
        erase_user::erase_user(self, request).await
    }
}

// === impl Rpc ===

impl Rpc {
    /// A new id of a line in the audit log.
    fn audit_id(&self) -> Uuid {
        outeract_domain::WebhookId::new(&*self.clock, &*self.random).uuid()
    }
}

/// Why decoding again has to wait, for the caller.
fn waiting(cause: Waiting) -> Fault {
    match cause {
        Waiting::Sibling(stalled) => Fault::unavailable(stalled),
        Waiting::Key(missing) => Fault::data_loss(missing),
        Waiting::Database(error) => fault(error),
    }
}

/// An operator's words about what is done.
fn check_why(why: &str) -> Result<(), Fault> {
    let said = why.len() <= 4 * MAX_WHY && (1..=MAX_WHY).contains(&why.trim().chars().count());
    if said {
        return Ok(());
    }
    let rule = format!("must be 1 to {MAX_WHY} characters and not only white space");
    Err(Fault::invalid("why", rule))
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
