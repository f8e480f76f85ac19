//! What sibling services ask.

use outeract_proto::connection::internal::v1::{
    AuthenticateKeyRequest, GetTokenForSendRequest, ListConnectionStatesRequest,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_simulator::control::NewWorld;
use tonic::Code;

use crate::suite::{Suite, assert_refused, fact, paths, uuid};

#[tokio::test]
async fn tokens_are_given_for_active_connections_only() {
    let suite = Suite::start().await;
    let world = suite.world(NewWorld::default()).await;
    let tenant = suite.tenant("Acme").await;
    let made = suite.connect(&tenant, &world.token).await;
    let token = async |id: Vec<u8>| {
        let request = GetTokenForSendRequest { connection_id: id };
        suite.internal_as("messaging").get_token_for_send(request).await
    };
    let id = uuid(&made[0]).as_bytes().to_vec();
    assert!(token(id.clone()).await.is_ok());
    assert_refused(token(vec![7; 16]).await, Code::NotFound, ErrorReason::NotFound);
    let malformed = assert_refused(token(vec![7]).await, Code::InvalidArgument, ErrorReason::InvalidField);
    assert_eq!(paths(&malformed), ["connection_id"]);

    suite.sql("UPDATE connection.connection SET state = 2").await;
    let inactive = assert_refused(
        token(id.clone()).await,
        Code::FailedPrecondition,
        ErrorReason::ConnectionNotActive,
    );
    assert_eq!(fact(&inactive, "state").as_deref(), Some("NEEDS_REAUTH"));

    suite.sql("UPDATE connection.connection SET state = 1").await;
    suite.sql("UPDATE connection.token_grant SET token_sealed = set_byte(token_sealed, 40, 255 - get_byte(token_sealed, 40))").await;
    assert_refused(token(id).await, Code::DataLoss, ErrorReason::SealedValueUnreadable);
}

#[tokio::test]
async fn a_token_sealed_for_another_application_does_not_open() {
    let suite = Suite::start().await;
    let (acme, other) = (suite.tenant("Acme").await, suite.tenant("Other").await);
    let (first, second) = (
        suite.world(NewWorld::default()).await,
        suite.world(NewWorld::default()).await,
    );
    let made = suite.connect(&acme, &first.token).await;
    suite.connect(&other, &second.token).await;
    suite
        .sql(
            "UPDATE connection.token_grant g SET token_sealed = o.token_sealed
            FROM connection.token_grant o WHERE o.application_id <> g.application_id",
        )
        .await;
    let request = GetTokenForSendRequest {
        connection_id: uuid(&made[0]).as_bytes().to_vec(),
    };
    let answer = suite.internal_as("messaging").get_token_for_send(request).await;
    assert_refused(answer, Code::DataLoss, ErrorReason::SealedValueUnreadable);
}

#[tokio::test]
async fn every_connection_is_listed_page_by_page() {
    let suite = Suite::start().await;
    let (acme, other) = (suite.tenant("Acme").await, suite.tenant("Other").await);
    let new = NewWorld {
        numbers_per_waba: 4,
        ..NewWorld::default()
    };
    let (first, second) = (suite.world(new.clone()).await, suite.world(new).await);
    let mut expected: Vec<_> = suite.connect(&acme, &first.token).await.iter().map(uuid).collect();
    expected.extend(suite.connect(&other, &second.token).await.iter().map(uuid));
    expected.sort();
    // Neither an ended connection nor an unreadable number holds anything back.
    suite.sql("UPDATE connection.connection SET state = 4 WHERE id = (SELECT max(id::text)::uuid FROM connection.connection)").await;
    suite.sql("UPDATE connection.connection SET display_number_sealed = 'x' WHERE id = (SELECT min(id::text)::uuid FROM connection.connection)").await;

    let mut states = Vec::new();
    let mut request = ListConnectionStatesRequest {
        page_size: 3,
        ..ListConnectionStatesRequest::default()
    };
    loop {
        let page = suite
            .internal_as("webhook")
            .list_connection_states(request.clone())
            .await
            .unwrap()
            .into_inner();
        states.extend(page.connections);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let ids: Vec<_> = states
        .iter()
        .map(|state| uuid::Uuid::from_slice(&state.connection_id).unwrap())
        .collect();
    assert_eq!(ids, expected);
    assert_eq!(states[7].state, 4);
    assert!(states[0].display_phone_number.is_empty() && !states[1].display_phone_number.is_empty());
    let oversized = ListConnectionStatesRequest {
        page_size: 1_001,
        ..ListConnectionStatesRequest::default()
    };
    let answer = suite.internal_as("messaging").list_connection_states(oversized).await;
    assert_refused(answer, Code::InvalidArgument, ErrorReason::InvalidField);
}

#[tokio::test]
async fn siblings_call_what_is_theirs_only() {
    let suite = Suite::start().await;
    let request = || GetTokenForSendRequest {
        connection_id: vec![7; 16],
    };
    for sibling in ["webhook", "tracking"] {
        let answer = suite.internal_as(sibling).get_token_for_send(request()).await;
        assert_refused(answer, Code::PermissionDenied, ErrorReason::ScopeMissing);
    }
    let answer = suite.internal_as("stranger").get_token_for_send(request()).await;
    assert_refused(answer, Code::Unauthenticated, ErrorReason::KeyUnknown);
    let request = AuthenticateKeyRequest {
        key_id: vec![1],
        secret_sha256: vec![2],
    };
    let answer = suite.internal_as("tracking").authenticate_key(request).await;
    let status = assert_refused(answer, Code::InvalidArgument, ErrorReason::InvalidField);
    assert_eq!(paths(&status), ["key_id", "secret_sha256"]);
}
