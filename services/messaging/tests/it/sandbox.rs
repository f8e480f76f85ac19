//! Messages that are not to reach Meta.

use std::sync::atomic::Ordering;

use outeract_domain::{EventId, Wamid, event_id};
use outeract_proto::messaging::v1::{SendMessageRequest, SubmissionState};
use outeract_proto::tracking::v1::event::Payload;
use outeract_testkit::eventually;

use crate::instance::Client;
use crate::suite::{Number, SOON, Suite, get, id, recipient, request};

const STEPS: [&str; 4] = ["message.accepted", "message.sent", "message.delivered", "message.read"];

async fn send(client: &mut Client, number: &Number, to: &str) -> (EventId, String) {
    let request = SendMessageRequest {
        sandbox: true,
        ..request(number, to)
    };
    let answer = client.send_message(request).await.expect("sent").into_inner();
    let status = answer.status.clone().expect("a status");
    assert_eq!(
        (status.state(), status.success, status.pending),
        (SubmissionState::Accepted, true, false)
    );
    (id(&answer), status.external_message_id)
}

#[tokio::test]
async fn everything_but_the_call_happens_and_what_would_follow_is_simulated() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let (message, wamid) = send(&mut client, &suite.numbers[0], "+14155551234").await;
    assert!(wamid.starts_with("wamid.sandbox.") && wamid.len() > 40, "{wamid}");
    let (_, other) = send(&mut client, &suite.numbers[0], "+14155551234").await;
    assert_ne!(wamid, other);
    let stored = get(&client, message).await;
    assert_eq!(
        (stored.state(), stored.attempt, &stored.external_message_id),
        (SubmissionState::Accepted, 1, &wamid)
    );
    for step in STEPS {
        eventually(SOON, async || suite.siblings.children(message.uuid(), step).len() == 1).await;
        let child = suite.siblings.children(message.uuid(), step).remove(0);
        let Some(Payload::Status(payload)) = child.event.and_then(|event| event.payload) else {
            panic!("no status")
        };
        assert_eq!(payload.external_message_id, wamid);
    }
    // The same ids as a webhook's would have.
    let read = suite.siblings.children(message.uuid(), "message.read").remove(0);
    let expected = event_id::status(message, &Wamid::new(wamid).expect("a wamid"), "read", 0);
    assert_eq!(read.id, expected.bytes());
    assert!(suite.ledger().await.is_empty());
    assert_eq!(suite.meta.summary().await.expect("a summary").accepted, 0);
}

#[tokio::test]
async fn simulated_statuses_survive_the_process() {
    let suite = Suite::new().await;
    let one = suite.start().await;
    let mut client = one.client(&suite.key).await;
    suite.siblings.state.tracking_away.store(true, Ordering::Relaxed);
    let mut messages = Vec::new();
    for index in 0..20 {
        messages.push(send(&mut client, &suite.numbers[0], &recipient(index)).await.0);
    }
    one.kill();
    suite.siblings.state.tracking_away.store(false, Ordering::Relaxed);
    let _other = suite.start().await;
    for message in messages {
        for step in STEPS {
            eventually(SOON, async || suite.siblings.children(message.uuid(), step).len() == 1).await;
        }
    }
    assert!(suite.ledger().await.is_empty());
}

#[tokio::test]
async fn a_sandboxed_message_and_a_real_one_are_different_requests() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let real = request(&suite.numbers[0], "+14155551234");
    let sandboxed = SendMessageRequest {
        sandbox: true,
        ..real.clone()
    };
    client.send_message(sandboxed).await.expect("sent");
    let reused = client.send_message(real).await.expect_err("the key is taken");
    assert_eq!(
        outeract_rpc::reason(&reused),
        Some(outeract_proto::r#type::v1::ErrorReason::IdempotencyKeyReused)
    );
    assert!(suite.ledger().await.is_empty());
}
