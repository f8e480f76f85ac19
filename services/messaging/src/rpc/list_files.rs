//! `ListFiles`.

use outeract_proto::messaging::v1::{ListFilesRequest, ListFilesResponse};
use outeract_rpc::{Fault, Reply, caller, page};
use tonic::{Request, Response};
use uuid::Uuid;

use super::file_service::Files;

const DEFAULT_SIZE: i32 = 100;
const MAX_SIZE: i32 = 1_000;

pub(super) async fn list_files(service: &Files, request: Request<ListFilesRequest>) -> Reply<ListFilesResponse> {
    let application = caller::application(&request)?.id;
    let request = request.into_inner();
    let size = page::size_within(request.page_size, DEFAULT_SIZE, MAX_SIZE)?;
    let (tokens, id) = (&service.context.page_tokens, application.uuid());
    let list = [&b"files"[..], id.as_bytes()];
    let before = tokens.decode(&list, &request.page_token)?;
    let before = before
        .map(|position| Uuid::from_slice(&position).map_err(Fault::internal))
        .transpose()?;
    // One more than the page tells whether there is a next one.
    let mut files = service.files.list(application, before, size + 1).await?;
    let more = files.len() as i64 > size;
    files.truncate(size as usize);
    let oldest = files.last().filter(|_| more);
    let next_page_token = oldest.map_or_else(String::new, |oldest| tokens.encode(&list, oldest.id.uuid().as_bytes()));
    Ok(Response::new(ListFilesResponse {
        files: files.iter().map(crate::files::File::to_proto).collect(),
        next_page_token,
    }))
}
