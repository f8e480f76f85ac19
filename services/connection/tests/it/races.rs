//! Several callers want the same number.

use outeract_proto::r#type::v1::ErrorReason;
use outeract_simulator::control::NewWorld;
use outeract_simulator::{Effect, Match};
use tokio::task::JoinSet;
use tonic::Code;

use crate::suite::{Suite, assert_refused, create, fact};

/// All calls meet at the subscription, behind the first check.
async fn hold_subscriptions(suite: &Suite) {
    let matches = Match {
        endpoint: Some("subscribed_apps".to_owned()),
        ..Match::default()
    };
    let effect = Effect::Latency {
        before_ms: 500,
        after_ms: 0,
        jitter_ms: 0,
    };
    suite.sim.fault(matches, effect).await.unwrap();
}

#[tokio::test]
async fn one_of_many_applications_gets_the_numbers() {
    let suite = Suite::start().await;
    let world = suite
        .world(NewWorld {
            numbers_per_waba: 5,
            ..NewWorld::default()
        })
        .await;
    hold_subscriptions(&suite).await;
    let mut calls = JoinSet::new();
    for index in 0..6 {
        let tenant = suite.tenant(&format!("Tenant {index}")).await;
        let mut client = suite.connections(&tenant);
        let mut request = create(&world.token);
        request.phone_number_ids = world.wabas[0]
            .numbers
            .iter()
            .map(|number| number.phone_number_id.clone())
            .collect();
        // Named in different orders.
        request.phone_number_ids.rotate_left(index % 5);
        calls.spawn(async move { client.create_connection(request).await });
    }
    let (won, lost): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 5));
    for answer in lost {
        let status = assert_refused(answer, Code::AlreadyExists, ErrorReason::NumberTaken);
        assert!(fact(&status, "phone_number_id").is_some());
    }
    assert_eq!(suite.rows().await, [5, 1, 0]);
}

#[tokio::test]
async fn one_application_at_once_makes_each_connection_once() {
    let suite = Suite::start().await;
    let world = suite
        .world(NewWorld {
            numbers_per_waba: 2,
            ..NewWorld::default()
        })
        .await;
    hold_subscriptions(&suite).await;
    let tenant = suite.tenant("Acme").await;
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let mut client = suite.connections(&tenant);
        let request = create(&world.token);
        calls.spawn(async move {
            client
                .create_connection(request)
                .await
                .unwrap()
                .into_inner()
                .connections
        });
    }
    let answers = calls.join_all().await;
    for answer in &answers {
        let ids = |connections: &[outeract_proto::connection::v1::Connection]| {
            connections
                .iter()
                .map(|connection| connection.id.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(answer), ids(&answers[0]));
        // Each can be opened: what is sealed is bound to the id that stayed.
        assert_eq!(answer[0].display_phone_number, world.wabas[0].numbers[0].e164);
    }
    assert_eq!(suite.rows().await[..2], [2, 1]);
}
