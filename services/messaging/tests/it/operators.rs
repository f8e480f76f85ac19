//! What operators hold back.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use outeract_domain::{ApplicationId, ConnectionId};
use outeract_proto::messaging::admin::v1::hold_target::Target;
use outeract_proto::messaging::admin::v1::{
    Hold, HoldTarget, ListAuditEntriesRequest, ListHoldsRequest, PlaceHoldRequest, ReleaseHoldRequest,
};
use outeract_proto::messaging::v1::{SubmissionState, ValidateMessageRequest};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{KeyText, reason};
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;
use tonic::{Code, Status};

use crate::instance::Admin;
use crate::suite::{SOON, Suite, get, id, message_of, recipient, request};

fn target(target: Target) -> HoldTarget {
    HoldTarget { target: Some(target) }
}

async fn place(admin: &Admin, what: Target, why: &str) -> Result<Hold, Status> {
    let request = PlaceHoldRequest {
        target: Some(target(what)),
        reason: why.to_owned(),
    };
    let answer = admin.clone().place_hold(request).await?;
    Ok(answer.into_inner().hold.expect("a hold"))
}

async fn release(admin: &Admin, what: Target) -> Result<(), Status> {
    let request = ReleaseHoldRequest {
        target: Some(target(what)),
        reason: "over".to_owned(),
    };
    admin.clone().release_hold(request).await.map(drop)
}

#[tokio::test]
async fn a_hold_takes_effect_everywhere_and_its_release_too() {
    let suite = Suite::with_numbers(8).await;
    let (one, other) = (suite.start().await, suite.start().await);
    let (client, admin) = (one.client(&suite.key).await, one.admin(&suite.operator).await);
    let mut here = client.clone();
    let number = &suite.numbers[0];
    let targets = [
        Target::PhoneNumberId(number.id.clone()),
        Target::ConnectionId(number.connection.to_string()),
        Target::ApplicationId(suite.application.to_string()),
    ];
    for (turn, what) in targets.into_iter().enumerate() {
        let held = place(&admin, what.clone(), "an audit").await.expect("placed");
        assert_eq!(
            (held.target, held.reason.as_str()),
            (Some(target(what.clone())), "an audit")
        );
        // Two seconds are promised: what is stored after them is not sent, whichever process owns the number.
        let placed = Instant::now();
        let mut messages = Vec::new();
        while placed.elapsed() < Duration::from_secs(2) {
            let to = recipient(300 * (turn + 1) + messages.len() % 300);
            messages.push(suite.store(&mut here, number, &to).await);
        }
        let before = messages.len();
        for (index, held) in suite.numbers.iter().enumerate() {
            let all = matches!(what, Target::ApplicationId(_));
            if index == 0 || all {
                messages.push(suite.store(&mut here, held, &recipient(turn * 100 + index)).await);
            }
        }
        let free = &suite.numbers[1];
        if !matches!(what, Target::ApplicationId(_)) {
            let sent = suite.store(&mut here, free, &recipient(turn)).await;
            suite.reaches(&client, sent, SubmissionState::Accepted).await;
        }
        for message in &messages[before..] {
            let waiting = get(&other.client(&suite.key).await, *message).await;
            assert!(waiting.held && waiting.state() == SubmissionState::Queued);
            let obstacle = &waiting.obstacles[0];
            assert_eq!(
                (obstacle.reason.as_str(), obstacle.message.as_str(), obstacle.refuses),
                ("HELD_BY_OPERATOR", "an audit", false)
            );
        }
        let asked = ValidateMessageRequest {
            message: Some(request(number, &recipient(turn + 50))),
        };
        let validated = here.validate_message(asked).await.expect("looked at").into_inner();
        let told: Vec<_> = validated.obstacles.iter().map(|obstacle| &*obstacle.reason).collect();
        assert_eq!((told, validated.storable), (vec!["HELD_BY_OPERATOR"], true));
        // Whoever sends meanwhile does not wait in vain.
        let began = Instant::now();
        let answer = here.send_message(request(number, &recipient(turn + 50))).await;
        let answer = answer.expect("stored").into_inner();
        assert!(answer.status.as_ref().is_some_and(|status| status.pending));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        messages.push(id(&answer));
        assert_eq!(get(&client, messages[before]).await.state(), SubmissionState::Queued);

        release(&admin, what).await.expect("released");
        for message in &messages {
            let sent = suite.reaches(&client, *message, SubmissionState::Accepted).await;
            assert!(!sent.held);
        }
    }
    let summary = suite.meta.summary().await.expect("a summary");
    assert!(summary.duplicates.is_empty(), "{:?}", summary.duplicates);
}

#[tokio::test]
async fn holding_and_releasing_amid_traffic_loses_nothing_and_sends_nothing_twice() {
    const MESSAGES: usize = 200;
    let suite = Suite::with_numbers(4).await;
    let (one, other) = (suite.start().await, suite.start().await);
    let mut client = one.client(&suite.key).await;
    let admins = [one.admin(&suite.operator).await, other.admin(&suite.operator).await];
    let slow = Effect::Latency {
        before_ms: 0,
        after_ms: 10,
        jitter_ms: 30,
    };
    suite.meta.fault(Match::default(), slow).await.expect("added");
    let traffic = async {
        let mut messages = HashSet::new();
        for index in 0..MESSAGES {
            let number = &suite.numbers[index % 4];
            messages.insert(suite.store(&mut client, number, &recipient(index % 40)).await.uuid());
        }
        messages
    };
    let holds = async {
        for turn in 0..8 {
            let what = || Target::PhoneNumberId(suite.numbers[turn % 4].id.clone());
            let before = suite.ledger().await.len();
            place(&admins[turn % 2], what(), "back and forth")
                .await
                .expect("placed");
            // The other numbers go on meanwhile.
            eventually(SOON, async || {
                let sent = suite.ledger().await.len();
                sent >= before + 5 || sent > MESSAGES / 2
            })
            .await;
            release(&admins[(turn + 1) % 2], what()).await.expect("released");
        }
    };
    let (messages, ()) = tokio::join!(traffic, holds);
    eventually(SOON, async || suite.ledger().await.len() >= MESSAGES).await;
    let sent: Vec<_> = suite.ledger().await.iter().map(message_of).collect();
    assert_eq!(sent.len(), MESSAGES);
    assert_eq!(sent.into_iter().collect::<HashSet<_>>(), messages);
}

#[tokio::test]
async fn a_process_that_starts_under_a_hold_sends_nothing() {
    let suite = Suite::with_numbers(2).await;
    let [number, free] = &suite.numbers[..] else {
        unreachable!("two numbers")
    };
    let one = suite.start().await;
    let mut client = one.client(&suite.key).await;
    let what = || Target::PhoneNumberId(number.id.clone());
    place(&one.admin(&suite.operator).await, what(), "before the restart")
        .await
        .expect("placed");
    let message = suite.store(&mut client, number, "+14155551234").await;
    one.kill();
    let other = suite.start().await;
    let mut client = other.client(&suite.key).await;
    // It owns both numbers, and sends from the other one, whose messages came later.
    for index in 0..20 {
        let sent = suite.store(&mut client, free, &recipient(index)).await;
        suite.reaches(&client, sent, SubmissionState::Accepted).await;
    }
    assert_eq!(get(&client, message).await.state(), SubmissionState::Queued);
    assert_eq!(suite.ledger().await.len(), 20);
    release(&other.admin(&suite.operator).await, what())
        .await
        .expect("released");
    suite.reaches(&client, message, SubmissionState::Accepted).await;
}

#[tokio::test]
async fn holds_and_deeds_are_listed() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let admin = instance.admin(&suite.operator).await;
    let number = &suite.numbers[0];
    let operator = KeyText::parse(&suite.operator).expect("a key").key.to_string();
    let by_number = || Target::PhoneNumberId(number.id.clone());
    let by_connection = || Target::ConnectionId(number.connection.to_string());
    place(&admin, by_number(), "first").await.expect("placed");
    place(&admin, by_connection(), "second").await.expect("placed");
    place(&admin, by_number(), "renewed").await.expect("placed");
    let listed = admin.clone().list_holds(ListHoldsRequest {}).await.expect("listed");
    let holds = listed.into_inner().holds;
    let told: Vec<_> = holds
        .iter()
        .map(|hold| (hold.target.clone(), hold.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Some(target(by_number())), "renewed"),
            (Some(target(by_connection())), "second")
        ]
    );
    assert!(
        holds
            .iter()
            .all(|hold| hold.placed_by == operator && hold.create_time.is_some())
    );
    release(&admin, by_connection()).await.expect("released");
    let again = release(&admin, by_connection()).await.expect_err("there is none");
    assert_eq!(
        (again.code(), reason(&again)),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );

    let mut entries = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListAuditEntriesRequest {
            page_size: 3,
            page_token,
        };
        let page = admin
            .clone()
            .list_audit_entries(request)
            .await
            .expect("listed")
            .into_inner();
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.action.as_str(), entry.target.as_str(), entry.reason.as_str()))
        .collect();
    let connection = number.connection.to_string();
    assert_eq!(
        told,
        [
            ("ReleaseHold", connection.as_str(), "over"),
            ("PlaceHold", number.id.as_str(), "renewed"),
            ("PlaceHold", connection.as_str(), "second"),
            ("PlaceHold", number.id.as_str(), "first"),
        ]
    );
    assert!(
        entries
            .iter()
            .all(|entry| entry.operator_key_id == operator && entry.time.is_some())
    );
}

#[tokio::test]
async fn only_operators_hold_and_only_what_there_is() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let number = &suite.numbers[0];
    let what = || Target::PhoneNumberId(number.id.clone());
    let application = instance.admin(&suite.key).await;
    let refused = place(&application, what(), "mine").await.expect_err("no operator");
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::PermissionDenied, Some(ErrorReason::ScopeMissing))
    );
    let admin = instance.admin(&suite.operator).await;
    let (clock, random) = (&outeract_clock::SystemClock, &outeract_clock::SystemRandom);
    for absent in [
        Target::PhoneNumberId("1".to_owned()),
        Target::ConnectionId(ConnectionId::new(clock, random).to_string()),
        Target::ApplicationId(ApplicationId::new(clock, random).to_string()),
    ] {
        let missing = place(&admin, absent, "nothing").await.expect_err("absent");
        assert_eq!(
            (missing.code(), reason(&missing)),
            (Code::NotFound, Some(ErrorReason::NotFound))
        );
    }
    let broken = admin
        .clone()
        .place_hold(PlaceHoldRequest {
            target: None,
            reason: String::new(),
        })
        .await
        .expect_err("broken");
    assert_eq!(
        (broken.code(), reason(&broken)),
        (Code::InvalidArgument, Some(ErrorReason::InvalidField))
    );
    for (page_size, page_token, expected) in [
        (1_001, "", ErrorReason::InvalidField),
        (-1, "", ErrorReason::InvalidField),
        (10, "AAAA", ErrorReason::CursorInvalid),
    ] {
        let request = ListAuditEntriesRequest {
            page_size,
            page_token: page_token.to_owned(),
        };
        let refused = admin.clone().list_audit_entries(request).await.expect_err("refused");
        assert_eq!(
            (refused.code(), reason(&refused)),
            (Code::InvalidArgument, Some(expected))
        );
    }
    let listed = admin.clone().list_holds(ListHoldsRequest {}).await.expect("listed");
    assert!(listed.into_inner().holds.is_empty());
}
