//! `PlaceHold`.

use outeract_events::timestamp;
use outeract_proto::messaging::admin::v1::{Hold, PlaceHoldRequest, PlaceHoldResponse};
use outeract_rpc::{Fault, Reply, caller};
use std::time::Duration;
use tonic::{Request, Response};

use super::{Admin, Order};
use crate::store::hold::{self as store, Deed};
use crate::store::run;

/// When to come back while there are too many: somebody has to release some.
const FULL: Duration = Duration::from_mins(1);

pub(super) async fn place_hold(admin: &Admin, request: Request<PlaceHoldRequest>) -> Reply<PlaceHoldResponse> {
    let operator = caller::operator(&request)?.key;
    let PlaceHoldRequest { target, reason } = request.into_inner();
    let order = Order::check(target.clone(), reason).map_err(Fault::invalid_many)?;
    let db = &admin.context.db;
    if !run!(db, "hold.exists", |conn| store::exists(conn, &order.target)).map_err(Fault::from)? {
        return Err(Fault::not_found("what is to be held").into());
    }
    let deed = Deed {
        id: admin.line(),
        operator: operator.uuid(),
        action: "PlaceHold",
        target: &order.name,
        reason: &order.reason,
    };
    let placed = run!(db, "hold.place", |conn| store::place(conn, &order.target, &deed)).map_err(Fault::from)?;
    let at = placed.ok_or_else(|| Fault::overloaded(FULL))?;
    admin.refresh().await;
    tracing::info!(target = %order.name, operator.key = %operator, "An operator held {} back", order.name);
    Ok(Response::new(PlaceHoldResponse {
        hold: Some(Hold {
            target,
            reason: order.reason,
            placed_by: operator.to_string(),
            create_time: Some(timestamp::to_proto(at)),
        }),
    }))
}
