//! `ReleaseHold`.

use outeract_proto::messaging::admin::v1::{ReleaseHoldRequest, ReleaseHoldResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::{Admin, Order};
use crate::store::hold::{self as store, Deed};
use crate::store::run;

pub(super) async fn release_hold(admin: &Admin, request: Request<ReleaseHoldRequest>) -> Reply<ReleaseHoldResponse> {
    let operator = caller::operator(&request)?.key;
    let ReleaseHoldRequest { target, reason } = request.into_inner();
    let order = Order::check(target, reason).map_err(Fault::invalid_many)?;
    let deed = Deed {
        id: admin.line(),
        operator: operator.uuid(),
        action: "ReleaseHold",
        target: &order.name,
        reason: &order.reason,
    };
    let db = &admin.context.db;
    let released = run!(db, "hold.release", |conn| store::release(conn, &order.target, &deed)).map_err(Fault::from)?;
    if !released {
        return Err(Fault::not_found("hold").into());
    }
    admin.refresh().await;
    tracing::info!(target = %order.name, operator.key = %operator, "An operator released {}", order.name);
    Ok(Response::new(ReleaseHoldResponse {}))
}
