use outeract_proto::webhook::admin::v1::{GetReplayRequest, GetReplayResponse};
use outeract_rpc::{Fault, Reply};
use tonic::{Request, Response};

use super::replay::{id, to_proto};
use super::{Rpc, fault};
use crate::store::replay;

pub(super) async fn get_replay(rpc: &Rpc, request: Request<GetReplayRequest>) -> Reply<GetReplayResponse> {
    let id = id(&request.into_inner().id)?;
    let mut connection = rpc.db.acquire().await.map_err(fault)?;
    let found = replay::get(&mut connection, id.uuid()).await.map_err(fault)?;
    let replay = found.ok_or_else(|| Fault::not_found("replay"))?;
    Ok(Response::new(GetReplayResponse {
        replay: Some(to_proto(replay)),
    }))
}
