use std::collections::BTreeSet;
use std::time::Duration;

use outeract_e2e::{Options, World, reason, text_message};
use outeract_proto::messaging::v1::{GetMessageRequest, SendWait, SubmissionState};
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{
    AcknowledgeEventsRequest, DeliveryState, GetEventRequest, ListEventsRequest, StreamEventsRequest,
};
use outeract_simulator::control::{Inbound, NewWorld};
use tokio_stream::StreamExt as _;
use tonic::Code;

const ANN: &str = "+14155559999";

#[tokio::test(flavor = "multi_thread")]
async fn one_message_from_hello_to_read() {
    let world = World::start("life", &Options::default()).expect("a world");
    let (api, meta, connections) = world
        .connected("Life", &NewWorld::default())
        .await
        .expect("a connection");
    let number = &meta.wabas[0].numbers[0];
    let consumer = StreamEventsRequest {
        consumer: "life".to_owned(),
        ..StreamEventsRequest::default()
    };
    let mut stream = api
        .events
        .clone()
        .stream_events(consumer)
        .await
        .expect("a stream")
        .into_inner();

    // Ann writes; her message is an event with the seed's fields.
    let hi = Inbound {
        phone_number_id: number.phone_number_id.clone(),
        from: ANN.to_owned(),
        text: "hi".to_owned(),
        ..Inbound::default()
    };
    let inbound = world.simulator.inbound(&[hi]).await.expect("injected").remove(0);
    let mut seen = Vec::new();
    let mut cursor = String::new();
    let mut session = String::new();
    let mut follow = async |until: &str, seen: &mut Vec<_>| {
        while seen
            .last()
            .is_none_or(|last: &outeract_proto::tracking::v1::Event| last.event_type != until)
        {
            let batch = tokio::time::timeout(Duration::from_secs(30), stream.next()).await;
            let batch = batch
                .expect("an event in time")
                .expect("an open stream")
                .expect("no error");
            (cursor, session) = (batch.cursor, batch.session);
            seen.extend(batch.events);
        }
        (cursor.clone(), session.clone())
    };
    follow("message.inbound", &mut seen).await;
    let Some(Payload::Message(said)) = &seen[0].payload else {
        panic!("{seen:?}")
    };
    assert_eq!((said.platform.as_str(), said.role.as_str()), ("whatsapp", "user"));
    assert_eq!(said.external_message_id, inbound.wamid);
    let sender = seen[0]
        .edges
        .as_ref()
        .and_then(|edges| edges.sent_by.as_ref())
        .expect("a sender");
    assert_eq!(sender.external_id, ANN);
    assert_eq!(seen[0].connection_id, connections[0]);

    // The reply is accepted while the caller waits, and the same request again is the same message.
    let mut reply = text_message("reply-1", &connections[0], ANN, "Hello!");
    reply.wait = SendWait::Outcome.into();
    let sent = api
        .messaging
        .clone()
        .send_message(reply.clone())
        .await
        .expect("stored")
        .into_inner();
    let status = sent.status.clone().expect("a status");
    assert_eq!(
        (status.state(), status.success, status.pending),
        (SubmissionState::Accepted, true, false),
        "{status:?}"
    );
    assert!(status.external_message_id.starts_with("wamid."));
    let again = api
        .messaging
        .clone()
        .send_message(reply.clone())
        .await
        .expect("replayed")
        .into_inner();
    assert_eq!((again.id.as_str(), again.replayed), (sent.id.as_str(), true));
    let mut other = reply;
    other.to_external_id = "+14155550000".to_owned();
    let refused = api
        .messaging
        .clone()
        .send_message(other)
        .await
        .expect_err("other content");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED")
    );

    // Its whole life comes down the stream; the log, the event and the message agree.
    let (cursor, session) = follow("message.read", &mut seen).await;
    let types: BTreeSet<_> = seen.iter().map(|event| event.event_type.as_str()).collect();
    let expected = [
        "message.accepted",
        "message.delivered",
        "message.inbound",
        "message.outbound",
        "message.read",
        "message.sent",
    ];
    assert_eq!(types, BTreeSet::from(expected));
    let found = api
        .events
        .clone()
        .get_event(GetEventRequest { id: sent.id.clone() })
        .await
        .expect("found")
        .into_inner();
    let children: BTreeSet<_> = found
        .child_events
        .iter()
        .map(|child| child.event_type.as_str())
        .collect();
    assert_eq!(
        children,
        BTreeSet::from(["message.accepted", "message.delivered", "message.read", "message.sent"])
    );
    assert!(found.child_events.iter().all(|child| child.origin_event_id == sent.id));
    assert_eq!(found.delivery.expect("a delivery").state(), DeliveryState::Read);
    let message = api
        .messaging
        .clone()
        .get_message(GetMessageRequest { id: sent.id.clone() })
        .await;
    let message = message.expect("found").into_inner().message.expect("a message");
    assert_eq!(
        (message.state(), message.attempt, message.duplicate_count),
        (SubmissionState::Accepted, 1, 0)
    );
    assert_eq!(message.to_external_id, ANN);
    let list = ListEventsRequest {
        event_types: vec!["message.*".to_owned()],
        ..ListEventsRequest::default()
    };
    let listed = api
        .events
        .clone()
        .list_events(list)
        .await
        .expect("listed")
        .into_inner()
        .events;
    let ids = |events: &[outeract_proto::tracking::v1::Event]| {
        events.iter().map(|event| event.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&listed), ids(&seen), "the stream and the list are the same log");

    // An acknowledged cursor is where the next stream goes on.
    let acknowledge = AcknowledgeEventsRequest {
        consumer: "life".to_owned(),
        cursor,
        session,
    };
    api.events
        .clone()
        .acknowledge_events(acknowledge)
        .await
        .expect("acknowledged");
    let bye = text_message("reply-2", &connections[0], ANN, "Bye!");
    let bye = api
        .messaging
        .clone()
        .send_message(bye)
        .await
        .expect("stored")
        .into_inner();
    let consumer = StreamEventsRequest {
        consumer: "life".to_owned(),
        ..StreamEventsRequest::default()
    };
    let mut resumed = api
        .events
        .clone()
        .stream_events(consumer)
        .await
        .expect("a stream")
        .into_inner();
    let first = loop {
        let batch = tokio::time::timeout(Duration::from_secs(30), resumed.next())
            .await
            .expect("in time");
        if let Some(event) = batch.expect("open").expect("no error").events.into_iter().next() {
            break event;
        }
    };
    assert_eq!(
        (first.id.as_str(), first.event_type.as_str()),
        (bye.id.as_str(), "message.outbound")
    );

    // Meta's own ledger agrees: two messages, none twice.
    let summary = world.simulator.summary().await.expect("a summary");
    assert_eq!((summary.messages, summary.duplicates.len()), (summary.accepted, 0));
}
