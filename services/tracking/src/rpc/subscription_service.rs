use outeract_proto::tracking::v1::subscription_service_server::SubscriptionService;
use outeract_proto::tracking::v1::{
    CreateSubscriptionRequest, CreateSubscriptionResponse, DeleteSubscriptionRequest, DeleteSubscriptionResponse,
    GetDeliveryRequest, GetDeliveryResponse, GetSubscriptionRequest, GetSubscriptionResponse, ListDeliveriesRequest,
    ListDeliveriesResponse, ListSubscriptionsRequest, ListSubscriptionsResponse, PauseSubscriptionRequest,
    PauseSubscriptionResponse, RedeliverRequest, RedeliverResponse, ResumeSubscriptionRequest,
    ResumeSubscriptionResponse, RotateSecretRequest, RotateSecretResponse, TestSubscriptionRequest,
    TestSubscriptionResponse, UpdateSubscriptionRequest, UpdateSubscriptionResponse,
};
use outeract_rpc::{Reply, caller};
use tonic::{Request, Response};

use crate::hooks::Subscriptions;

#[tonic::async_trait]
impl SubscriptionService for Subscriptions {
    async fn create_subscription(
        &self,
        request: Request<CreateSubscriptionRequest>,
    ) -> Reply<CreateSubscriptionResponse> {
        let application = caller::application(&request)?.id;
        Ok(Response::new(self.create(application, request.into_inner()).await?))
    }

    async fn get_subscription(&self, request: Request<GetSubscriptionRequest>) -> Reply<GetSubscriptionResponse> {
        let application = caller::application(&request)?.id;
        let subscription = Some(self.get(application, &request.get_ref().id).await?);
        Ok(Response::new(GetSubscriptionResponse { subscription }))
    }

    async fn list_subscriptions(&self, request: Request<ListSubscriptionsRequest>) -> Reply<ListSubscriptionsResponse> {
        let application = caller::application(&request)?.id;
        Ok(Response::new(self.list(application, request.get_ref()).await?))
    }

    async fn update_subscription(
        &self,
        request: Request<UpdateSubscriptionRequest>,
    ) -> Reply<UpdateSubscriptionResponse> {
        let application = caller::application(&request)?.id;
        let subscription = Some(self.update(application, request.get_ref()).await?);
        Ok(Response::new(UpdateSubscriptionResponse { subscription }))
    }

    async fn pause_subscription(&self, request: Request<PauseSubscriptionRequest>) -> Reply<PauseSubscriptionResponse> {
        let application = caller::application(&request)?.id;
        let subscription = Some(self.pause(application, &request.get_ref().id).await?);
        Ok(Response::new(PauseSubscriptionResponse { subscription }))
    }

    async fn resume_subscription(
        &self,
        request: Request<ResumeSubscriptionRequest>,
    ) -> Reply<ResumeSubscriptionResponse> {
        let application = caller::application(&request)?.id;
        let subscription = Some(self.resume(application, &request.get_ref().id).await?);
        Ok(Response::new(ResumeSubscriptionResponse { subscription }))
    }

    async fn delete_subscription(
        &self,
        request: Request<DeleteSubscriptionRequest>,
    ) -> Reply<DeleteSubscriptionResponse> {
        let application = caller::application(&request)?.id;
        self.delete(application, &request.get_ref().id).await?;
        Ok(Response::new(DeleteSubscriptionResponse {}))
    }

    async fn test_subscription(&self, request: Request<TestSubscriptionRequest>) -> Reply<TestSubscriptionResponse> {
        let application = caller::application(&request)?.id;
        Ok(Response::new(self.test(application, &request.get_ref().id).await?))
    }

    async fn rotate_secret(&self, request: Request<RotateSecretRequest>) -> Reply<RotateSecretResponse> {
        let application = caller::application(&request)?.id;
        Ok(Response::new(self.rotate(application, request.get_ref()).await?))
    }

    async fn list_deliveries(&self, request: Request<ListDeliveriesRequest>) -> Reply<ListDeliveriesResponse> {
        let application = caller::application(&request)?.id;
        Ok(Response::new(self.deliveries(application, request.get_ref()).await?))
    }

    async fn get_delivery(&self, request: Request<GetDeliveryRequest>) -> Reply<GetDeliveryResponse> {
        let application = caller::application(&request)?.id;
        let delivery = Some(self.get_delivery(application, request.get_ref()).await?);
        Ok(Response::new(GetDeliveryResponse { delivery }))
    }

    async fn redeliver(&self, request: Request<RedeliverRequest>) -> Reply<RedeliverResponse> {
        let application = caller::application(&request)?.id;
        Ok(Response::new(self.redeliver(application, request.get_ref()).await?))
    }
}
