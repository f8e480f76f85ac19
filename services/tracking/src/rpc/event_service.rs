use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use outeract_proto::tracking::v1::event_service_server::EventService;
use outeract_proto::tracking::v1::{
    AcknowledgeEventsRequest, AcknowledgeEventsResponse, GetEventRequest, GetEventResponse, ListEventsRequest,
    ListEventsResponse, StreamEventsRequest, StreamEventsResponse,
};
use outeract_rpc::{Reply, caller};
use tonic::{Request, Response, Status};

use crate::acknowledge::Acknowledger;
use crate::read::Reader;
use crate::stream::Streamer;

/// `outeract.tracking.v1.EventService`.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) reader: Arc<Reader>,
    pub(crate) streamer: Streamer,
    pub(crate) acknowledger: Acknowledger,
}

#[tonic::async_trait]
impl EventService for Events {
    type StreamEventsStream = Pin<Box<dyn Stream<Item = Result<StreamEventsResponse, Status>> + Send>>;

    async fn get_event(&self, request: Request<GetEventRequest>) -> Reply<GetEventResponse> {
        let application = caller::application(&request)?.id;
        Ok(Response::new(self.reader.get(application, request.get_ref()).await?))
    }

    async fn list_events(&self, request: Request<ListEventsRequest>) -> Reply<ListEventsResponse> {
        let application = caller::application(&request)?.id;
        Ok(Response::new(self.reader.list(application, request.get_ref()).await?))
    }

    async fn stream_events(&self, request: Request<StreamEventsRequest>) -> Reply<Self::StreamEventsStream> {
        let application = caller::application(&request)?.id;
        let stream = self.streamer.open(application, request.into_inner()).await?;
        Ok(Response::new(Box::pin(stream)))
    }

    async fn acknowledge_events(&self, request: Request<AcknowledgeEventsRequest>) -> Reply<AcknowledgeEventsResponse> {
        let application = caller::application(&request)?.id;
        Ok(Response::new(
            self.acknowledger.acknowledge(application, request.into_inner()).await?,
        ))
    }
}
