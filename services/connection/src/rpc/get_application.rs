use outeract_proto::connection::v1::{GetApplicationRequest, GetApplicationResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use crate::desk::Desk;
use crate::store::application;
use crate::{convert, fault};

pub(super) async fn get_application(
    desk: &Desk,
    request: Request<GetApplicationRequest>,
) -> Reply<GetApplicationResponse> {
    let caller = caller::application(&request)?;
    let found = application::get(&desk.db, caller.id).await.map_err(fault::database)?;
    let application = found.ok_or_else(|| Fault::not_found("application"))?;
    Ok(Response::new(GetApplicationResponse {
        application: Some(convert::application(application)),
        key_id: caller.key.to_string(),
        scopes: caller.scopes.to_vec(),
    }))
}
