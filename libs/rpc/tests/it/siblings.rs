use std::time::{Duration, Instant};

use outeract_proto::r#type::v1::ErrorReason;
use outeract_proto::webhook::internal::v1::PushConnectionsRequest;
use outeract_proto::webhook::internal::v1::webhook_internal_service_client::WebhookInternalServiceClient;
use outeract_rpc::{Channel, Limits, ServiceCredential, reason};
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::{CONNECTION_SECRET, applications, limits, send, siblings, with_key};

fn to(address: &str) -> Channel {
    Channel::new(
        &format!("http://{address}"),
        ServiceCredential::new("messaging", "secret").unwrap(),
    )
    .unwrap()
}

#[tokio::test]
async fn a_sibling_that_is_away_or_silent_is_told_apart_and_bounded() {
    let fixture = applications(limits()).await;
    let (key, _) = fixture.keys.application(&["*"]);
    let mut messaging = fixture.messaging().await;
    let mut told = async |sibling: Channel| {
        *fixture.gate.sibling.lock().unwrap() = Some(sibling);
        let mut request = with_key(send("sibling"), &key);
        request.metadata_mut().insert("grpc-timeout", "1S".parse().unwrap());
        let began = Instant::now();
        let status = messaging.send_message(request).await.unwrap_err();
        (status.code(), reason(&status), began.elapsed())
    };
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (code, why, _) = told(to(&gone.to_string())).await;
    assert_eq!(
        (code, why),
        (Code::Unavailable, Some(ErrorReason::DependencyUnavailable))
    );
    // Accepts, and never answers: the call to it ends before the caller's own deadline does.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, why, took) = told(to(&silent.local_addr().unwrap().to_string())).await;
    assert_eq!(
        (code, why),
        (Code::DeadlineExceeded, Some(ErrorReason::DeadlineExceeded))
    );
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn calls_survive_that_connections_grow_old() {
    let fixture = siblings(Limits {
        connection_age: Duration::from_millis(20),
        ..limits()
    })
    .await;
    let client = WebhookInternalServiceClient::new(fixture.as_service("connection", CONNECTION_SECRET));
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let mut client = client.clone();
        callers.spawn(async move {
            for _ in 0..300 {
                client
                    .push_connections(PushConnectionsRequest::default())
                    .await
                    .unwrap();
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_channel_comes_back_when_its_sibling_does() {
    let mut fixture = siblings(limits()).await;
    let address = fixture.address;
    let mut client = WebhookInternalServiceClient::new(fixture.as_service("connection", CONNECTION_SECRET));
    client
        .push_connections(PushConnectionsRequest::default())
        .await
        .unwrap();
    fixture.drain.cancel();
    assert!(fixture.ended_within(Duration::from_secs(5)).await);
    let status = client
        .push_connections(PushConnectionsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let again = crate::harness::siblings_at(address).await;
    client
        .push_connections(PushConnectionsRequest::default())
        .await
        .unwrap();
    drop(again);
}
