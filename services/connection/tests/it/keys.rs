//! A key's life, as applications and sibling services see it.

use outeract_domain::KeyId;
use outeract_events::timestamp;
use outeract_proto::connection::admin::v1::{CreateKeyRequest, ListApplicationsRequest, RevokeKeyRequest};
use outeract_proto::connection::internal::v1::{AuthenticateKeyRequest, AuthenticateKeyResponse, KeyVerdict};
use outeract_proto::connection::v1::{GetApplicationRequest, ListConnectionsRequest};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::KeyText;
use outeract_simulator::control::NewWorld;
use time::{Duration, OffsetDateTime};
use tonic::Code;

use crate::suite::{Suite, assert_refused, create, fact, paths};

async fn verdict(suite: &Suite, text: &str) -> AuthenticateKeyResponse {
    let key = KeyText::parse(text).unwrap();
    let request = AuthenticateKeyRequest {
        key_id: key.key.bytes(),
        secret_sha256: key.secret_sha256().to_vec(),
    };
    suite
        .internal_as("tracking")
        .authenticate_key(request)
        .await
        .unwrap()
        .into_inner()
}

async fn who(suite: &Suite, text: &str) -> Result<tonic::Response<String>, tonic::Status> {
    let answer = suite
        .applications(text)
        .get_application(GetApplicationRequest {})
        .await?;
    Ok(answer.map(|answer| answer.application.unwrap().id))
}

/// The text with another secret of the same form.
fn with_wrong_secret(text: &str) -> String {
    let last = if text.ends_with('A') { 'B' } else { 'A' };
    format!("{}{last}", &text[..text.len() - 1])
}

fn id_of(text: &str) -> String {
    KeyText::parse(text).unwrap().key.to_string()
}

#[tokio::test]
async fn a_key_says_whose_it_is_and_what_it_may() {
    let suite = Suite::start().await;
    let tenant = suite.tenant("Acme").await;
    let (key, text) = suite.key(&tenant.id, &["events:read", "connections:read"]).await;
    assert!(text.starts_with("otr_live_"));
    let answer = suite
        .applications(&text)
        .get_application(GetApplicationRequest {})
        .await
        .unwrap()
        .into_inner();
    let application = answer.application.unwrap();
    assert_eq!(
        (application.id.as_str(), application.name.as_str()),
        (tenant.id.as_str(), "Acme")
    );
    assert_eq!(answer.key_id, key.id);
    assert_eq!(answer.scopes, ["events:read", "connections:read"]);

    let valid = verdict(&suite, &text).await;
    assert_eq!(valid.verdict(), KeyVerdict::Valid);
    assert_eq!(valid.scopes, answer.scopes);
    assert!(!valid.operator && valid.application_id.len() == 16);
    let operator = verdict(&suite, &suite.operator).await;
    assert!(operator.operator && operator.application_id.is_empty());
}

#[tokio::test]
async fn unknown_keys_and_wrong_secrets_are_the_same() {
    let suite = Suite::start().await;
    let tenant = suite.tenant("Acme").await;
    let wrong = with_wrong_secret(&tenant.key);
    let (unknown, _) = KeyText::generate(
        "live",
        KeyId::from_uuid(uuid::Uuid::now_v7()),
        &outeract_clock::SystemRandom,
    );
    for text in [&wrong, &unknown] {
        assert_refused(who(&suite, text).await, Code::Unauthenticated, ErrorReason::KeyUnknown);
        assert_eq!(verdict(&suite, text).await.verdict(), KeyVerdict::Unknown);
    }
    assert_refused(
        who(&suite, "otr_live_short").await,
        Code::Unauthenticated,
        ErrorReason::CredentialsMissing,
    );
    assert!(who(&suite, &tenant.key).await.is_ok());
}

#[tokio::test]
async fn an_expired_key_says_so_to_its_holder_only() {
    let suite = Suite::start().await;
    let tenant = suite.tenant("Acme").await;
    #[expect(clippy::disallowed_methods, reason = "the service's own clock is the machine's")]
    let expires = OffsetDateTime::now_utc() + Duration::HOUR;
    let request = CreateKeyRequest {
        application_id: tenant.id.clone(),
        name: "short".to_owned(),
        environment: "test".to_owned(),
        scopes: vec!["*".to_owned()],
        expire_time: Some(timestamp::to_proto(expires)),
    };
    let created = suite.admin().create_key(request).await.unwrap().into_inner();
    let text = created.secret;
    assert!(text.starts_with("otr_test_"));
    assert!(verdict(&suite, &text).await.expire_time.is_some());
    suite.db.advance(Duration::HOUR).await;
    assert_eq!(verdict(&suite, &text).await.verdict(), KeyVerdict::Expired);
    assert_eq!(
        verdict(&suite, &with_wrong_secret(&text)).await.verdict(),
        KeyVerdict::Unknown
    );
    assert_refused(who(&suite, &text).await, Code::Unauthenticated, ErrorReason::KeyExpired);
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_here_and_at_the_next_question_elsewhere() {
    let suite = Suite::start().await;
    let tenant = suite.tenant("Acme").await;
    let (key, text) = suite.key(&tenant.id, &["*"]).await;
    assert!(who(&suite, &text).await.is_ok());
    let request = RevokeKeyRequest { id: key.id.clone() };
    let first = suite
        .admin()
        .revoke_key(request.clone())
        .await
        .unwrap()
        .into_inner()
        .key
        .unwrap();
    let second = suite
        .admin()
        .revoke_key(request)
        .await
        .unwrap()
        .into_inner()
        .key
        .unwrap();
    assert!(first.revoke_time.is_some());
    assert_eq!(first, second, "revoking twice changes nothing");
    assert_refused(who(&suite, &text).await, Code::Unauthenticated, ErrorReason::KeyRevoked);
    assert_eq!(verdict(&suite, &text).await.verdict(), KeyVerdict::Revoked);
    assert_eq!(
        verdict(&suite, &with_wrong_secret(&text)).await.verdict(),
        KeyVerdict::Unknown
    );
    assert!(who(&suite, &tenant.key).await.is_ok());

    let absent = RevokeKeyRequest {
        id: KeyId::from_uuid(uuid::Uuid::now_v7()).to_string(),
    };
    let answer = suite.admin().revoke_key(absent).await;
    assert_refused(answer, Code::NotFound, ErrorReason::NotFound);
}

#[tokio::test]
async fn operator_keys_are_made_and_revoked_like_others() {
    let suite = Suite::start().await;
    let request = outeract_proto::connection::admin::v1::CreateOperatorKeyRequest {
        name: "Night shift".to_owned(),
        expire_time: None,
    };
    let created = suite.admin().create_operator_key(request).await.unwrap().into_inner();
    assert!(created.secret.starts_with("otr_op_"));
    let list = async |text: &str| {
        let mut client = suite.admin_with(text);
        client.list_applications(ListApplicationsRequest::default()).await
    };
    assert!(list(&created.secret).await.is_ok());
    let request = RevokeKeyRequest {
        id: id_of(&created.secret),
    };
    suite.admin().revoke_key(request).await.unwrap();
    assert_refused(
        list(&created.secret).await,
        Code::Unauthenticated,
        ErrorReason::KeyRevoked,
    );
}

#[tokio::test]
async fn scopes_and_kinds_of_keys_open_only_what_is_theirs() {
    let suite = Suite::start().await;
    let world = suite.world(NewWorld::default()).await;
    let tenant = suite.tenant("Acme").await;
    let (_, reader) = suite.key(&tenant.id, &["connections:read"]).await;
    let mut client = suite.connections_with(&reader);
    assert!(client.list_connections(ListConnectionsRequest::default()).await.is_ok());
    let answer = client.create_connection(create(&world.token)).await;
    let status = assert_refused(answer, Code::PermissionDenied, ErrorReason::ScopeMissing);
    assert_eq!(fact(&status, "scope").as_deref(), Some("connections:write"));

    let answer = suite
        .admin_with(&tenant.key)
        .list_applications(ListApplicationsRequest::default())
        .await;
    assert_refused(answer, Code::PermissionDenied, ErrorReason::ScopeMissing);
    assert_refused(
        who(&suite, &suite.operator).await,
        Code::PermissionDenied,
        ErrorReason::ScopeMissing,
    );
}

#[tokio::test]
async fn a_key_to_be_made_is_checked_in_every_field() {
    let suite = Suite::start().await;
    let request = CreateKeyRequest {
        application_id: "app_x".to_owned(),
        name: String::new(),
        environment: "op".to_owned(),
        scopes: vec!["everything".to_owned()],
        expire_time: Some(prost_types::Timestamp::default()),
    };
    let answer = suite.admin().create_key(request).await;
    let status = assert_refused(answer, Code::InvalidArgument, ErrorReason::InvalidField);
    assert_eq!(
        paths(&status),
        ["application_id", "name", "environment", "scopes[0]", "expire_time"]
    );
    let request = CreateKeyRequest {
        application_id: outeract_domain::ApplicationId::from_uuid(uuid::Uuid::now_v7()).to_string(),
        name: "x".to_owned(),
        scopes: vec!["*".to_owned()],
        ..CreateKeyRequest::default()
    };
    let answer = suite.admin().create_key(request).await;
    assert_refused(answer, Code::NotFound, ErrorReason::NotFound);
}
