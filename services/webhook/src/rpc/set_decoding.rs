use outeract_postgres::run_tx;
use outeract_proto::webhook::admin::v1::{SetDecodingRequest, SetDecodingResponse};
use outeract_rpc::{Reply, caller};
use tonic::{Request, Response};

use super::{Rpc, check_why, fault};
use crate::store::{audit, setting};

pub(super) async fn set_decoding(rpc: &Rpc, request: Request<SetDecodingRequest>) -> Reply<SetDecodingResponse> {
    let operator = caller::operator(&request)?.key;
    let SetDecodingRequest { paused, why } = request.into_inner();
    check_why(&why)?;
    let id = rpc.audit_id();
    run_tx(&rpc.db, "setting.decoding", async move |connection| {
        setting::set_decoding(&mut *connection, paused, &why, operator).await?;
        audit::write(connection, id, operator, "SetDecoding", verb(paused), &why).await
    })
    .await
    .map_err(fault)?;
    rpc.board.set_paused(paused);
    tracing::info!(paused, operator.key = %operator, "An operator switched decoding: {}", verb(paused));
    Ok(Response::new(SetDecodingResponse {}))
}

const fn verb(paused: bool) -> &'static str {
    if paused { "stop" } else { "resume" }
}
