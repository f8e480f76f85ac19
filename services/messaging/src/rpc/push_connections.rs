//! `PushConnections`.

use outeract_proto::messaging::internal::v1::{PushConnectionsRequest, PushConnectionsResponse};
use outeract_rpc::{Fault, Reply};
use tonic::{Request, Response};

use super::{Internal, bounded};
use crate::projection::TakeOverError;

pub(super) async fn push_connections(
    service: &Internal,
    request: Request<PushConnectionsRequest>,
) -> Reply<PushConnectionsResponse> {
    let connections = request.into_inner().connections;
    bounded(&connections, "connections")?;
    service
        .projection
        .take_over(connections)
        .await
        .map_err(|error| match error {
            TakeOverError::Malformed(path) => Fault::invalid(path, "is malformed"),
            TakeOverError::Database(cause) => cause.into(),
        })?;
    Ok(Response::new(PushConnectionsResponse {}))
}
