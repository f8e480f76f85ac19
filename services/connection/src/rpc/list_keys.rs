use outeract_proto::connection::admin::v1::{ListKeysRequest, ListKeysResponse};
use outeract_rpc::{Fault, Reply};
use tonic::{Request, Response};

use crate::desk::Desk;
use crate::fields::{self, Fields};
use crate::store::{application, key};
use crate::{convert, fault};

const MOST: i64 = 1_000;

pub(super) async fn list_keys(desk: &Desk, request: Request<ListKeysRequest>) -> Reply<ListKeysResponse> {
    let mut fields = Fields::default();
    let id = &request.get_ref().application_id;
    let Some(application) = fields.parsed("application_id", id, fields::APPLICATION_ID) else {
        return Err(fields.fault().into());
    };
    let keys = key::list(&desk.db, application, MOST).await.map_err(fault::database)?;
    if keys.is_empty() {
        let found = application::get(&desk.db, application).await.map_err(fault::database)?;
        found.ok_or_else(|| Fault::not_found("application"))?;
    }
    Ok(Response::new(ListKeysResponse {
        keys: keys.into_iter().map(convert::key).collect(),
    }))
}
