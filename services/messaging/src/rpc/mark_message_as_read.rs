//! `MarkMessageAsRead`.

use std::sync::Arc;

use outeract_domain::{ConnectionId, Wamid};
use outeract_proto::messaging::v1::{MarkMessageAsReadRequest, MarkMessageAsReadResponse};
use outeract_rpc::{Fault, Reply, Violation, caller};
use tonic::{Request, Response};

use super::{Messaging, reading};

pub(super) async fn mark_message_as_read(
    service: &Messaging,
    request: Request<MarkMessageAsReadRequest>,
) -> Reply<MarkMessageAsReadResponse> {
    let application = caller::application(&request)?.id;
    let call = Arc::clone(caller::call(&request)?);
    let (connection, wamid) = check(request.into_inner()).map_err(Fault::invalid_many)?;
    let connection = reading::connection(service, application, connection).await?;
    // From here on the call waits for Meta; such calls are bounded elsewhere.
    call.leave_limit();
    reading::read(service, &connection, &wamid, false).await?;
    Ok(Response::new(MarkMessageAsReadResponse { success: true }))
}

/// Every broken limit at once.
fn check(request: MarkMessageAsReadRequest) -> Result<(ConnectionId, Wamid), Vec<Violation>> {
    let connection = request
        .connection_id
        .parse()
        .map_err(|error| Violation::new("connection_id", format!("is {error}")));
    let wamid = reading::wamid(request.external_message_id)
        .ok_or_else(|| Violation::new("external_message_id", reading::WAMID));
    match (connection, wamid) {
        (Ok(connection), Ok(wamid)) => Ok((connection, wamid)),
        (connection, wamid) => Err([connection.err(), wamid.err()].into_iter().flatten().collect()),
    }
}
