//! `DeleteFile`.

use outeract_proto::messaging::v1::{DeleteFileRequest, DeleteFileResponse};
use outeract_rpc::{Reply, caller};
use tonic::{Request, Response};

use super::file_service::{Files, file_id};

pub(super) async fn delete_file(service: &Files, request: Request<DeleteFileRequest>) -> Reply<DeleteFileResponse> {
    let application = caller::application(&request)?.id;
    let id = file_id(&request.get_ref().id)?;
    service.files.delete(application, id).await?;
    Ok(Response::new(DeleteFileResponse {}))
}
