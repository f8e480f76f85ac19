use std::time::Duration;

use outeract_proto::messaging::v1::GetMessageRequest;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use tonic::client::Grpc;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Fixture, applications, limits, send, with_key};

async fn failure(fixture: &Fixture, what: &str) -> Status {
    let (key, _) = fixture.keys.application(&["*"]);
    fixture
        .messaging()
        .await
        .send_message(with_key(send(what), &key))
        .await
        .unwrap_err()
}

fn told(status: &Status) -> (Code, Option<ErrorReason>) {
    (status.code(), reason(status))
}

#[tokio::test]
async fn faults_of_ours_carry_a_trace_id_and_no_text() {
    let fixture = applications(limits()).await;
    for what in ["panic", "internal", "bare"] {
        let status = failure(&fixture, what).await;
        assert_eq!(told(&status), (Code::Internal, Some(ErrorReason::Internal)), "{what}");
        assert_eq!(status.message(), "internal error", "{what}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata["trace_id"].len(), 32, "{what}");
        assert!(!format!("{status:?}").contains("hunter2"), "{what}");
    }
    // The process goes on.
    let (key, _) = fixture.keys.application(&["*"]);
    fixture
        .messaging()
        .await
        .send_message(with_key(send("hello"), &key))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_trace_id_is_the_callers() {
    let fixture = applications(limits()).await;
    let (key, _) = fixture.keys.application(&["*"]);
    let mut request = with_key(send("internal"), &key);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    let status = fixture.messaging().await.send_message(request).await.unwrap_err();
    assert_eq!(
        status.get_details_error_info().unwrap().metadata["trace_id"],
        "4bf92f3577b34da6a3ce929d0e0e4736"
    );
}

#[tokio::test]
async fn field_faults_name_their_path() {
    let fixture = applications(limits()).await;
    let status = failure(&fixture, "invalid").await;
    assert_eq!(told(&status), (Code::InvalidArgument, Some(ErrorReason::InvalidField)));
    assert_eq!(
        status.get_details_bad_request().unwrap().field_violations[0].field,
        "to_external_id"
    );
}

/// Calls with any bytes as the message.
async fn raw(fixture: &Fixture, path: &'static str, message: &[u8], encoding: Option<&'static str>) -> Status {
    let (key, _) = fixture.keys.application(&["*"]);
    let mut request = with_key(tonic::codegen::Bytes::copy_from_slice(message), &key);
    if let Some(encoding) = encoding {
        request
            .metadata_mut()
            .insert("grpc-encoding", encoding.parse().unwrap());
    }
    let mut client = Grpc::new(fixture.channel().await);
    client.ready().await.unwrap();
    client.unary(request, path.parse().unwrap(), Raw).await.unwrap_err()
}

const SEND: &str = "/outeract.messaging.v1.MessagingService/SendMessage";

#[tokio::test]
async fn errors_that_tonic_makes_get_a_reason_too() {
    let fixture = applications(limits()).await;
    let unknown = (Code::Unimplemented, Some(ErrorReason::MethodUnknown));
    assert_eq!(
        told(&raw(&fixture, "/outeract.messaging.v1.MessagingService/Nothing", b"", None).await),
        unknown
    );
    // Known to the contract, allowed to the key, and not served here.
    assert_eq!(
        told(&raw(&fixture, "/outeract.webhook.v1.WebhookService/ListItems", b"", None).await),
        unknown
    );
    // Field 1 with a length that the message does not have.
    assert_eq!(
        told(&raw(&fixture, SEND, &[0x0a, 0x7f, 0x61], None).await),
        (Code::InvalidArgument, Some(ErrorReason::RequestMalformed))
    );
    assert_eq!(
        told(&raw(&fixture, SEND, b"", Some("gzip")).await),
        (Code::Unimplemented, Some(ErrorReason::RequestMalformed))
    );
}

#[tokio::test]
async fn messages_have_a_largest_size_in_both_directions() {
    let fixture = applications(limits()).await;
    let (key, _) = fixture.keys.application(&["*"]);
    let mut messaging = fixture.messaging().await.max_decoding_message_size(usize::MAX);
    let mut large = send("hello");
    large.to_external_id = "1".repeat(1_024 * 1_024 - 64);
    messaging.send_message(with_key(large.clone(), &key)).await.unwrap();
    large.to_external_id.push_str(&"1".repeat(64));
    let status = messaging.send_message(with_key(large, &key)).await.unwrap_err();
    assert_eq!(told(&status), (Code::OutOfRange, Some(ErrorReason::MessageTooLarge)));
    assert_eq!(
        status.get_details_error_info().unwrap().metadata["max_bytes"],
        "1048576"
    );
    let status = messaging.send_message(with_key(send("large"), &key)).await.unwrap_err();
    assert_eq!(told(&status), (Code::Internal, Some(ErrorReason::Internal)));
}

#[tokio::test]
async fn the_deadline_is_answered_granted_and_capped() {
    let fixture = applications(limits()).await;
    let (key, _) = fixture.keys.application(&["*"]);
    let mut messaging = fixture.messaging().await;
    // In the header only: tonic's client would end the call by itself.
    let timed = |what: &str, timeout: &str| {
        let mut request = with_key(send(what), &key);
        request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
        request
    };
    let mut remaining = async |timeout: Option<&str>| {
        let request = timeout.map_or_else(
            || with_key(send("remaining"), &key),
            |timeout| timed("remaining", timeout),
        );
        let answer = messaging.send_message(request).await.unwrap().into_inner();
        Duration::from_millis(answer.id.parse().unwrap())
    };
    let within = |time: Duration, most: u64| time <= Duration::from_secs(most) && time > Duration::from_secs(most - 2);
    assert!(within(remaining(None).await, 10));
    assert!(within(remaining(Some("4S")).await, 4));
    assert!(within(remaining(Some("1H")).await, 60));
    let status = raw_timeout(&fixture, &key, "soon").await;
    assert_eq!(
        told(&status),
        (Code::InvalidArgument, Some(ErrorReason::RequestMalformed))
    );
    let status = raw_timeout(&fixture, &key, "50m").await;
    assert_eq!(
        told(&status),
        (Code::DeadlineExceeded, Some(ErrorReason::DeadlineExceeded))
    );
}

/// A waiting call whose `grpc-timeout` the client itself does not heed: it reads only the first of two.
async fn raw_timeout(fixture: &Fixture, key: &str, timeout: &str) -> Status {
    let body = b"\x00\x00\x00\x00\x06\x0a\x04wait".to_vec();
    let request = http::Request::post(format!("{}{SEND}", fixture.url()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {key}"))
        .header("grpc-timeout", timeout)
        .body(http_body_util::Full::new(tonic::codegen::Bytes::from(body)))
        .unwrap();
    let stream = tokio::net::TcpStream::connect(fixture.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.unwrap();
    Status::from_header_map(response.headers()).unwrap()
}

#[tokio::test]
async fn what_is_not_found_says_so() {
    let fixture = applications(limits()).await;
    let (key, _) = fixture.keys.application(&["*"]);
    let status = fixture
        .messaging()
        .await
        .get_message(with_key(GetMessageRequest::default(), &key))
        .await
        .unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "message not found"));
}

/// Bytes as they are.
#[derive(Default)]
struct Raw;

impl tonic::codec::Codec for Raw {
    type Encode = tonic::codegen::Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl tonic::codec::Encoder for Raw {
    type Item = tonic::codegen::Bytes;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, into: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put(into, item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, _: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<()>, Status> {
        Ok(Some(()))
    }
}
