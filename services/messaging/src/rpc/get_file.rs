//! `GetFile`.

use outeract_proto::messaging::v1::{GetFileRequest, GetFileResponse};
use outeract_rpc::{Reply, caller};
use tonic::{Request, Response};

use super::file_service::{Files, file_id};

pub(super) async fn get_file(service: &Files, request: Request<GetFileRequest>) -> Reply<GetFileResponse> {
    let application = caller::application(&request)?.id;
    let id = file_id(&request.get_ref().id)?;
    let file = service.files.get(application, id).await?;
    Ok(Response::new(GetFileResponse {
        file: Some(file.to_proto()),
    }))
}
