//! Calls whose request streams in: they have more time than others, and not for ever.

use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use outeract_clock::{Clock as _, SystemClock};
use outeract_domain::ApplicationId;
use outeract_proto::messaging::v1::file_service_client::FileServiceClient;
use outeract_proto::messaging::v1::file_service_server::FileService;
use outeract_proto::messaging::v1::upload_file_request::Part;
use outeract_proto::messaging::v1::{
    DeleteFileRequest, DeleteFileResponse, DownloadFileRequest, DownloadFileResponse, File, GetFileRequest,
    GetFileResponse, ListFilesRequest, ListFilesResponse, UploadFileRequest, UploadFileResponse,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{Limits, Reply, Verdict, caller, deadline, reason};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::harness::{Fixture, Small, applications, limits, with_key};

type Nothing = tokio_stream::Empty<Result<DownloadFileResponse, Status>>;

#[tonic::async_trait]
impl FileService for Small {
    type DownloadFileStream = Nothing;

    /// Counts the bytes; the reason says how many milliseconds the call had when it began.
    async fn upload_file(&self, request: Request<Streaming<UploadFileRequest>>) -> Reply<UploadFileResponse> {
        let deadline = caller::call(&request)?.deadline().unwrap();
        let mut file = File {
            reason: deadline.remaining().as_millis().to_string(),
            ..File::default()
        };
        let mut parts = request.into_inner();
        while let Some(part) = parts.message().await? {
            if let Some(Part::Chunk(bytes)) = part.part {
                file.size_bytes += bytes.len() as i64;
            }
        }
        Ok(Response::new(UploadFileResponse { file: Some(file) }))
    }

    async fn get_file(&self, _: Request<GetFileRequest>) -> Reply<GetFileResponse> {
        Err(Status::unimplemented("not asked"))
    }

    async fn list_files(&self, _: Request<ListFilesRequest>) -> Reply<ListFilesResponse> {
        Err(Status::unimplemented("not asked"))
    }

    async fn download_file(&self, _: Request<DownloadFileRequest>) -> Reply<Nothing> {
        Err(Status::unimplemented("not asked"))
    }

    async fn delete_file(&self, _: Request<DeleteFileRequest>) -> Reply<DeleteFileResponse> {
        Err(Status::unimplemented("not asked"))
    }
}

fn chunk(bytes: usize) -> UploadFileRequest {
    UploadFileRequest {
        part: Some(Part::Chunk(vec![7; bytes])),
    }
}

async fn upload(
    fixture: &Fixture,
    key: &str,
    parts: impl Stream<Item = UploadFileRequest> + Send + 'static,
    timeout: Option<Duration>,
) -> Result<File, Status> {
    let mut request = with_key(parts, key);
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    let mut client = FileServiceClient::new(fixture.channel().await);
    Ok(client.upload_file(request).await?.into_inner().file.unwrap())
}

#[tokio::test]
async fn a_request_that_streams_in_has_minutes_and_may_be_larger_than_others() {
    let fixture = applications(limits()).await;
    let (key, _) = fixture.keys.application(&["events:write"]);
    let hour = Duration::from_hours(1);
    for (timeout, granted) in [
        (None, deadline::STREAM),
        (Some(hour), deadline::STREAM),
        (Some(Duration::from_secs(90)), Duration::from_secs(90)),
    ] {
        // Three times what a request without a stream may have.
        let parts = tokio_stream::iter((0..48).map(|_| chunk(64 << 10)));
        let file = upload(&fixture, &key, parts, timeout).await.unwrap();
        assert_eq!(file.size_bytes, 48 * (64 << 10));
        let had = Duration::from_millis(file.reason.parse().unwrap());
        assert!(
            had <= granted && had + Duration::from_secs(20) > granted,
            "{had:?} of {granted:?}"
        );
    }
}

#[tokio::test]
async fn a_request_that_streams_in_ends_by_its_deadline() {
    let fixture = applications(limits()).await;
    let (key, _) = fixture.keys.application(&["events:write"]);
    // Over plain HTTP/2: tonic's client would end the call by itself.
    let never = tokio_stream::pending::<Result<http_body::Frame<tonic::codegen::Bytes>, std::convert::Infallible>>();
    let request = http::Request::post(format!(
        "{}/outeract.messaging.v1.FileService/UploadFile",
        fixture.url()
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .header("authorization", format!("Bearer {key}"))
    .header("grpc-timeout", "300m")
    .body(http_body_util::StreamBody::new(never))
    .unwrap();
    let stream = tokio::net::TcpStream::connect(fixture.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.unwrap();
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::DeadlineExceeded, Some(ErrorReason::DeadlineExceeded))
    );
}

#[tokio::test]
async fn a_request_that_streams_in_ends_when_its_key_stops_counting() {
    let fixture = applications(Limits {
        stream_check: Duration::from_millis(50),
        ..limits()
    })
    .await;
    let (key, _) = fixture.keys.add(
        "live",
        Verdict::Application {
            application: ApplicationId::from_uuid(Uuid::from_u128(7)),
            scopes: Arc::new(["*".to_owned()]),
            expires: Some(SystemClock.now() + Duration::from_millis(500)),
        },
    );
    let (open, parts) = mpsc::channel(1);
    let (ended, sent) = tokio::join!(
        upload(&fixture, &key, ReceiverStream::new(parts), None),
        open.send(chunk(10))
    );
    sent.unwrap();
    let status = ended.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unauthenticated, Some(ErrorReason::KeyExpired))
    );
}

#[tokio::test]
async fn an_old_connection_and_a_drain_let_a_request_that_streams_in_finish() {
    let fixture = applications(Limits {
        connection_age: Duration::from_millis(200),
        connection_grace: Duration::from_millis(200),
        ..limits()
    })
    .await;
    let (key, _) = fixture.keys.application(&["events:write"]);
    let (open, parts) = mpsc::channel(1);
    let mut client = FileServiceClient::new(fixture.channel().await);
    let mut calls = JoinSet::new();
    let request = with_key(ReceiverStream::new(parts), &key);
    calls.spawn(async move { client.upload_file(request).await });
    open.send(chunk(10)).await.unwrap();
    // Well past both.
    tokio::time::sleep(Duration::from_secs(1)).await;
    open.send(chunk(10)).await.unwrap();
    fixture.drain.cancel();
    tokio::time::sleep(Duration::from_millis(300)).await;
    open.send(chunk(10)).await.unwrap();
    drop(open);
    let answer = calls.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(answer.into_inner().file.unwrap().size_bytes, 30);
    let mut fixture = fixture;
    assert!(fixture.ended_within(Duration::from_secs(5)).await);
}
