use std::sync::Arc;

use outeract_domain::KeyId;
use outeract_proto::connection::admin::v1::{CreateOperatorKeyRequest, CreateOperatorKeyResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use crate::convert;
use crate::desk::Desk;
use crate::fields::Fields;
use crate::operator_key::OperatorKey;

pub(super) async fn create_operator_key(
    desk: &Desk,
    request: Request<CreateOperatorKeyRequest>,
) -> Reply<CreateOperatorKeyResponse> {
    let actor = caller::operator(&request)?.key.to_string();
    let request = request.into_inner();
    let mut fields = Fields::default();
    let name = fields.name("name", request.name);
    let expires_at = fields.expiry("expire_time", request.expire_time.as_ref(), desk.clock.now());
    let Some(name) = name.filter(|_| fields.are_valid()) else {
        return Err(fields.fault().into());
    };
    let id = KeyId::new(&*desk.clock, &*desk.random);
    let (key, secret) = OperatorKey::generate(id, name, expires_at, actor, Arc::clone(&desk.random));
    let stored = key.store(&desk.db).await?;
    let stored = stored.ok_or_else(|| Fault::internal("a new id was known"))?;
    Ok(Response::new(CreateOperatorKeyResponse {
        key: Some(convert::key(stored)),
        secret,
    }))
}
