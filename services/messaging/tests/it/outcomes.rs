//! What Meta answers, and what follows from it.

use std::net::SocketAddr;
use std::time::Duration;

use outeract_proto::messaging::v1::{OnUnknown, SendMessageRequest, SubmissionState};
use outeract_simulator::control::ChangeToken;
use outeract_simulator::{Effect, Match};
use outeract_testkit::{eventually, free_port};
use tokio::net::{TcpListener, TcpStream};

use crate::suite::{SOON, Suite, get, id, recipient, request, status_of};

fn once(effect: Effect) -> (Match, Effect) {
    (
        Match {
            count: Some(1),
            ..Match::default()
        },
        effect,
    )
}

fn error(code: i32) -> Effect {
    Effect::Error {
        code,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    }
}

async fn fault(suite: &Suite, (matches, effect): (Match, Effect)) {
    suite.meta.fault(matches, effect).await.expect("added");
}

#[tokio::test]
async fn a_refusal_for_good_is_ok_without_success() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    for (code, reason) in [
        (131_026, "RECIPIENT_UNREACHABLE"),
        (100, "PARAMETER_INVALID"),
        // The last: it closes the window.
        (131_047, "OUTSIDE_MESSAGING_WINDOW"),
    ] {
        fault(&suite, once(error(code))).await;
        let answer = client
            .send_message(request(&suite.numbers[0], "+14155551234"))
            .await
            .expect("stored")
            .into_inner();
        let status = answer.status.clone().expect("a status");
        assert_eq!(
            (status.state(), status.success, status.pending),
            (SubmissionState::Failed, false, false)
        );
        let told = status.error.expect("an error");
        assert_eq!(
            (told.reason.as_str(), told.meta_code, told.retryable),
            (reason, code, false)
        );
        let message = get(&client, id(&answer)).await;
        assert_eq!(
            (message.state(), message.error, message.attempt),
            (SubmissionState::Failed, Some(told), 1)
        );
        let message = id(&answer).uuid();
        eventually(SOON, async || {
            suite.siblings.children(message, "message.failed").len() == 1
        })
        .await;
    }
    assert!(suite.ledger().await.is_empty());
}

#[tokio::test]
async fn a_server_fault_is_tried_twice_more_and_then_fails() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    fault(
        &suite,
        (
            Match {
                count: Some(2),
                ..Match::default()
            },
            error(131_016),
        ),
    )
    .await;
    let answer = client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    let status = answer.status.clone().expect("a status");
    assert_eq!(
        (status.state(), status.pending),
        (SubmissionState::Queued, true),
        "the wait ends when a retry is planned"
    );
    assert!(
        status
            .error
            .is_some_and(|error| error.retryable && error.meta_code == 131_016)
    );
    let message = suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
    assert_eq!((message.attempt, message.error), (3, None));

    fault(&suite, (Match::default(), error(131_000))).await;
    let answer = client
        .send_message(request(number, "+14155551235"))
        .await
        .expect("stored")
        .into_inner();
    let message = suite.reaches(&client, id(&answer), SubmissionState::Failed).await;
    assert_eq!(
        (message.attempt, message.error.expect("an error").retryable),
        (3, false)
    );
    assert_eq!(suite.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_until_an_echo_tells() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    for effect in [
        Effect::ResponseLost,
        Effect::ResetAfter,
        Effect::Truncated,
        Effect::NonJson,
        Effect::NoId,
    ] {
        let before = suite.ledger().await.len();
        fault(&suite, once(effect.clone())).await;
        let answer = client
            .send_message(request(number, &recipient(before)))
            .await
            .expect("stored")
            .into_inner();
        let status = answer.status.clone().expect("a status");
        assert_eq!(
            (status.state(), status.pending),
            (SubmissionState::Unknown, true),
            "{effect:?}"
        );
        let message = get(&client, id(&answer)).await;
        assert_eq!((message.attempt, message.held), (1, false));
        let ledger = suite.ledger().await;
        assert_eq!(ledger.len(), before + 1, "{effect:?}");

        let result = suite
            .status(&instance, number, status_of(&ledger[before], "sent"))
            .await;
        assert_eq!(result.message_id, id(&answer).uuid().as_bytes());
        let message = get(&client, id(&answer)).await;
        assert_eq!(
            (message.state(), message.external_message_id.as_str()),
            (SubmissionState::Accepted, ledger[before].wamid.as_str())
        );
        let message = id(&answer).uuid();
        eventually(SOON, async || {
            suite.siblings.children(message, "message.unknown").len() == 1
                && suite.siblings.children(message, "message.accepted").len() == 1
        })
        .await;
    }
    let summary = suite.meta.summary().await.expect("a summary");
    assert_eq!((summary.accepted, summary.duplicates.len()), (5, 0));
}

#[tokio::test]
async fn hold_keeps_what_nobody_knows_and_never_sends_it_again() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    fault(&suite, once(Effect::ResponseLost)).await;
    let answer = client
        .send_message(request(&suite.numbers[0], "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    suite.quiet(&instance, time::Duration::minutes(9)).await;
    assert!(!get(&client, id(&answer)).await.held);
    suite.quiet(&instance, time::Duration::minutes(2)).await;
    let message = suite.message_when(&client, id(&answer), |message| message.held).await;
    assert_eq!((message.state(), message.attempt), (SubmissionState::Unknown, 1));
    assert_eq!(suite.ledger().await.len(), 1);
    // Evidence still counts.
    let ledger = suite.ledger().await;
    suite
        .status(&instance, &suite.numbers[0], status_of(&ledger[0], "delivered"))
        .await;
    let message = get(&client, id(&answer)).await;
    assert_eq!((message.state(), message.held), (SubmissionState::Accepted, false));
}

#[tokio::test]
async fn resend_sends_once_more_and_a_second_acceptance_is_counted() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    fault(&suite, once(Effect::ResponseLost)).await;
    let request = SendMessageRequest {
        on_unknown: OnUnknown::Resend.into(),
        ..request(number, "+14155551234")
    };
    let answer = client.send_message(request).await.expect("stored").into_inner();
    suite.quiet(&instance, time::Duration::minutes(11)).await;
    let message = suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
    assert_eq!((message.attempt, message.duplicate_count), (2, 0));
    let ledger = suite.ledger().await;
    assert_eq!(ledger.len(), 2);
    assert_eq!(message.external_message_id, ledger[1].wamid);

    // The echo of the first shows what happened, however often it comes.
    for word in ["sent", "delivered", "delivered", "read"] {
        let result = suite.status(&instance, number, status_of(&ledger[0], word)).await;
        assert_eq!(result.message_id, id(&answer).uuid().as_bytes());
    }
    let message = get(&client, id(&answer)).await;
    assert_eq!(
        (message.state(), message.duplicate_count),
        (SubmissionState::Accepted, 1)
    );
    assert_eq!(message.external_message_id, ledger[1].wamid);
    let message = id(&answer).uuid();
    eventually(SOON, async || {
        suite.siblings.children(message, "message.duplicate").len() == 1
    })
    .await;
    assert_eq!(suite.siblings.children(message, "message.accepted").len(), 1);
}

#[tokio::test]
async fn fail_ends_it_and_evidence_turns_it_round() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    fault(&suite, once(Effect::ResponseLost)).await;
    let request = SendMessageRequest {
        on_unknown: OnUnknown::Fail.into(),
        ..request(number, "+14155551234")
    };
    let answer = client.send_message(request).await.expect("stored").into_inner();
    suite.quiet(&instance, time::Duration::minutes(11)).await;
    let message = suite.reaches(&client, id(&answer), SubmissionState::Failed).await;
    assert_eq!(message.error.expect("an error").reason, "OUTCOME_UNKNOWN");
    let ledger = suite.ledger().await;
    suite.status(&instance, number, status_of(&ledger[0], "read")).await;
    let message = get(&client, id(&answer)).await;
    assert_eq!(
        (message.state(), message.duplicate_count, message.error),
        (SubmissionState::Accepted, 0, None)
    );
    assert_eq!(suite.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_resend_that_is_refused_leaves_the_doubt() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    fault(&suite, once(Effect::ResponseLost)).await;
    let request = SendMessageRequest {
        on_unknown: OnUnknown::Resend.into(),
        ..request(&suite.numbers[0], "+14155551234")
    };
    let answer = client.send_message(request).await.expect("stored").into_inner();
    fault(&suite, (Match::default(), error(131_026))).await;
    suite.quiet(&instance, time::Duration::minutes(11)).await;
    let message = suite
        .message_when(&client, id(&answer), |message| {
            message.attempt == 2 && message.state() == SubmissionState::Unknown
        })
        .await;
    assert!(message.error.is_some_and(|error| error.meta_code == 131_026));
    suite.quiet(&instance, time::Duration::minutes(11)).await;
    let message = suite.message_when(&client, id(&answer), |message| message.held).await;
    assert_eq!(message.attempt, 2, "once more, no more than once");
}

#[tokio::test]
async fn what_never_left_is_tried_again_and_not_counted() {
    let mut suite = Suite::new().await;
    // A closed port: no connection, so not one byte can leave.
    let door = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let meta = suite.meta_address();
    suite.reach_meta_at(door);
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let answer = client
        .send_message(request(&suite.numbers[0], "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    let message = suite
        .message_when(&client, id(&answer), |message| message.attempt >= 2)
        .await;
    assert_eq!(message.error.expect("an error").reason, "META_UNREACHABLE");
    let tries: i32 = sqlx::query_scalar("SELECT tries FROM messaging.queue WHERE message_id = $1")
        .bind(id(&answer).uuid())
        .fetch_one(suite.database.admin())
        .await
        .expect("a row");
    assert!(tries <= 1, "{tries}");
    let listener = TcpListener::bind(door).await.expect("the port is still free");
    let message = tokio::select! {
        message = suite.reaches(&client, id(&answer), SubmissionState::Accepted) => message,
        never = forward(listener, meta) => never,
    };
    assert!(message.attempt >= 3);
    assert_eq!(suite.ledger().await.len(), 1);
}

/// Hands connections on, one after the other, for ever.
async fn forward<T>(listener: TcpListener, to: SocketAddr) -> T {
    loop {
        let (mut client, _) = listener.accept().await.expect("a connection");
        let mut server = TcpStream::connect(to).await.expect("a server");
        // Either side may end it.
        drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_no_unknown_outcome() {
    let mut suite = Suite::new().await;
    suite.reach_meta_at(SocketAddr::from(([127, 0, 0, 1], free_port())));
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let answer = client
        .send_message(request(&suite.numbers[0], "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    let status = answer.status.expect("a status");
    assert_eq!((status.state(), status.pending), (SubmissionState::Queued, true));
    assert_eq!(status.error.expect("an error").reason, "META_UNREACHABLE");
}

#[tokio::test]
async fn a_refused_token_waits_for_a_younger_one() {
    let suite = Suite::new().await;
    let number = &suite.numbers[0];
    suite.set_token(number, "EAAG-of-nobody");
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let nothing = Effect::Latency {
        before_ms: 0,
        after_ms: 0,
        jitter_ms: 0,
    };
    fault(&suite, (Match::default(), nothing)).await;
    let sends = async || suite.meta.faults().await.expect("rules")[0].applied;
    let answer = client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    let status = answer.status.clone().expect("a status");
    assert_eq!((status.state(), status.pending), (SubmissionState::Queued, true));
    let told = status.error.expect("an error");
    assert_eq!((told.reason.as_str(), told.retryable), ("TOKEN_INVALID", true));
    let tried = sends().await;

    // Many messages wait with it, and none of them is tried: the number waits.
    for index in 0..20 {
        suite.store(&mut client, number, &recipient(index)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(sends().await, tried);

    suite.set_token(number, &number.token);
    suite
        .change(&instance, number, |connection| connection.token_version = 2)
        .await;
    eventually(SOON, async || suite.ledger().await.len() >= 20).await;
}

#[tokio::test]
async fn a_refused_token_is_exchanged_at_once_if_there_is_a_younger_one() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("sent");
    // A reading that met the dead token would bring the younger one before the message asks for it.
    suite.templates_known().await;
    // The token in memory dies; the connection service has another, and its push was lost.
    let revoked = ChangeToken {
        token: number.token.clone(),
        revoked: Some(true),
        expires_in_seconds: None,
    };
    suite.meta.change_token(&revoked).await.expect("revoked");
    suite.set_token(number, &suite.portfolio_token);
    suite.raise_token_version(number);
    let answer = client
        .send_message(request(number, "+14155551235"))
        .await
        .expect("stored")
        .into_inner();
    let message = suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
    assert_eq!(message.attempt, 2);
}

#[tokio::test]
async fn a_connection_that_a_person_must_put_right_parks_its_messages_without_a_storm() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    fault(&suite, (Match::default(), error(131_031))).await;
    let answer = client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    let message = get(&client, id(&answer)).await;
    assert_eq!((message.state(), message.attempt), (SubmissionState::Queued, 1));
    assert!(message.next_attempt_time.is_some());
    assert_eq!(message.error.expect("an error").reason, "ACCOUNT_LOCKED");
    for index in 0..50 {
        suite.store(&mut client, number, &recipient(index)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        suite.meta.faults().await.expect("rules")[0].applied,
        1,
        "one was enough"
    );
}
