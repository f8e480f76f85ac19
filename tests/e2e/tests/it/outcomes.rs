//! What becomes of a message when Meta's answer is lost, late or no.

use std::collections::HashMap;
use std::time::Duration;

use outeract_dev::Service;
use outeract_e2e::{Api, Options, World, text_message};
use outeract_proto::messaging::v1::{
    GetMessageRequest, Message, OnUnknown, SendMessageRequest, SendWait, SubmissionState,
};
use outeract_simulator::control::{Inbound, NewWorld};
use outeract_simulator::{Effect, Match, StatusDelays, Switches};
use outeract_testkit::eventually;

const WAIT: Duration = Duration::from_mins(2);

async fn message(api: &Api, id: &str) -> Message {
    let found = api
        .messaging
        .clone()
        .get_message(GetMessageRequest { id: id.to_owned() })
        .await;
    found.expect("found").into_inner().message.expect("a message")
}

fn to(recipient: &str) -> Match {
    Match {
        to: Some(recipient.to_owned()),
        ..Match::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_ends_as_it_should() {
    let settings = vec![(Service::Messaging, "MESSAGING_UNKNOWN_AFTER", "30s".to_owned())];
    let world = World::start("outcomes", &Options { settings }).expect("a world");
    let (api, meta, connections) = world
        .connected("Outcomes", &NewWorld::default())
        .await
        .expect("a connection");
    world.simulator.set_switches(Switches::OFF).await.expect("switched");
    let users = (1..=9).map(|index| format!("+1415555{index:04}"));
    world.users_have_written(users).await.expect("written");
    let send = async |recipient: &str, on_unknown: OnUnknown| {
        let request = SendMessageRequest {
            on_unknown: on_unknown.into(),
            wait: SendWait::Outcome.into(),
            ..text_message(format!("to {recipient}"), &connections[0], recipient, "hello")
        };
        api.messaging
            .clone()
            .send_message(request)
            .await
            .expect("stored")
            .into_inner()
    };
    let becomes = async |id: &str, state: SubmissionState| {
        eventually(WAIT, async || message(&api, id).await.state() == state).await;
    };
    let accepted_by_meta = async |id: &str| {
        world
            .simulator
            .summary()
            .await
            .expect("a summary")
            .duplicates
            .get(id)
            .copied()
    };

    // The answer is lost, a status comes: the echo settles it.
    world
        .simulator
        .fault(to("+14155550001"), Effect::ResponseLost)
        .await
        .expect("a fault");
    let lost = send("+14155550001", OnUnknown::Hold).await;
    assert!(!lost.status.clone().expect("a status").success);
    becomes(&lost.id, SubmissionState::Accepted).await;
    assert_eq!(message(&api, &lost.id).await.attempt, 1, "not sent again");
    assert_eq!(accepted_by_meta(&lost.id).await, None);

    // The answer is lost and no status ever comes: held, not sent again.
    let silent = to("+14155550002");
    world
        .simulator
        .fault(silent.clone(), Effect::WithholdStatuses { statuses: Vec::new() })
        .await
        .expect("a fault");
    world
        .simulator
        .fault(silent, Effect::ResponseLost)
        .await
        .expect("a fault");
    let held = send("+14155550002", OnUnknown::Hold).await;

    // RESEND: the first call never arrived, and it is sent once more.
    let twice = Match {
        count: Some(1),
        ..to("+14155550003")
    };
    world
        .simulator
        .fault(twice, Effect::ResetBefore)
        .await
        .expect("a fault");
    let resent = send("+14155550003", OnUnknown::Resend).await;

    // RESEND: the first call did arrive, silently. Meta accepts it twice, and both acceptances are known.
    let silent_twice = Match {
        count: Some(1),
        ..to("+14155550009")
    };
    let late = Effect::WithholdStatuses {
        statuses: vec!["sent".to_owned(), "delivered".to_owned()],
    };
    world.simulator.set_statuses(late_reads()).await.expect("slowed");
    world.simulator.fault(to("+14155550009"), late).await.expect("a fault");
    world
        .simulator
        .fault(silent_twice, Effect::ResponseLost)
        .await
        .expect("a fault");
    let doubled = send("+14155550009", OnUnknown::Resend).await;
    world
        .simulator
        .set_statuses(StatusDelays::default())
        .await
        .expect("as before");

    // FAIL: given up.
    world
        .simulator
        .fault(to("+14155550004"), Effect::ResetBefore)
        .await
        .expect("a fault");
    let failed = send("+14155550004", OnUnknown::Fail).await;

    // All four outcomes are unknown for half a minute, side by side, and until a webhook that came later shows that theirs would have come, too.
    let hi = Inbound {
        phone_number_id: meta.wabas[0].numbers[0].phone_number_id.clone(),
        from: "+14155550008".to_owned(),
        text: "hi".to_owned(),
        ..Inbound::default()
    };
    let somebody_writes = async || {
        let written = world.simulator.inbound(std::slice::from_ref(&hi)).await;
        written.expect("written");
    };
    eventually(WAIT, async || {
        somebody_writes().await;
        message(&api, &held.id).await.held && message(&api, &doubled.id).await.attempt == 2
    })
    .await;
    assert_eq!(message(&api, &held.id).await.state(), SubmissionState::Unknown);
    becomes(&resent.id, SubmissionState::Accepted).await;
    assert_eq!(message(&api, &resent.id).await.attempt, 2);
    becomes(&failed.id, SubmissionState::Failed).await;
    becomes(&doubled.id, SubmissionState::Accepted).await;
    assert_eq!(message(&api, &doubled.id).await.attempt, 2);
    eventually(WAIT, async || message(&api, &doubled.id).await.duplicate_count == 1).await;

    // A refusal is an OK answer that says no, with Meta's code and our reason.
    let code = |code| Effect::Error {
        code,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    world
        .simulator
        .fault(to("+14155550005"), code(131_026))
        .await
        .expect("a fault");
    let refused = send("+14155550005", OnUnknown::Hold).await.status.expect("a status");
    let error = refused.error.expect("an error");
    assert_eq!(
        (refused.success, error.meta_code, error.reason.as_str()),
        (false, 131_026, "RECIPIENT_UNREACHABLE")
    );

    // A passing fault is tried again.
    let once = Match {
        count: Some(1),
        ..to("+14155550006")
    };
    world.simulator.fault(once, code(131_016)).await.expect("a fault");
    let retried = send("+14155550006", OnUnknown::Hold).await;
    becomes(&retried.id, SubmissionState::Accepted).await;
    assert_eq!(message(&api, &retried.id).await.attempt, 2);

    // A status that comes before Meta's answer loses nothing, with and without our data in it.
    world
        .simulator
        .fault(to("+14155550007"), Effect::EarlyStatus)
        .await
        .expect("a fault");
    let early = send("+14155550007", OnUnknown::Hold).await;
    becomes(&early.id, SubmissionState::Accepted).await;
    world
        .simulator
        .fault(to("+14155550008"), Effect::DropCallback)
        .await
        .expect("a fault");
    world
        .simulator
        .fault(to("+14155550008"), Effect::EarlyStatus)
        .await
        .expect("a fault");
    let orphan = send("+14155550008", OnUnknown::Hold).await;
    becomes(&orphan.id, SubmissionState::Accepted).await;
    for id in [&early.id, &orphan.id] {
        let request = outeract_proto::tracking::v1::GetEventRequest { id: id.clone() };
        eventually(WAIT, async || {
            let found = api
                .events
                .clone()
                .get_event(request.clone())
                .await
                .expect("found")
                .into_inner();
            ["message.sent", "message.delivered", "message.read"]
                .iter()
                .all(|wanted| found.child_events.iter().any(|child| child.event_type == *wanted))
        })
        .await;
    }
    // Only the message whose sender asked for it was accepted twice.
    let summary = world.simulator.summary().await.expect("a summary");
    assert_eq!(summary.duplicates, HashMap::from([(doubled.id.clone(), 2)]));
}

/// Reads come long after the half minute that an outcome may stay unknown.
fn late_reads() -> StatusDelays {
    StatusDelays {
        read_ms: (45_000, 45_000),
        ..StatusDelays::default()
    }
}
