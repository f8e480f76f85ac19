//! `ApplyItems`.

use outeract_proto::messaging::internal::v1::{ApplyItemsRequest, ApplyItemsResponse};
use outeract_rpc::Reply;
use tonic::{Request, Response};

use super::{Internal, bounded};

pub(super) async fn apply_items(service: &Internal, request: Request<ApplyItemsRequest>) -> Reply<ApplyItemsResponse> {
    let items = request.into_inner().items;
    bounded(&items, "items")?;
    let results = service.applier.apply(items).await?;
    Ok(Response::new(ApplyItemsResponse { results }))
}
