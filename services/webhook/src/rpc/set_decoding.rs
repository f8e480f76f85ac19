use outeract_postgres::run_tx;
use outeract_proto::webhook::admin::v1::{SetDecodingRequest, SetDecodingResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::{Rpc, fault};
use crate::store::{audit, setting};

/// Characters of a reason.
const MAX_WHY: usize = 200;

pub(super) async fn set_decoding(rpc: &Rpc, request: Request<SetDecodingRequest>) -> Reply<SetDecodingResponse> {
    let operator = caller::operator(&request)?.key;
    let SetDecodingRequest { paused, why } = request.into_inner();
    let said = why.len() <= 4 * MAX_WHY && (1..=MAX_WHY).contains(&why.trim().chars().count());
    if !said {
        return Err(Fault::invalid(
            "why",
            format!("must be 1 to {MAX_WHY} characters and not only white space"),
        )
        .into());
    }
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
