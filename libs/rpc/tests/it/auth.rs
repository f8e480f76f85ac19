use std::sync::Arc;
use std::time::Duration;

use outeract_clock::{Clock as _, SystemClock};
use outeract_domain::ApplicationId;
use outeract_proto::messaging::v1::GetMessageRequest;
use outeract_proto::tracking::v1::StreamEventsRequest;
use outeract_proto::tracking::v1::event_service_client::EventServiceClient;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_proto::webhook::admin::v1::GetWebhookRequest;
use outeract_proto::webhook::admin::v1::admin_service_client::AdminServiceClient;
use outeract_proto::webhook::internal::v1::PushConnectionsRequest;
use outeract_proto::webhook::internal::v1::webhook_internal_service_client::WebhookInternalServiceClient;
use outeract_rpc::{Limits, Verdict, reason};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::harness::{CONNECTION_SECRET, Fixture, MESSAGING_SECRET, applications, limits, send, siblings, with_key};

async fn refusal(fixture: &Fixture, key: &str) -> (Code, Option<ErrorReason>) {
    told(
        &fixture
            .messaging()
            .await
            .send_message(with_key(send("hello"), key))
            .await
            .unwrap_err(),
    )
}

fn told(status: &Status) -> (Code, Option<ErrorReason>) {
    (status.code(), reason(status))
}

#[tokio::test]
async fn a_key_with_the_scope_is_let_in_and_names_its_application() {
    let fixture = applications(limits()).await;
    for scopes in [&["events:read", "events:write"][..], &["*"]] {
        let (key, _) = fixture.keys.application(scopes);
        let answer = fixture
            .messaging()
            .await
            .send_message(with_key(send("application"), &key))
            .await
            .unwrap();
        assert!(answer.into_inner().id.starts_with("app_"));
    }
}

#[tokio::test]
async fn every_other_key_is_refused_with_its_reason() {
    let fixture = applications(limits()).await;
    let keys = &fixture.keys;
    let (reader, _) = keys.application(&["events:read"]);
    let unauthenticated = |reason| (Code::Unauthenticated, Some(reason));
    assert_eq!(
        told(&fixture.messaging().await.send_message(send("hello")).await.unwrap_err()),
        unauthenticated(ErrorReason::CredentialsMissing)
    );
    assert_eq!(
        refusal(&fixture, "nonsense").await,
        unauthenticated(ErrorReason::CredentialsMissing)
    );
    assert_eq!(
        refusal(&fixture, &keys.add("live", Verdict::Expired).0).await,
        unauthenticated(ErrorReason::KeyExpired)
    );
    assert_eq!(
        refusal(&fixture, &keys.add("live", Verdict::Revoked).0).await,
        unauthenticated(ErrorReason::KeyRevoked)
    );
    let wrong = format!("{}AAAA", &reader[..reader.len() - 4]);
    assert_eq!(
        refusal(&fixture, &wrong).await,
        unauthenticated(ErrorReason::KeyUnknown)
    );
    let denied = (Code::PermissionDenied, Some(ErrorReason::ScopeMissing));
    assert_eq!(refusal(&fixture, &reader).await, denied);
    let operator = keys.add("op", Verdict::Operator { expires: None }).0;
    assert_eq!(refusal(&fixture, &operator).await, denied);
    // The same key is good where its scope is enough, also after a wrong secret for it was tried.
    let found = fixture
        .messaging()
        .await
        .get_message(with_key(GetMessageRequest::default(), &reader))
        .await;
    assert_eq!(told(&found.unwrap_err()), (Code::NotFound, Some(ErrorReason::NotFound)));
}

#[tokio::test]
async fn answers_are_remembered_good_and_bad() {
    let fixture = applications(limits()).await;
    let (key, id) = fixture.keys.application(&["*"]);
    let unknown = key
        .replace("otr_live_", "otr_test_")
        .replace(&id.to_string()[4..], "00000000000000000000000009");
    for _ in 0..10 {
        fixture
            .messaging()
            .await
            .send_message(with_key(send("hello"), &key))
            .await
            .unwrap();
        assert_eq!(refusal(&fixture, &unknown).await.1, Some(ErrorReason::KeyUnknown));
    }
    assert_eq!(fixture.keys.asked(), 2);
}

#[tokio::test]
async fn while_keys_cannot_be_checked_unknown_ones_wait_and_known_ones_work() {
    let fixture = applications(limits()).await;
    let (known, _) = fixture.keys.application(&["*"]);
    let (other, _) = fixture.keys.application(&["*"]);
    let mut messaging = fixture.messaging().await;
    messaging.send_message(with_key(send("hello"), &known)).await.unwrap();
    fixture.keys.set_away(true);
    messaging.send_message(with_key(send("hello"), &known)).await.unwrap();
    let unavailable = (Code::Unavailable, Some(ErrorReason::DependencyUnavailable));
    assert_eq!(refusal(&fixture, &other).await, unavailable);
    fixture.keys.set_away(false);
    messaging.send_message(with_key(send("hello"), &other)).await.unwrap();
}

#[tokio::test]
async fn methods_for_others_do_not_exist_here() {
    let unknown = (Code::Unimplemented, Some(ErrorReason::MethodUnknown));
    let fixture = applications(limits()).await;
    let (key, _) = fixture.keys.application(&["*"]);
    let mut admin = AdminServiceClient::new(fixture.channel().await);
    let request = with_key(GetWebhookRequest::default(), &key);
    assert_eq!(told(&admin.get_webhook(request).await.unwrap_err()), unknown);
    let fixture = siblings(limits()).await;
    let (key, _) = fixture.keys.application(&["*"]);
    assert_eq!(refusal(&fixture, &key).await, unknown);
}

#[tokio::test]
async fn a_service_is_let_in_by_its_own_secret_where_the_method_names_it() {
    let fixture = siblings(limits()).await;
    let call = async |name, secret: &str| {
        let mut client = WebhookInternalServiceClient::new(fixture.as_service(name, secret));
        client
            .push_connections(PushConnectionsRequest::default())
            .await
            .map(drop)
            .map_err(|status| told(&status))
    };
    assert_eq!(call("connection", CONNECTION_SECRET).await, Ok(()));
    let unknown = Err((Code::Unauthenticated, Some(ErrorReason::KeyUnknown)));
    // A secret opens for its own name only, and a name that is not allowed stays outside with its right secret.
    assert_eq!(call("connection", MESSAGING_SECRET).await, unknown);
    assert_eq!(call("stranger", CONNECTION_SECRET).await, unknown);
    assert_eq!(
        call("messaging", MESSAGING_SECRET).await,
        Err((Code::PermissionDenied, Some(ErrorReason::ScopeMissing)))
    );
    let mut bare = WebhookInternalServiceClient::new(fixture.channel().await);
    let status = bare
        .push_connections(PushConnectionsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        told(&status),
        (Code::Unauthenticated, Some(ErrorReason::CredentialsMissing))
    );
}

#[tokio::test]
async fn operators_have_keys_of_their_own() {
    let fixture = siblings(limits()).await;
    let mut admin = AdminServiceClient::new(fixture.channel().await);
    let (operator, id) = fixture.keys.add("op", Verdict::Operator { expires: None });
    let answer = admin
        .get_webhook(with_key(GetWebhookRequest::default(), &operator))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().id, id.to_string());
    let (key, _) = fixture.keys.application(&["*"]);
    let status = admin
        .get_webhook(with_key(GetWebhookRequest::default(), &key))
        .await
        .unwrap_err();
    assert_eq!(told(&status), (Code::PermissionDenied, Some(ErrorReason::ScopeMissing)));
    let mut service = Request::new(GetWebhookRequest::default());
    service.metadata_mut().insert(
        "authorization",
        format!("Service messaging:{MESSAGING_SECRET}").parse().unwrap(),
    );
    assert_eq!(
        told(&admin.get_webhook(service).await.unwrap_err()),
        (Code::Unauthenticated, Some(ErrorReason::CredentialsMissing))
    );
}

#[tokio::test]
async fn health_asks_for_no_credential() {
    for fixture in [applications(limits()).await, siblings(limits()).await] {
        let mut health = tonic_health::pb::health_client::HealthClient::new(fixture.channel().await);
        let mut request = Request::new(tonic_health::pb::HealthCheckRequest::default());
        request.set_timeout(Duration::from_secs(5));
        assert_eq!(health.check(request).await.unwrap().into_inner().status, 1);
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_key_stops_counting() {
    let fixture = applications(Limits {
        stream_check: Duration::from_millis(50),
        ..limits()
    })
    .await;
    let ends = SystemClock.now() + Duration::from_millis(500);
    let (key, _) = fixture.keys.add(
        "live",
        Verdict::Application {
            application: ApplicationId::from_uuid(Uuid::from_u128(7)),
            scopes: Arc::new(["*".to_owned()]),
            expires: Some(ends),
        },
    );
    let mut events = EventServiceClient::new(fixture.channel().await);
    let request = with_key(StreamEventsRequest::default(), &key);
    let mut stream = events.stream_events(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.message()).await;
    assert_eq!(
        told(&ended.unwrap().unwrap_err()),
        (Code::Unauthenticated, Some(ErrorReason::KeyExpired))
    );
}
