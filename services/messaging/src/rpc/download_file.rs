//! `DownloadFile`: the file, then its bytes as they come from the store.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use outeract_proto::messaging::v1::download_file_response::Part;
use outeract_proto::messaging::v1::{DownloadFileRequest, DownloadFileResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response, Status};

use super::file_service::{Files, file_id};
use crate::files::{File, StoreError};

/// The parts of a download.
pub(crate) struct Parts {
    /// What comes first.
    file: Option<File>,
    bytes: BoxStream<'static, Result<Bytes, StoreError>>,
    /// What the store gave and is not sent yet.
    rest: Bytes,
    /// Bytes that are to come yet.
    left: u64,
}

/// Bytes of one message.
const CHUNK: usize = 64 << 10;

pub(super) async fn download_file(service: &Files, request: Request<DownloadFileRequest>) -> Reply<Parts> {
    let application = caller::application(&request)?.id;
    let id = file_id(&request.get_ref().id)?;
    let (file, bytes) = service.files.open(application, id).await?;
    Ok(Response::new(Parts {
        left: u64::try_from(file.size_bytes).unwrap_or(0),
        file: Some(file),
        bytes,
        rest: Bytes::new(),
    }))
}

// === impl Parts ===

impl Parts {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        while self.rest.is_empty() {
            match ready!(self.bytes.poll_next_unpin(cx)) {
                Some(Ok(bytes)) => self.rest = bytes,
                Some(Err(cause)) => return Poll::Ready(Some(Err(cause.into()))),
                None if self.left == 0 => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(Fault::data_loss("the store has fewer bytes of a file")))),
            }
        }
        let chunk = self.rest.split_to(self.rest.len().min(CHUNK));
        match self.left.checked_sub(chunk.len() as u64) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Some(Err(Fault::data_loss("the store has more bytes of a file")))),
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

impl Stream for Parts {
    type Item = Result<DownloadFileResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let part = match self.file.take() {
            Some(file) => Ok(Part::File(file.to_proto())),
            None => match ready!(self.poll_bytes(cx)) {
                Some(Ok(chunk)) => Ok(Part::Chunk(chunk.to_vec())),
                Some(Err(fault)) => Err(fault.into()),
                None => return Poll::Ready(None),
            },
        };
        Poll::Ready(Some(part.map(|part| DownloadFileResponse { part: Some(part) })))
    }
}
