use std::time::Duration;

use outeract_domain::ReplayId;
use outeract_postgres::run_tx;
use outeract_proto::webhook::admin::v1::{StartReplayRequest, StartReplayResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::replay::{check, to_proto};
use super::{Rpc, check_why, fault};
use crate::store::{audit, replay};

/// Replays that run or wait for their turn.
const MOST: i64 = 100;
/// When to come back while there are too many: somebody has to end some.
const FULL: Duration = Duration::from_mins(1);

pub(super) async fn start_replay(rpc: &Rpc, request: Request<StartReplayRequest>) -> Reply<StartReplayResponse> {
    let operator = caller::operator(&request)?.key;
    let StartReplayRequest { selection, why } = request.into_inner();
    let selection = check(selection)?;
    check_why(&why)?;
    let id = ReplayId::new(&*rpc.clock, &*rpc.random);
    let (audit_id, subject) = (rpc.audit_id(), id.to_string());
    let started = run_tx(&rpc.db, "replay.start", async move |connection| {
        if !replay::insert(&mut *connection, id.uuid(), operator.uuid(), &why, &selection, MOST).await? {
            return Ok(None);
        }
        audit::write(&mut *connection, audit_id, operator, "StartReplay", &subject, &why).await?;
        replay::get(connection, id.uuid()).await
    });
    let started = started.await.map_err(fault)?;
    let replay = started.ok_or_else(|| Fault::overloaded(FULL))?;
    tracing::info!(replay = %id, operator.key = %operator, "An operator started a replay");
    Ok(Response::new(StartReplayResponse {
        replay: Some(to_proto(replay)),
    }))
}
