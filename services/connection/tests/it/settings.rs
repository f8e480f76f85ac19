//! What an application decides for all of its connections.

use outeract_proto::connection::admin::v1::ListAuditEntriesRequest;
use outeract_proto::connection::internal::v1::{ConnectionSnapshot, ListConnectionStatesRequest};
use outeract_proto::connection::v1::{
    ApplicationSettings, AutoMarkRead, GetApplicationRequest, UpdateApplicationSettingsRequest,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::KeyText;
use outeract_simulator::control::NewWorld;
use outeract_testkit::eventually;
use tonic::{Code, Status};

use crate::sibling::Sibling;
use crate::suite::{SOON, Suite, Tenant, assert_refused, fact, paths, uuid};

async fn update(suite: &Suite, key: &str, value: i32) -> Result<AutoMarkRead, Status> {
    let request = UpdateApplicationSettingsRequest {
        settings: Some(ApplicationSettings { auto_mark_read: value }),
    };
    let answer = suite.applications(key).update_application_settings(request).await?;
    let application = answer.into_inner().application.unwrap();
    Ok(application.settings.unwrap().auto_mark_read())
}

async fn setting(suite: &Suite, tenant: &Tenant) -> AutoMarkRead {
    let answer = suite
        .applications(&tenant.key)
        .get_application(GetApplicationRequest {})
        .await
        .unwrap();
    let application = answer.into_inner().application.unwrap();
    application.settings.unwrap().auto_mark_read()
}

fn last(sibling: &Sibling, connection: uuid::Uuid) -> ConnectionSnapshot {
    let told = sibling.told();
    let mut of = told
        .into_iter()
        .filter(|snapshot| snapshot.connection_id == connection.as_bytes());
    of.next_back().unwrap()
}

#[tokio::test]
async fn a_setting_reaches_every_connection_of_the_application_and_no_other() {
    let suite = Suite::start().await;
    let new = NewWorld {
        numbers_per_waba: 3,
        ..NewWorld::default()
    };
    let (first, second) = (suite.world(new).await, suite.world(NewWorld::default()).await);
    let (tenant, other) = (suite.tenant("Acme").await, suite.tenant("Other").await);
    let made = suite.connect(&tenant, &first.token).await;
    let theirs = suite.connect(&other, &second.token).await;
    assert_eq!(setting(&suite, &tenant).await, AutoMarkRead::Never);
    assert_eq!(
        last(&suite.messaging, uuid(&made[0])).auto_mark_read(),
        AutoMarkRead::Never
    );

    let changed = update(&suite, &tenant.key, AutoMarkRead::OnReceived.into())
        .await
        .unwrap();
    assert_eq!(changed, AutoMarkRead::OnReceived);
    assert_eq!(setting(&suite, &tenant).await, AutoMarkRead::OnReceived);
    for connection in &made {
        for sibling in [&suite.messaging, &suite.webhook] {
            let snapshot = last(sibling, uuid(connection));
            assert_eq!(
                (snapshot.version, snapshot.auto_mark_read()),
                (2, AutoMarkRead::OnReceived)
            );
        }
    }
    assert_eq!(suite.messaging.versions(uuid(&theirs[0])), [1]);
    eventually(SOON, async || suite.rows().await[2] == 0).await;
    // The pull that repairs what a lost push left behind tells the same.
    let listed = suite
        .internal_as("messaging")
        .list_connection_states(ListConnectionStatesRequest::default())
        .await
        .unwrap()
        .into_inner();
    let wanted = listed
        .connections
        .iter()
        .filter(|snapshot| snapshot.auto_mark_read() == AutoMarkRead::OnReceived)
        .count();
    assert_eq!((listed.connections.len(), wanted), (4, 3));

    // What is as it should be is not changed.
    update(&suite, &tenant.key, AutoMarkRead::OnReceived.into())
        .await
        .unwrap();
    assert_eq!(suite.messaging.versions(uuid(&made[0])), [1, 2]);
    update(&suite, &tenant.key, AutoMarkRead::Never.into()).await.unwrap();
    assert_eq!(suite.messaging.versions(uuid(&made[0])), [1, 2, 3]);
    // A connection that is made later has the application's setting.
    update(&suite, &other.key, AutoMarkRead::OnReceived.into())
        .await
        .unwrap();
    let third = suite.world(NewWorld::default()).await;
    let later = suite.connect(&other, &third.token).await;
    assert_eq!(
        last(&suite.messaging, uuid(&later[0])).auto_mark_read(),
        AutoMarkRead::OnReceived
    );
}

#[tokio::test]
async fn a_sibling_that_was_away_learns_of_a_setting_when_it_comes() {
    let mut webhook = Sibling::away();
    webhook.come().await;
    let mut suite = Suite::start_between(Sibling::away(), webhook, &[]).await;
    let world = suite.world(NewWorld::default()).await;
    let tenant = suite.tenant("Acme").await;
    let made = suite.connect(&tenant, &world.token).await;
    update(&suite, &tenant.key, AutoMarkRead::OnReceived.into())
        .await
        .unwrap();
    suite.messaging.come().await;
    eventually(SOON, async || suite.rows().await[2] == 0).await;
    assert_eq!(
        last(&suite.messaging, uuid(&made[0])).auto_mark_read(),
        AutoMarkRead::OnReceived
    );
}

#[tokio::test]
async fn a_change_is_written_down_and_bad_ones_are_not_made() {
    let suite = Suite::start().await;
    let tenant = suite.tenant("Acme").await;
    for (value, path) in [(0, "settings"), (9, "settings.auto_mark_read")] {
        let refused = update(&suite, &tenant.key, value).await;
        let status = assert_refused(refused, Code::InvalidArgument, ErrorReason::InvalidField);
        assert_eq!(paths(&status), [path]);
    }
    let (_, reader) = suite.key(&tenant.id, &["connections:read"]).await;
    let refused = update(&suite, &reader, AutoMarkRead::OnReceived.into()).await;
    let status = assert_refused(refused, Code::PermissionDenied, ErrorReason::ScopeMissing);
    assert_eq!(fact(&status, "scope").as_deref(), Some("connections:write"));
    assert_eq!(setting(&suite, &tenant).await, AutoMarkRead::Never);

    for _ in 0..2 {
        update(&suite, &tenant.key, AutoMarkRead::OnReceived.into())
            .await
            .unwrap();
    }
    let request = ListAuditEntriesRequest::default();
    let entries = suite
        .admin()
        .list_audit_entries(request)
        .await
        .unwrap()
        .into_inner()
        .entries;
    let changes: Vec<_> = entries
        .iter()
        .filter(|entry| entry.action == "application.settings")
        .collect();
    assert_eq!(changes.len(), 1, "once");
    let key = KeyText::parse(&tenant.key).unwrap().key.to_string();
    assert_eq!((&changes[0].actor_id, &changes[0].subject_id), (&key, &tenant.id));
    assert_eq!(changes[0].detail_json, r#"{"auto_mark_read":"ON_RECEIVED"}"#);
}

#[tokio::test]
async fn changes_at_the_same_time_end_in_one_of_them_everywhere() {
    let suite = Suite::start().await;
    let world = suite
        .world(NewWorld {
            numbers_per_waba: 4,
            ..NewWorld::default()
        })
        .await;
    let tenant = suite.tenant("Acme").await;
    let made = suite.connect(&tenant, &world.token).await;
    let changes = (0..12).map(|index| update(&suite, &tenant.key, 1 + index % 2));
    for answer in futures_util::future::join_all(changes).await {
        answer.unwrap();
    }
    let now = setting(&suite, &tenant).await;
    eventually(SOON, async || suite.rows().await[2] == 0).await;
    for connection in &made {
        let told = suite.messaging.told();
        let newest = told
            .iter()
            .filter(|snapshot| snapshot.connection_id == uuid(connection).as_bytes())
            .max_by_key(|snapshot| snapshot.version)
            .unwrap();
        assert_eq!(newest.auto_mark_read(), now);
    }
}
