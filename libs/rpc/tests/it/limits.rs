use std::time::Duration;

use outeract_proto::tracking::v1::StreamEventsRequest;
use outeract_proto::tracking::v1::event_service_client::EventServiceClient;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{Limits, Quota, Verdict, reason};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::harness::{applications, limits, send, with_key};

#[tokio::test]
async fn calls_above_the_limit_are_refused_with_a_retry_time() {
    let fixture = applications(Limits { calls: 1, ..limits() }).await;
    let (key, _) = fixture.keys.application(&["*"]);
    let mut messaging = fixture.messaging().await;
    let mut waiting = JoinSet::new();
    let (mut first, request) = (messaging.clone(), with_key(send("wait"), &key));
    waiting.spawn(async move { first.send_message(request).await });
    fixture.gate.entered.notified().await;
    let status = messaging.send_message(with_key(send("hello"), &key)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::ResourceExhausted, Some(ErrorReason::Overloaded))
    );
    assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    fixture.gate.open.notify_one();
    waiting.join_next().await.unwrap().unwrap().unwrap();
    messaging.send_message(with_key(send("hello"), &key)).await.unwrap();
}

#[tokio::test]
async fn who_only_watches_health_takes_no_place_from_streams() {
    let fixture = applications(Limits { streams: 1, ..limits() }).await;
    let (key, _) = fixture.keys.application(&["*"]);
    let mut health = HealthClient::new(fixture.channel().await);
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert!(watched.message().await.unwrap().is_some());
    let mut events = EventServiceClient::new(fixture.channel().await);
    let opened = events
        .stream_events(with_key(StreamEventsRequest::default(), &key))
        .await;
    assert!(opened.unwrap().into_inner().message().await.unwrap().is_some());
}

#[tokio::test]
async fn a_call_that_only_waits_leaves_its_place_to_others() {
    let fixture = applications(Limits { calls: 1, ..limits() }).await;
    let (key, _) = fixture.keys.application(&["*"]);
    let mut messaging = fixture.messaging().await;
    let mut waiting = JoinSet::new();
    let (mut first, request) = (messaging.clone(), with_key(send("leave"), &key));
    waiting.spawn(async move { first.send_message(request).await });
    fixture.gate.entered.notified().await;
    for _ in 0..3 {
        messaging.send_message(with_key(send("hello"), &key)).await.unwrap();
    }
    fixture.gate.open.notify_one();
    waiting.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_that_says_nothing_or_nonsense_is_let_go() {
    let fixture = applications(limits()).await;
    let mut silent = TcpStream::connect(fixture.address).await.unwrap();
    let mut http1 = TcpStream::connect(fixture.address).await.unwrap();
    http1
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    for stream in [&mut silent, &mut http1] {
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        // Closed or reset, and nothing said.
        assert!(ended.is_ok() && rest.is_empty());
    }
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_and_its_calls_finish() {
    let fixture = applications(Limits {
        connection_age: Duration::from_millis(300),
        ..limits()
    })
    .await;
    let (key, _) = fixture.keys.application(&["*"]);
    let mut messaging = fixture.messaging().await;
    let mut waiting = JoinSet::new();
    let (mut old, request) = (messaging.clone(), with_key(send("wait"), &key));
    waiting.spawn(async move { old.send_message(request).await });
    fixture.gate.entered.notified().await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    fixture.gate.open.notify_one();
    waiting.join_next().await.unwrap().unwrap().unwrap();
    messaging.send_message(with_key(send("hello"), &key)).await.unwrap();
}

fn quota(quota: Quota) -> Limits {
    Limits { quota, ..limits() }
}

/// What an answer's metadata says of the quota: limit, remaining, reset.
fn shown(metadata: &tonic::metadata::MetadataMap) -> [Option<u64>; 3] {
    ["limit", "remaining", "reset"].map(|what| {
        let value = metadata.get(format!("x-ratelimit-{what}"))?;
        value.to_str().ok()?.parse().ok()
    })
}

#[tokio::test]
async fn an_application_that_has_used_up_its_calls_is_told_when_to_come_back_and_others_are_not_concerned() {
    let fixture = applications(quota(Quota {
        per_minute: 60,
        burst: 3,
        ..Quota::default()
    }))
    .await;
    let (key, _) = fixture.keys.application(&["*"]);
    let mut messaging = fixture.messaging().await;
    for remaining in [2, 1] {
        let answer = messaging.send_message(with_key(send("hello"), &key)).await.unwrap();
        assert_eq!(
            shown(answer.metadata()),
            [Some(3), Some(remaining), Some(3 - remaining)]
        );
    }
    // Errors count and tell as well.
    let invalid = messaging
        .send_message(with_key(send("invalid"), &key))
        .await
        .unwrap_err();
    assert_eq!(shown(invalid.metadata()), [Some(3), Some(0), Some(3)]);

    let status = messaging.send_message(with_key(send("hello"), &key)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::ResourceExhausted, Some(ErrorReason::RateLimited))
    );
    let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
    assert_eq!(status.metadata().get("retry-after").unwrap(), "1");

    let other = outeract_domain::ApplicationId::from_uuid(uuid::Uuid::from_u128(8));
    let (other, _) = fixture.keys.add(
        "live",
        Verdict::Application {
            application: other,
            scopes: ["*".to_owned()].into(),
            expires: None,
        },
    );
    messaging.send_message(with_key(send("hello"), &other)).await.unwrap();
}

#[tokio::test]
async fn a_request_of_many_costs_as_many_as_its_handler_charges() {
    let fixture = applications(quota(Quota {
        per_minute: 60,
        burst: 10,
        ..Quota::default()
    }))
    .await;
    let (key, _) = fixture.keys.application(&["*"]);
    let mut messaging = fixture.messaging().await;
    let answer = messaging.send_message(with_key(send("charge 6"), &key)).await.unwrap();
    assert_eq!(shown(answer.metadata())[1], Some(3));
    let status = messaging
        .send_message(with_key(send("charge 6"), &key))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Some(ErrorReason::RateLimited));
}

#[tokio::test]
async fn one_application_cannot_take_every_place() {
    let fixture = applications(quota(Quota {
        calls: 1,
        streams: 1,
        ..Quota::default()
    }))
    .await;
    let (key, _) = fixture.keys.application(&["*"]);
    let mut messaging = fixture.messaging().await;
    let mut waiting = JoinSet::new();
    let (mut first, request) = (messaging.clone(), with_key(send("wait"), &key));
    waiting.spawn(async move { first.send_message(request).await });
    fixture.gate.entered.notified().await;
    let status = messaging.send_message(with_key(send("hello"), &key)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::ResourceExhausted, Some(ErrorReason::RateLimited))
    );
    assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);

    // Streams count apart, and a stream that has ended does not count.
    let mut events = EventServiceClient::new(fixture.channel().await);
    let stream = || with_key(StreamEventsRequest::default(), &key);
    let opened = events.stream_events(stream()).await.unwrap().into_inner();
    let refused = events.stream_events(stream()).await.unwrap_err();
    assert_eq!(reason(&refused), Some(ErrorReason::RateLimited));
    drop(opened);
    let mut again = events.stream_events(stream()).await;
    for _ in 0..100 {
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        again = events.stream_events(stream()).await;
    }
    assert!(again.is_ok());

    fixture.gate.open.notify_one();
    waiting.join_next().await.unwrap().unwrap().unwrap();
    messaging.send_message(with_key(send("hello"), &key)).await.unwrap();
}
