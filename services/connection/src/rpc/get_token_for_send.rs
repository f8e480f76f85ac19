use outeract_domain::ConnectionId;
use outeract_proto::connection::internal::v1::{GetTokenForSendRequest, GetTokenForSendResponse};
use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{Fault, Reply};
use tonic::{Request, Response};

use crate::desk::Desk;
use crate::store::connection;
use crate::{convert, fault, sealed};

pub(super) async fn get_token_for_send(
    desk: &Desk,
    request: Request<GetTokenForSendRequest>,
) -> Reply<GetTokenForSendResponse> {
    let id = ConnectionId::from_slice(&request.get_ref().connection_id)
        .ok_or_else(|| Fault::invalid("connection_id", "must be 16 bytes"))?;
    let found = connection::grant(&desk.db, id).await.map_err(fault::database)?;
    let grant = found.ok_or_else(|| Fault::not_found("connection"))?;
    let state = convert::state(grant.state)?;
    if state != ConnectionState::Active {
        let fault = Fault::precondition(ErrorReason::ConnectionNotActive, "the connection cannot send now");
        return Err(fault.with("state", convert::state_name(state)).into());
    }
    let token = sealed::open_token(&desk.ring, grant.application, grant.id, &grant.token_sealed)?;
    Ok(Response::new(GetTokenForSendResponse {
        appsecret_proof: desk.meta.proof(&token),
        token: token.expose().clone(),
        token_version: grant.token_version,
    }))
}
