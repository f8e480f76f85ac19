//! Operators' lists, and the audit log.

use outeract_proto::connection::admin::v1::{
    AuditEntry, CreateApplicationRequest, ListApplicationsRequest, ListAuditEntriesRequest, ListKeysRequest,
    RevokeKeyRequest,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::KeyText;
use outeract_simulator::control::NewWorld;
use serde_json::Value;
use tonic::Code;

use crate::suite::{Suite, assert_refused, paths};

async fn audit(suite: &Suite) -> Vec<AuditEntry> {
    let request = ListAuditEntriesRequest {
        page_size: 250,
        ..ListAuditEntriesRequest::default()
    };
    suite
        .admin()
        .list_audit_entries(request)
        .await
        .unwrap()
        .into_inner()
        .entries
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_with_its_actor() {
    let suite = Suite::start().await;
    let world = suite.world(NewWorld::default()).await;
    let tenant = suite.tenant("Acme").await;
    let made = suite.connect(&tenant, &world.token).await;
    suite.connect(&tenant, &world.token).await;
    let (key, _) = suite.key(&tenant.id, &["*"]).await;
    for _ in 0..2 {
        let request = RevokeKeyRequest { id: key.id.clone() };
        suite.admin().revoke_key(request).await.unwrap();
    }
    // A refused change is none.
    let nameless = CreateApplicationRequest { name: String::new() };
    assert!(suite.admin().create_application(nameless).await.is_err());

    let operator = KeyText::parse(&suite.operator).unwrap().key.to_string();
    let first_key = KeyText::parse(&tenant.key).unwrap().key.to_string();
    let entries = audit(&suite).await;
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry.action.as_str(),
                entry.actor_id.as_str(),
                entry.subject_id.as_str(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("key.revoke", operator.as_str(), key.id.as_str()),
            ("key.create", &operator, &key.id),
            ("connection.renew", &first_key, &made[0].id),
            ("connection.create", &first_key, &made[0].id),
            ("key.create", &operator, &first_key),
            ("application.create", &operator, &tenant.id),
            ("operator_key.create", "bootstrap", &operator),
        ]
    );
    for entry in &entries {
        assert!(entry.time.is_some());
        let detail: Value = serde_json::from_str(&entry.detail_json).unwrap();
        assert!(detail.is_object());
    }
    let detail: Value = serde_json::from_str(&entries[3].detail_json).unwrap();
    assert_eq!(detail["waba_id"], Value::from(world.wabas[0].waba_id.as_str()));
}

#[tokio::test]
async fn operators_lists_have_pages() {
    let suite = Suite::start().await;
    for index in 0..5 {
        suite.tenant(&format!("Tenant {index}")).await;
    }
    let mut names = Vec::new();
    let mut request = ListApplicationsRequest {
        page_size: 2,
        ..ListApplicationsRequest::default()
    };
    loop {
        let page = suite
            .admin()
            .list_applications(request.clone())
            .await
            .unwrap()
            .into_inner();
        names.extend(page.applications.into_iter().map(|application| application.name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(names, ["Tenant 0", "Tenant 1", "Tenant 2", "Tenant 3", "Tenant 4"]);

    let whole = audit(&suite).await;
    let mut entries = Vec::new();
    let mut request = ListAuditEntriesRequest {
        page_size: 4,
        ..ListAuditEntriesRequest::default()
    };
    loop {
        let page = suite
            .admin()
            .list_audit_entries(request.clone())
            .await
            .unwrap()
            .into_inner();
        entries.extend(page.entries);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(entries, whole);
    assert_eq!(whole.len(), 11);

    // A token fits its own list only.
    let other = ListApplicationsRequest {
        page_token: request.page_token,
        ..ListApplicationsRequest::default()
    };
    let answer = suite.admin().list_applications(other).await;
    assert_refused(answer, Code::InvalidArgument, ErrorReason::CursorInvalid);
    let negative = ListAuditEntriesRequest {
        page_size: -1,
        ..ListAuditEntriesRequest::default()
    };
    let answer = suite.admin().list_audit_entries(negative).await;
    assert_eq!(
        paths(&assert_refused(
            answer,
            Code::InvalidArgument,
            ErrorReason::InvalidField
        )),
        ["page_size"]
    );
}

#[tokio::test]
async fn an_applications_keys_are_listed_without_their_secrets() {
    let suite = Suite::start().await;
    let (acme, other) = (suite.tenant("Acme").await, suite.tenant("Other").await);
    let (second, _) = suite.key(&acme.id, &["events:read"]).await;
    let list = async |id: &str| {
        let request = ListKeysRequest {
            application_id: id.to_owned(),
        };
        suite.admin().list_keys(request).await
    };
    let keys = list(&acme.id).await.unwrap().into_inner().keys;
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[1], second);
    assert!(keys.iter().all(|key| key.application_id == acme.id));
    assert_eq!(list(&other.id).await.unwrap().into_inner().keys.len(), 1);
    let absent = outeract_domain::ApplicationId::from_uuid(uuid::Uuid::now_v7()).to_string();
    assert_refused(list(&absent).await, Code::NotFound, ErrorReason::NotFound);
}
