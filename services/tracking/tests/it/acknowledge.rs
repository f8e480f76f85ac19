//! `AcknowledgeEvents`.

use outeract_proto::tracking::v1::{AcknowledgeEventsRequest, Event, ListEventsRequest, StreamEventsRequest};
use outeract_proto::r#type::v1::ErrorReason;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::suite::{App, Events, Instance, Suite, list_all, next, open, refusal};

fn consumer(name: &str) -> StreamEventsRequest {
    StreamEventsRequest {
        consumer: name.to_owned(),
        ..StreamEventsRequest::default()
    }
}

async fn acknowledge(events: &mut Events, name: &str, cursor: &str, session: &str) -> Result<String, Status> {
    let request = AcknowledgeEventsRequest {
        consumer: name.to_owned(),
        cursor: cursor.to_owned(),
        session: session.to_owned(),
    };
    Ok(events.acknowledge_events(request).await?.into_inner().cursor)
}

async fn recorded(instance: &Instance, app: &App, count: u32) -> Vec<Event> {
    instance.record((0..count).map(|n| app.inbound(n)).collect()).await;
    list_all(&mut instance.events(app).await, ListEventsRequest::default()).await
}

#[tokio::test]
async fn an_acknowledgement_is_durable_and_goes_forward_only() {
    let mut suite = Suite::new().await;
    let instance = suite.start(&[]).await;
    let app = suite.app();
    let mut events = instance.events(&app).await;
    let listed = recorded(&instance, &app, 10).await;
    let session = next(&mut open(&mut events, consumer("c")).await).await.session;
    let at = |n: usize| listed[n].cursor.as_str();
    assert_eq!(acknowledge(&mut events, "c", at(5), &session).await.unwrap(), at(5));
    assert_eq!(acknowledge(&mut events, "c", at(2), &session).await.unwrap(), at(5));
    assert_eq!(acknowledge(&mut events, "c", at(5), "").await.unwrap(), at(5));
    assert_eq!(acknowledge(&mut events, "c", at(7), "").await.unwrap(), at(7));
    // Another process knows it from the database.
    let second = suite.start(&[]).await;
    let mut events = second.events(&app).await;
    assert_eq!(acknowledge(&mut events, "c", at(0), "").await.unwrap(), at(7));
    assert_eq!(next(&mut open(&mut events, consumer("c")).await).await.events.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_acknowledged() {
    let (suite, instance) = Suite::with_instance().await;
    let (app, other) = (suite.app(), suite.app());
    let mut events = instance.events(&app).await;
    let listed = recorded(&instance, &app, 3).await;
    recorded(&instance, &other, 3).await;
    let session = next(&mut open(&mut events, consumer("c")).await).await.session;
    let cursor = listed[1].cursor.as_str();
    let invalid = (Code::InvalidArgument, Some(ErrorReason::CursorInvalid));
    assert_eq!(
        refusal(acknowledge(&mut events, "d", cursor, "").await),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );
    assert_eq!(refusal(acknowledge(&mut events, "c", "", &session).await), invalid);
    assert_eq!(
        refusal(acknowledge(&mut events, "c", &session, &session).await),
        invalid
    );
    let field = (Code::InvalidArgument, Some(ErrorReason::InvalidField));
    assert_eq!(refusal(acknowledge(&mut events, "c", cursor, cursor).await), field);
    assert_eq!(refusal(acknowledge(&mut events, "d", cursor, &session).await), field);
    let mut theirs = instance.events(&other).await;
    open(&mut theirs, consumer("c")).await;
    assert_eq!(refusal(acknowledge(&mut theirs, "c", cursor, "").await), invalid);
    assert_eq!(refusal(acknowledge(&mut theirs, "c", cursor, &session).await), field);
    // A position that the log has not reached, as after a restore to an earlier moment.
    sqlx::query("UPDATE tracking.head SET position = 1 WHERE application_id = $1")
        .bind(app.id.uuid())
        .execute(suite.db.admin())
        .await
        .unwrap();
    assert_eq!(refusal(acknowledge(&mut events, "c", cursor, "").await), invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_the_same_time_end_at_the_furthest() {
    let mut suite = Suite::new().await;
    let instances = [suite.start(&[]).await, suite.start(&[]).await];
    let app = suite.app();
    let listed = recorded(&instances[0], &app, 200).await;
    let mut events = instances[0].events(&app).await;
    let names = ["a", "b", "c", "d"];
    for name in names {
        open(&mut events, consumer(name)).await;
    }
    let mut calls = JoinSet::new();
    for (n, event) in listed.iter().enumerate() {
        let (mut events, cursor) = (instances[n % 2].events(&app).await, event.cursor.clone());
        let order: Vec<_> = if n % 3 == 0 {
            names.into_iter().rev().collect()
        } else {
            names.to_vec()
        };
        calls.spawn(async move {
            for name in order {
                acknowledge(&mut events, name, &cursor, "").await.unwrap();
            }
        });
    }
    calls.join_all().await;
    for name in names {
        assert_eq!(
            acknowledge(&mut events, name, &listed[0].cursor, "").await.unwrap(),
            listed[199].cursor
        );
    }
}
