use outeract_proto::connection::v1::{GetConnectionRequest, GetConnectionResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use crate::desk::Desk;
use crate::fault;
use crate::fields::{self, Fields};
use crate::store::connection;

pub(super) async fn get_connection(
    desk: &Desk,
    request: Request<GetConnectionRequest>,
) -> Reply<GetConnectionResponse> {
    let application = caller::application(&request)?.id;
    let mut fields = Fields::default();
    let Some(id) = fields.parsed("id", &request.get_ref().id, fields::CONNECTION_ID) else {
        return Err(fields.fault().into());
    };
    let found = connection::get(&desk.db, application, id)
        .await
        .map_err(fault::database)?;
    let row = found.ok_or_else(|| Fault::not_found("connection"))?;
    Ok(Response::new(GetConnectionResponse {
        connection: desk.shown(vec![row]).await?.pop(),
    }))
}
