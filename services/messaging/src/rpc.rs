//! The contract: one file per method.

mod admin;
mod apply_items;
mod batch_send_messages;
mod cancel_message;
mod contacts;
mod delete_file;
mod dispatch;
mod download_file;
mod file_service;
mod get_conversation_window;
mod get_file;
mod get_message;
mod get_template;
mod list_files;
mod list_templates;
mod mark_message_as_read;
mod push_connections;
mod reading;
mod replay;
mod report_ingest;
mod resolve_unknown;
mod send_message;
mod send_template_message;
mod send_typing_indicator;
mod sync_templates;
mod templates;
mod upload_file;
mod validate_message;

use std::sync::Arc;

use outeract_proto::messaging::internal::v1::messaging_internal_service_server::MessagingInternalService;
use outeract_proto::messaging::internal::v1::{
    ApplyItemsRequest, ApplyItemsResponse, DispatchRequest, PushConnectionsRequest, PushConnectionsResponse,
    ReportIngestRequest, ReportIngestResponse,
};
use outeract_proto::messaging::v1::messaging_service_server::MessagingService;
use outeract_proto::messaging::v1::{
    BatchSendMessagesRequest, BatchSendMessagesResponse, CancelMessageRequest, CancelMessageResponse,
    GetConversationWindowRequest, GetConversationWindowResponse, GetMessageRequest, GetMessageResponse,
    MarkMessageAsReadRequest, MarkMessageAsReadResponse, ResolveUnknownRequest, ResolveUnknownResponse,
    SendMessageRequest, SendMessageResponse, SendTemplateMessageRequest, SendTemplateMessageResponse,
    SendTypingIndicatorRequest, SendTypingIndicatorResponse, ValidateMessageRequest, ValidateMessageResponse,
};
use outeract_rpc::{Fault, Reply};
use outeract_runtime::Context;
use tonic::Request;

use crate::accept::Acceptor;
use crate::accept::prepare::Preparer;
use crate::apply::Applier;
use crate::dispatch::{Hints, Reader, Recorder};
use crate::projection::Projection;
use crate::vault::Vault;
use crate::waiters::Waiters;

pub(crate) use self::admin::Admin;
pub(crate) use self::contacts::Contacts;
pub(crate) use self::file_service::Files;

/// What applications call.
#[derive(Debug)]
pub(crate) struct Messaging {
    pub context: Context,
    pub vault: Vault,
    pub preparer: Preparer,
    pub projection: Projection,
    pub acceptor: Acceptor,
    pub waiters: Waiters,
    pub hints: Hints,
    pub recorder: Recorder,
    pub reader: Reader,
    /// How long a lane waits for its head, or for an outcome nobody knows.
    pub patience: time::Duration,
}

/// What siblings call.
#[derive(Debug)]
pub(crate) struct Internal {
    pub context: Context,
    pub projection: Projection,
    pub applier: Arc<Applier>,
    pub hints: Hints,
    pub waiters: Waiters,
}

pub(crate) use self::templates::Templates;

/// Most entries of one internal request.
const MOST_ENTRIES: usize = 1_000;

#[tonic::async_trait]
impl MessagingService for Messaging {
    async fn send_message(&self, request: Request<SendMessageRequest>) -> Reply<SendMessageResponse> {
        send_message::send_message(self, request).await
    }

    async fn get_message(&self, request: Request<GetMessageRequest>) -> Reply<GetMessageResponse> {
        get_message::get_message(self, request).await
    }

    async fn batch_send_messages(
        &self,
        request: Request<BatchSendMessagesRequest>,
    ) -> Reply<BatchSendMessagesResponse> {
        batch_send_messages::batch_send_messages(self, request).await
    }

    async fn send_template_message(
        &self,
        request: Request<SendTemplateMessageRequest>,
    ) -> Reply<SendTemplateMessageResponse> {
        send_template_message::send_template_message(self, request).await
    }

    async fn validate_message(&self, request: Request<ValidateMessageRequest>) -> Reply<ValidateMessageResponse> {
        validate_message::validate_message(self, request).await
    }

    async fn cancel_message(&self, request: Request<CancelMessageRequest>) -> Reply<CancelMessageResponse> {
        cancel_message::cancel_message(self, request).await
    }

    async fn resolve_unknown(&self, request: Request<ResolveUnknownRequest>) -> Reply<ResolveUnknownResponse> {
        resolve_unknown::resolve_unknown(self, request).await
    }

    async fn mark_message_as_read(
        &self,
        request: Request<MarkMessageAsReadRequest>,
    ) -> Reply<MarkMessageAsReadResponse> {
        mark_message_as_read::mark_message_as_read(self, request).await
    }

    async fn send_typing_indicator(
        &self,
        request: Request<SendTypingIndicatorRequest>,
    ) -> Reply<SendTypingIndicatorResponse> {
        send_typing_indicator::send_typing_indicator(self, request).await
    }

    async fn get_conversation_window(
        &self,
        request: Request<GetConversationWindowRequest>,
    ) -> Reply<GetConversationWindowResponse> {
        get_conversation_window::get_conversation_window(self, request).await
    }
}

#[tonic::async_trait]
impl MessagingInternalService for Internal {
    type DispatchStream = dispatch::Answers;

    async fn push_connections(&self, request: Request<PushConnectionsRequest>) -> Reply<PushConnectionsResponse> {
        push_connections::push_connections(self, request).await
    }

    async fn dispatch(&self, request: Request<DispatchRequest>) -> Reply<Self::DispatchStream> {
        dispatch::dispatch(self, request)
    }

    async fn apply_items(&self, request: Request<ApplyItemsRequest>) -> Reply<ApplyItemsResponse> {
        apply_items::apply_items(self, request).await
    }

    async fn report_ingest(&self, request: Request<ReportIngestRequest>) -> Reply<ReportIngestResponse> {
        report_ingest::report_ingest(self, request).await
    }
}

fn bounded<T>(entries: &[T], path: &'static str) -> Result<(), Fault> {
    if entries.len() > MOST_ENTRIES {
        Err(Fault::invalid(path, format!("must be at most {MOST_ENTRIES} entries")))
    } else {
        Ok(())
    }
}
