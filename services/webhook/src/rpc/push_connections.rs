use outeract_proto::webhook::internal::v1::{PushConnectionsRequest, PushConnectionsResponse};
use outeract_rpc::{Fault, Reply};
use tonic::{Request, Response};

use super::{Rpc, fault};
use crate::projection::Snapshot;

/// Snapshots of one call.
const MAX: usize = 1_000;

pub(super) async fn push_connections(
    rpc: &Rpc,
    request: Request<PushConnectionsRequest>,
) -> Reply<PushConnectionsResponse> {
    let pushed = request.into_inner().connections;
    if pushed.len() > MAX {
        return Err(Fault::invalid("connections", format!("must be at most {MAX}")).into());
    }
    let check =
        |(index, raw)| Snapshot::check(raw).map_err(|violation| violation.within(&format!("connections[{index}]")));
    let snapshots: Result<Vec<_>, _> = pushed.into_iter().enumerate().map(check).collect();
    rpc.projection
        .take(snapshots.map_err(Fault::from)?)
        .await
        .map_err(fault)?;
    Ok(Response::new(PushConnectionsResponse {}))
}
