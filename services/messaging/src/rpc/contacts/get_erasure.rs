//! `GetErasure`.

use outeract_domain::ErasureId;
use outeract_proto::messaging::v1::{GetErasureRequest, GetErasureResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::Contacts;

pub(super) async fn get_erasure(service: &Contacts, request: Request<GetErasureRequest>) -> Reply<GetErasureResponse> {
    let application = caller::application(&request)?.id;
    let id: ErasureId = request
        .into_inner()
        .id
        .parse()
        .map_err(|error| Fault::invalid("id", format!("is {error}")))?;
    let erasure = service.erasure(application, id.uuid()).await?;
    Ok(Response::new(GetErasureResponse { erasure: Some(erasure) }))
}
