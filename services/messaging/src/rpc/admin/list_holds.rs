//! `ListHolds`.

use outeract_domain::KeyId;
use outeract_events::timestamp;
use outeract_proto::messaging::admin::v1::{Hold, ListHoldsResponse};
use outeract_rpc::{Fault, Reply};
use tonic::Response;

use super::{Admin, target};
use crate::store::{hold as store, run};

pub(super) async fn list_holds(admin: &Admin) -> Reply<ListHoldsResponse> {
    let db = &admin.context.db;
    let rows = run!(db, "hold.all", |conn| store::all(conn)).map_err(Fault::from)?;
    let holds = rows.into_iter().map(|row| {
        Ok(Hold {
            target: Some(target(row.scope, &row.key)?),
            reason: row.reason,
            placed_by: KeyId::from_uuid(row.operator).to_string(),
            create_time: Some(timestamp::to_proto(row.at)),
        })
    });
    Ok(Response::new(ListHoldsResponse {
        holds: holds.collect::<Result<_, Fault>>()?,
    }))
}
