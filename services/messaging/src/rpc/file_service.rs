//! `FileService`.

use std::time::Duration;

use outeract_domain::FileId;
use outeract_proto::messaging::v1::file_service_server::FileService;
use outeract_proto::messaging::v1::{
    DeleteFileRequest, DeleteFileResponse, DownloadFileRequest, GetFileRequest, GetFileResponse, ListFilesRequest,
    ListFilesResponse, UploadFileRequest, UploadFileResponse,
};
use outeract_rpc::{Fault, Reply};
use outeract_runtime::Context;
use tonic::{Request, Streaming};

use super::{delete_file, download_file, get_file, list_files, upload_file};
use crate::files;

/// What applications call for their files.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "the room of that name")]
pub(crate) struct Files {
    pub context: Context,
    pub files: files::Files,
    /// An upload that brings no byte so long is broken off.
    pub stall: Duration,
}

#[tonic::async_trait]
impl FileService for Files {
    type DownloadFileStream = download_file::Parts;

    async fn upload_file(&self, request: Request<Streaming<UploadFileRequest>>) -> Reply<UploadFileResponse> {
        upload_file::upload_file(self, request).await
    }

    async fn get_file(&self, request: Request<GetFileRequest>) -> Reply<GetFileResponse> {
        get_file::get_file(self, request).await
    }

    async fn list_files(&self, request: Request<ListFilesRequest>) -> Reply<ListFilesResponse> {
        list_files::list_files(self, request).await
    }

    async fn download_file(&self, request: Request<DownloadFileRequest>) -> Reply<Self::DownloadFileStream> {
        download_file::download_file(self, request).await
    }

    async fn delete_file(&self, request: Request<DeleteFileRequest>) -> Reply<DeleteFileResponse> {
        delete_file::delete_file(self, request).await
    }
}

/// The id in a request.
pub(super) fn file_id(id: &str) -> Result<FileId, Fault> {
    id.parse().map_err(|error| Fault::invalid("id", format!("is {error}")))
}
