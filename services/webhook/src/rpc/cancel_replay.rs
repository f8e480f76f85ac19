use outeract_postgres::run_tx;
use outeract_proto::webhook::admin::v1::{CancelReplayRequest, CancelReplayResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::replay::{id, to_proto};
use super::{Rpc, check_why, fault};
use crate::store::{audit, replay};

pub(super) async fn cancel_replay(rpc: &Rpc, request: Request<CancelReplayRequest>) -> Reply<CancelReplayResponse> {
    let operator = caller::operator(&request)?.key;
    let CancelReplayRequest { id: text, why } = request.into_inner();
    let id = id(&text)?;
    check_why(&why)?;
    let audit_id = rpc.audit_id();
    let ended = run_tx(&rpc.db, "replay.cancel", async move |connection| {
        replay::end(&mut *connection, id.uuid(), replay::CANCELED).await?;
        audit::write(&mut *connection, audit_id, operator, "CancelReplay", &text, &why).await?;
        replay::get(connection, id.uuid()).await
    });
    let replay = ended.await.map_err(fault)?.ok_or_else(|| Fault::not_found("replay"))?;
    Ok(Response::new(CancelReplayResponse {
        replay: Some(to_proto(replay)),
    }))
}
