//! Connections are made, read and listed.

use std::time::Duration;

use outeract_graph::signature;
use outeract_proto::connection::internal::v1::GetTokenForSendRequest;
use outeract_proto::connection::v1::{
    ConnectionState, CreateConnectionRequest, GetConnectionRequest, ListConnectionsRequest, WebhookType,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_seal::Secret;
use outeract_simulator::Config;
use outeract_simulator::control::{ChangeNumber, NewWorld, Tier};
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;
use tonic::Code;

use crate::suite::{Suite, assert_refused, create, paths, uuid};

#[tokio::test]
async fn a_token_becomes_connections_that_siblings_know_at_once() {
    let suite = Suite::start().await;
    let world = suite
        .world(NewWorld {
            numbers_per_waba: 3,
            ..NewWorld::default()
        })
        .await;
    let waba = &world.wabas[0];
    let tenant = suite.tenant("Acme").await;

    let made = suite.connect(&tenant, &waba.token).await;
    assert_eq!(made.len(), 3);
    for (connection, number) in made.iter().zip(&waba.numbers) {
        assert!(connection.id.starts_with("pc_"));
        assert_eq!(connection.platform_name, "WHATSAPP");
        assert_eq!(connection.name, "Simulated Business");
        assert_eq!(connection.state(), ConnectionState::Active);
        assert_eq!(connection.webhook_type(), WebhookType::Shared);
        assert_eq!(connection.waba_id, waba.waba_id);
        assert_eq!(connection.phone_number_id, number.phone_number_id);
        assert_eq!(connection.display_phone_number, number.e164);
        assert_eq!(connection.verified_name, "Simulated Business");
        assert_eq!(connection.throughput_per_second, 80);
        assert_eq!(connection.quality_rating, "GREEN");
        assert_eq!(connection.token_expire_time, None);
    }
    // Known to both when the call returns.
    for sibling in [&suite.messaging, &suite.webhook] {
        let told = sibling.told();
        assert_eq!(told.len(), 3);
        for (snapshot, connection) in told.iter().zip(&made) {
            assert_eq!(snapshot.connection_id, uuid(connection).as_bytes());
            assert_eq!((snapshot.version, snapshot.token_version), (1, 1));
            assert_eq!(snapshot.phone_number_id, connection.phone_number_id);
            assert_eq!(snapshot.display_phone_number, connection.display_phone_number);
            assert_eq!(snapshot.state, i32::from(ConnectionState::Active));
        }
    }
    assert!(suite.subscribed(&waba.token, &waba.waba_id).await);
    assert_eq!(suite.rows().await, [3, 1, 0]);

    let request = GetConnectionRequest { id: made[1].id.clone() };
    let read = suite
        .connections(&tenant)
        .get_connection(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(read.connection.as_ref(), Some(&made[1]));
    let listed = suite
        .connections(&tenant)
        .list_connections(ListConnectionsRequest::default())
        .await
        .unwrap();
    let mut listed = listed.into_inner().connections;
    listed.sort_by_key(|connection| made.iter().position(|made| made.id == connection.id));
    assert_eq!(listed, made);
}

#[tokio::test]
async fn the_token_for_sends_comes_with_its_proof() {
    let suite = Suite::start().await;
    let world = suite.world(NewWorld::default()).await;
    let tenant = suite.tenant("Acme").await;
    let made = suite.connect(&tenant, &world.token).await;
    let request = GetTokenForSendRequest {
        connection_id: uuid(&made[0]).as_bytes().to_vec(),
    };
    let token = suite
        .internal_as("messaging")
        .get_token_for_send(request)
        .await
        .unwrap()
        .into_inner();
    let secret = Secret::new(Config::default().app_secret);
    assert_eq!(token.token, world.token);
    assert_eq!(
        token.appsecret_proof,
        signature::appsecret_proof(&Secret::from(world.token.as_str()), &secret)
    );
    assert_eq!(token.token_version, 1);
}

#[tokio::test]
async fn some_numbers_of_one_of_several_accounts_can_be_chosen_and_named() {
    let suite = Suite::start().await;
    let world = suite
        .world(NewWorld {
            wabas: 2,
            numbers_per_waba: 2,
            throughput: 1_000,
            token_expires_in_seconds: Some(5_184_000),
            ..NewWorld::default()
        })
        .await;
    let waba = &world.wabas[1];
    let tenant = suite.tenant("Acme").await;
    let request = CreateConnectionRequest {
        waba_id: waba.waba_id.clone(),
        phone_number_ids: vec![waba.numbers[1].phone_number_id.clone()],
        name: "Support".to_owned(),
        ..create(&world.token)
    };
    let made = suite
        .connections(&tenant)
        .create_connection(request)
        .await
        .unwrap()
        .into_inner()
        .connections;
    assert_eq!(made.len(), 1);
    assert_eq!(
        (made[0].name.as_str(), made[0].throughput_per_second),
        ("Support", 1_000)
    );
    assert_eq!(made[0].phone_number_id, waba.numbers[1].phone_number_id);
    assert!(made[0].token_expire_time.is_some());
    assert!(!suite.subscribed(&world.token, &world.wabas[0].waba_id).await);

    // A name fits one number only, and an account must be named where there are several.
    let request = CreateConnectionRequest {
        waba_id: waba.waba_id.clone(),
        name: "Support".to_owned(),
        ..create(&world.token)
    };
    let answer = suite.connections(&tenant).create_connection(request).await;
    assert_eq!(
        paths(&assert_refused(
            answer,
            Code::InvalidArgument,
            ErrorReason::InvalidField
        )),
        ["name"]
    );
    let answer = suite.connections(&tenant).create_connection(create(&world.token)).await;
    assert_eq!(
        paths(&assert_refused(
            answer,
            Code::InvalidArgument,
            ErrorReason::InvalidField
        )),
        ["waba_id"]
    );
}

#[tokio::test]
async fn connecting_again_renews_the_token_and_keeps_ids_and_names() {
    let suite = Suite::start().await;
    let world = suite
        .world(NewWorld {
            numbers_per_waba: 2,
            ..NewWorld::default()
        })
        .await;
    let waba = &world.wabas[0];
    let tenant = suite.tenant("Acme").await;
    let first = suite.connect(&tenant, &waba.token).await;
    let rename = CreateConnectionRequest {
        phone_number_ids: vec![first[0].phone_number_id.clone()],
        name: "Support".to_owned(),
        ..create(&world.token)
    };
    let renamed = suite
        .connections(&tenant)
        .create_connection(rename)
        .await
        .unwrap()
        .into_inner()
        .connections;
    assert_eq!((&renamed[0].id, renamed[0].name.as_str()), (&first[0].id, "Support"));
    // The other number still uses the first token.
    assert_eq!(suite.rows().await, [2, 2, 0]);

    let again = suite.connect(&tenant, &world.token).await;
    let ids = |connections: &[outeract_proto::connection::v1::Connection]| {
        connections
            .iter()
            .map(|connection| connection.id.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&again), ids(&first));
    assert_eq!(again[0].name, "Support", "a name that was given stays");
    assert_eq!(again[0].create_time, first[0].create_time);
    assert_ne!(again[0].update_time, first[0].update_time);
    assert_eq!(suite.messaging.versions(uuid(&first[0])), [1, 2, 3]);
    assert_eq!(suite.webhook.versions(uuid(&first[1])), [1, 2]);
    // No connection uses the older tokens: they are gone.
    assert_eq!(suite.rows().await, [2, 1, 0]);
    for (connection, version) in again.iter().zip([3, 2]) {
        let request = GetTokenForSendRequest {
            connection_id: uuid(connection).as_bytes().to_vec(),
        };
        let token = suite
            .internal_as("messaging")
            .get_token_for_send(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!((token.token, token.token_version), (world.token.clone(), version));
    }
}

#[tokio::test]
async fn an_ended_connection_keeps_its_id_and_frees_its_number() {
    let suite = Suite::start().await;
    let world = suite.world(NewWorld::default()).await;
    let (acme, other) = (suite.tenant("Acme").await, suite.tenant("Other").await);
    let first = suite.connect(&acme, &world.token).await;
    suite
        .sql("UPDATE connection.connection SET state = 4, version = version + 1")
        .await;
    let theirs = suite.connect(&other, &world.token).await;
    assert_ne!(theirs[0].id, first[0].id);
    let answer = suite.connections(&acme).create_connection(create(&world.token)).await;
    assert_refused(answer, Code::AlreadyExists, ErrorReason::NumberTaken);
    suite
        .sql("UPDATE connection.connection SET state = 4, version = version + 1")
        .await;
    let again = suite.connect(&acme, &world.token).await;
    assert_eq!(again[0].id, first[0].id);
    assert_eq!(again[0].state(), ConnectionState::Active);
}

#[tokio::test]
async fn pages_follow_one_another_and_fit_their_list_only() {
    let suite = Suite::start().await;
    let world = suite
        .world(NewWorld {
            numbers_per_waba: 130,
            ..NewWorld::default()
        })
        .await;
    let (acme, other) = (suite.tenant("Acme").await, suite.tenant("Other").await);
    // More numbers than Meta puts on one page, too.
    let made = suite.connect(&acme, &world.token).await;
    assert_eq!(made.len(), 130);
    let mut ids = Vec::new();
    let mut request = ListConnectionsRequest::default();
    let mut sizes = Vec::new();
    loop {
        let page = suite
            .connections(&acme)
            .list_connections(request.clone())
            .await
            .unwrap()
            .into_inner();
        sizes.push(page.connections.len());
        ids.extend(page.connections.into_iter().map(|connection| connection.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(sizes, [50, 50, 30]);
    let mut expected: Vec<_> = made.iter().map(|connection| connection.id.clone()).collect();
    expected.sort();
    ids.sort();
    assert_eq!(ids, expected);

    let answer = suite.connections(&other).list_connections(request.clone()).await;
    assert_refused(answer, Code::InvalidArgument, ErrorReason::CursorInvalid);
    let oversized = ListConnectionsRequest {
        page_size: 251,
        ..ListConnectionsRequest::default()
    };
    let answer = suite.connections(&acme).list_connections(oversized).await;
    assert_eq!(
        paths(&assert_refused(
            answer,
            Code::InvalidArgument,
            ErrorReason::InvalidField
        )),
        ["page_size"]
    );
    let listed = suite
        .connections(&other)
        .list_connections(ListConnectionsRequest::default())
        .await
        .unwrap();
    assert!(listed.into_inner().connections.is_empty());
}

#[tokio::test]
async fn anothers_connection_is_as_absent_as_none() {
    let suite = Suite::start().await;
    let world = suite.world(NewWorld::default()).await;
    let (acme, other) = (suite.tenant("Acme").await, suite.tenant("Other").await);
    let made = suite.connect(&acme, &world.token).await;
    let get = async |id: &str| {
        let request = GetConnectionRequest { id: id.to_owned() };
        suite.connections(&other).get_connection(request).await
    };
    let foreign = assert_refused(get(&made[0].id).await, Code::NotFound, ErrorReason::NotFound);
    let absent = get("pc_01jd3bkq6se0tb6sq6r7g4z9zz").await;
    let absent = assert_refused(absent, Code::NotFound, ErrorReason::NotFound);
    assert_eq!(foreign.message(), absent.message());
    assert_eq!(foreign.details(), absent.details());
    let malformed = assert_refused(get("app_1").await, Code::InvalidArgument, ErrorReason::InvalidField);
    assert_eq!(paths(&malformed), ["id"]);
}

#[tokio::test]
async fn what_meta_says_of_the_portfolio_is_told_to_siblings_and_read_again_every_day() {
    let suite = Suite::start().await;
    let world = suite
        .world(NewWorld {
            numbers_per_waba: 2,
            tier: Tier::Users2K,
            ..NewWorld::default()
        })
        .await;
    let tenant = suite.tenant("Acme").await;
    suite.connect(&tenant, &world.wabas[0].token).await;
    let first = suite.messaging.told();
    assert_eq!(first.len(), 2);
    for snapshot in &first {
        assert_eq!(
            (snapshot.portfolio_id.as_str(), snapshot.messaging_limit.as_str()),
            (world.portfolio_id.as_str(), "TIER_2K")
        );
        assert!(snapshot.messaging_limit_time.is_some());
    }

    suite.sim.set_tier(&world.portfolio_id, Tier::Users10K).await.unwrap();
    let faster = ChangeNumber {
        throughput: Some(1_000),
        ..ChangeNumber::default()
    };
    let number = &world.wabas[0].numbers[1].phone_number_id;
    suite.sim.change_number(number, &faster).await.unwrap();
    suite
        .sql("UPDATE connection.connection SET examine_at = connection.now_() - interval '1 second'")
        .await;
    // A process that starts asks about what is due at once; one that runs does so every minute.
    let other = suite.another_process().await;
    eventually(Duration::from_secs(30), async || {
        let newest = suite.messaging.told().split_off(2);
        newest.len() >= 2
            && newest.iter().all(|snapshot| {
                let throughput = if snapshot.phone_number_id == *number { 1_000 } else { 80 };
                (
                    snapshot.version,
                    snapshot.messaging_limit.as_str(),
                    snapshot.throughput_per_second,
                ) == (2, "TIER_10K", throughput)
            })
    })
    .await;
    let due: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM connection.connection WHERE examine_at BETWEEN connection.now_() + interval '21 hours' AND connection.now_() + interval '27 hours'",
    )
    .fetch_one(suite.db.admin())
    .await
    .unwrap();
    assert_eq!(due, 2, "the next day");
    let stop = other.stopper();
    stop();
    stop();
}

#[tokio::test]
async fn an_account_of_which_meta_says_nothing_more_is_connected_all_the_same() {
    let suite = Suite::start().await;
    let world = suite.world(NewWorld::default()).await;
    for endpoint in ["waba", "phone_number"] {
        let refuses = Match {
            endpoint: Some(endpoint.to_owned()),
            ..Match::default()
        };
        let fault = Effect::Error {
            code: 100,
            http_status: None,
            details: None,
            subcode: None,
            is_transient: None,
        };
        suite.sim.fault(refuses, fault).await.unwrap();
    }
    let tenant = suite.tenant("Acme").await;
    assert_eq!(suite.connect(&tenant, &world.wabas[0].token).await.len(), 1);
    let told = suite.messaging.told();
    assert_eq!(
        (told[0].portfolio_id.as_str(), told[0].messaging_limit.as_str()),
        ("", "")
    );
    assert!(told[0].messaging_limit_time.is_none());
}
