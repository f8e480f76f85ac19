use std::time::Duration;

use outeract_proto::tracking::v1::StreamEventsRequest;
use outeract_proto::tracking::v1::event_service_client::EventServiceClient;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::{applications, limits, send, with_key};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_drain_finishes_calls_ends_streams_and_waits_for_no_silent_peer() {
    let mut fixture = applications(limits()).await;
    let (key, _) = fixture.keys.application(&["*"]);

    let _raw = TcpStream::connect(fixture.address).await.unwrap();
    let mut silent = TcpStream::connect(fixture.address).await.unwrap();
    // The preface and empty SETTINGS; after that it answers nothing, not even a ping.
    silent
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();

    let mut events = EventServiceClient::new(fixture.channel().await);
    let mut stream = events
        .stream_events(with_key(StreamEventsRequest::default(), &key))
        .await
        .unwrap()
        .into_inner();
    assert!(stream.message().await.unwrap().is_some());

    let mut calls = JoinSet::new();
    let (mut messaging, request) = (fixture.messaging().await, with_key(send("wait"), &key));
    calls.spawn(async move { messaging.send_message(request).await });
    fixture.gate.entered.notified().await;

    fixture.drain.cancel();
    let status = tokio::time::timeout(SOON, stream.message()).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Some(ErrorReason::ShuttingDown))
    );
    assert!(
        TcpStream::connect(fixture.address).await.is_err(),
        "newcomers are refused at once"
    );
    assert!(
        !fixture.ended_within(Duration::from_millis(500)).await,
        "a call is still under way"
    );
    fixture.gate.open.notify_one();
    calls.join_next().await.unwrap().unwrap().unwrap();
    assert!(fixture.ended_within(SOON).await);
}

#[tokio::test]
async fn dropping_the_listener_ends_what_a_drain_would_wait_for() {
    let mut fixture = applications(limits()).await;
    let (key, _) = fixture.keys.application(&["*"]);
    let mut calls = JoinSet::new();
    let (mut messaging, request) = (fixture.messaging().await, with_key(send("wait"), &key));
    calls.spawn(async move { messaging.send_message(request).await });
    fixture.gate.entered.notified().await;
    fixture.serving.abort_all();
    let answer = tokio::time::timeout(SOON, calls.join_next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(answer.is_err());
}
