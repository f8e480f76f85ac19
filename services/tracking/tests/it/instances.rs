//! Two processes on one database.

use std::time::Duration;

use outeract_domain::EventId;
use outeract_proto::tracking::v1::{AcknowledgeEventsRequest, GetEventRequest, ListEventsRequest, StreamEventsRequest};
use outeract_proto::r#type::v1::ErrorReason;
use tokio::task::JoinSet;
use tonic::Code;

use crate::suite::{Suite, end, event_ids, list_all, new_message, next, open, take};

fn consumer(name: &str) -> StreamEventsRequest {
    StreamEventsRequest {
        consumer: name.to_owned(),
        max_unacked: 5,
        ..StreamEventsRequest::default()
    }
}

#[tokio::test]
async fn what_one_records_the_other_streams() {
    let mut suite = Suite::new().await;
    let (one, two) = (suite.start(&[]).await, suite.start(&[]).await);
    let app = suite.app();
    let mut stream = open(&mut two.events(&app).await, consumer("c")).await;
    one.record(vec![app.inbound(1)]).await;
    let message = next(&mut stream).await;
    assert_eq!(message.events.len(), 1);
    // An acknowledgement at the other process makes room, too.
    one.record((2..8).map(|n| app.inbound(n)).collect()).await;
    take(&mut stream, 4).await;
    let acknowledge = AcknowledgeEventsRequest {
        consumer: "c".to_owned(),
        cursor: message.cursor,
        session: message.session,
    };
    one.events(&app).await.acknowledge_events(acknowledge).await.unwrap();
    assert_eq!(take(&mut stream, 1).await.len(), 1);
}

#[tokio::test]
async fn a_consumer_moves_from_one_to_the_other() {
    let mut suite = Suite::new().await;
    let (one, two) = (suite.start(&[]).await, suite.start(&[]).await);
    let app = suite.app();
    let mut first = open(&mut one.events(&app).await, consumer("c")).await;
    let mut second = open(&mut two.events(&app).await, consumer("c")).await;
    assert_eq!(
        end(&mut first).await,
        (Code::Aborted, Some(ErrorReason::ConsumerFenced))
    );
    one.record(vec![app.inbound(1)]).await;
    assert_eq!(take(&mut second, 1).await.len(), 1);
    // And back, while the first process stops.
    let mut third = open(&mut one.events(&app).await, consumer("c")).await;
    assert_eq!(
        end(&mut second).await,
        (Code::Aborted, Some(ErrorReason::ConsumerFenced))
    );
    (one.stop)();
    assert_eq!(
        end(&mut third).await,
        (Code::Unavailable, Some(ErrorReason::ShuttingDown))
    );
    let mut fourth = open(&mut two.events(&app).await, consumer("c")).await;
    assert_eq!(take(&mut fourth, 1).await.len(), 1);
}

#[tokio::test]
async fn a_young_event_that_the_other_records_is_found() {
    let mut suite = Suite::new().await;
    let (one, two) = (suite.start(&[]).await, suite.start(&[]).await);
    let app = suite.app();
    let mut events = one.events(&app).await;
    // The key is known from here on.
    list_all(&mut events, ListEventsRequest::default()).await;
    let message: EventId = new_message();
    let (answer, ()) = tokio::join!(
        events.get_event(GetEventRequest {
            id: message.to_string()
        }),
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            two.record(vec![app.outbound(message)]).await;
        }
    );
    assert!(answer.unwrap().into_inner().event.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_miss_nothing_while_both_record() {
    let mut suite = Suite::new().await;
    let instances = [suite.start(&[]).await, suite.start(&[]).await];
    let apps = [suite.app(), suite.app(), suite.app()];
    let (writers, rounds, size) = (8_u32, 12_u32, 15_u32);
    let expected = (writers * rounds * size / 3) as usize;
    let mut followers = JoinSet::new();
    for (index, app) in apps.iter().enumerate() {
        let mut events = instances[index % 2].events(app).await;
        let request = StreamEventsRequest {
            max_unacked: 10_000,
            ..consumer("follower")
        };
        followers.spawn(async move {
            let mut stream = open(&mut events, request).await;
            let followed = take(&mut stream, expected).await;
            let listed = list_all(&mut events, ListEventsRequest::default()).await;
            assert_eq!(event_ids(&followed), event_ids(&listed));
        });
    }
    let mut calls = JoinSet::new();
    for writer in 0..writers {
        let (instance, apps) = (instances[writer as usize % 2].internal(), apps.clone());
        calls.spawn(async move {
            let mut instance = instance;
            for round in 0..rounds {
                let n = |place: u32| (writer * rounds + round) * size + place;
                let events = (0..size)
                    .map(|place| apps[place as usize % 3].inbound(n(place)))
                    .collect();
                let request = outeract_proto::tracking::internal::v1::RecordEventsRequest { events };
                instance.record_events(request).await.unwrap();
            }
        });
    }
    calls.join_all().await;
    tokio::time::timeout(crate::suite::LONG, followers.join_all())
        .await
        .expect("followers catch up");
}
