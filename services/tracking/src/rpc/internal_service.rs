use std::sync::Arc;

use outeract_proto::tracking::internal::v1::tracking_internal_service_server::TrackingInternalService;
use outeract_proto::tracking::internal::v1::{
    EraseUserRequest, EraseUserResponse, ListUserMessagesRequest, ListUserMessagesResponse, RecordEventsRequest,
    RecordEventsResponse,
};
use outeract_rpc::Reply;
use tonic::{Request, Response};

use crate::erase::Eraser;
use crate::record::Recorder;

/// `outeract.tracking.internal.v1.TrackingInternalService`.
#[derive(Debug)]
pub(crate) struct Internal {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) eraser: Arc<Eraser>,
}

#[tonic::async_trait]
impl TrackingInternalService for Internal {
    async fn record_events(&self, request: Request<RecordEventsRequest>) -> Reply<RecordEventsResponse> {
        let results = self.recorder.record(request.into_inner().events).await?;
        let results = results.into_iter().map(i32::from).collect();
        Ok(Response::new(RecordEventsResponse { results }))
    }

    async fn list_user_messages(&self, request: Request<ListUserMessagesRequest>) -> Reply<ListUserMessagesResponse> {
        let page = self.eraser.messages(&request.into_inner()).await?;
        Ok(Response::new(page))
    }

    async fn erase_user(&self, request: Request<EraseUserRequest>) -> Reply<EraseUserResponse> {
        let page = self.eraser.erase(&request.into_inner()).await?;
        Ok(Response::new(page))
    }
}
