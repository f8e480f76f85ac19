use std::collections::HashSet;

use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::received_content::Kind as Received;
use outeract_testkit::eventually;
use serde_json::json;
use tokio::task::JoinSet;
use tonic::Code;

use crate::bodies::{callback, change, entry, one_text, post, status, text, unknown};
use crate::siblings::event_wamid;
use crate::suite::{LONG, Number, Suite};

#[tokio::test]
async fn one_webhook_of_many_numbers_one_bad_item_and_one_unknown_number() {
    let (suite, instance) = Suite::with_instance().await;
    let (first, second) = (Number::new("7", "1"), Number::new("8", "2"));
    instance.push(vec![first.active(), second.active()]).await;
    let parent = callback(5);
    suite.siblings.world().poison.insert("wamid.POISON".to_owned());
    suite.siblings.world().refused.insert("wamid.REFUSED".to_owned());
    suite.siblings.world().refused_events.insert("wamid.NOEVENT".to_owned());

    let body = post(&[
        entry(
            "7",
            &[
                change(
                    "1",
                    vec![
                        text("wamid.1", "eins"),
                        text("wamid.POISON", "x"),
                        unknown("wamid.HOLOGRAM"),
                        text("wamid.2", "zwei"),
                    ],
                    vec![
                        status("wamid.OUT", "sent", &parent),
                        status("wamid.OUT", "delivered", &parent),
                        status("wamid.X", "read", ""),
                    ],
                ),
                json!({"field": "something_new", "value": {"event": "DISABLED_UPDATE"}}),
                change("404", vec![text("wamid.UNKNOWN", "?")], vec![]),
            ],
        ),
        entry(
            "8",
            &[change(
                "2",
                vec![
                    text("wamid.REFUSED", "x"),
                    text("wamid.NOEVENT", "x"),
                    json!({"id": 7}),
                    text("wamid.3", "drei"),
                ],
                vec![],
            )],
        ),
        entry("9", &[change("2", vec![text("wamid.WABA", "x")], vec![])]),
    ]);
    instance.stored(&body).await;
    suite.settled().await;

    // 4 texts and statuses applied, the orphaned status too; 14 in all.
    assert_eq!(suite.accounts().await, [14, 6, 0, 1, 2, 5]);
    assert_eq!(
        suite.siblings.recorded(),
        [
            "wamid.1",
            "wamid.HOLOGRAM",
            "wamid.2",
            "wamid.OUT",
            "wamid.OUT",
            "wamid.3"
        ]
    );
    assert_eq!(
        suite.listed(3).await,
        [(
            "/entry/0/changes/2/value/messages/0".to_owned(),
            "NO_CONNECTION".to_owned()
        )]
    );
    let reasons = |listed: Vec<(String, String)>| listed.into_iter().map(|(_, reason)| reason).collect::<Vec<_>>();
    assert_eq!(
        reasons(suite.listed(4).await),
        ["MESSAGE_TYPE_UNSUPPORTED", "FIELD_UNSUPPORTED"]
    );
    assert_eq!(
        reasons(suite.listed(5).await),
        [
            "APPLY_REFUSED",
            "CONNECTION_UNKNOWN",
            "EVENT_REFUSED",
            "MESSAGE_UNREADABLE",
            "ROUTE_MISMATCH"
        ]
    );

    let world = suite.siblings.world();
    let inbound = &world.events[0];
    assert_eq!(
        (&inbound.application_id, &inbound.connection_id),
        (&first.application.bytes(), &first.connection.bytes())
    );
    let event = inbound.event.as_ref().unwrap();
    assert_eq!(event.event_type, "message.inbound");
    let edges = event.edges.as_ref().unwrap();
    let (by, to) = (edges.sent_by.as_ref().unwrap(), edges.sent_to.as_ref().unwrap());
    assert_eq!((by.external_id.as_str(), by.name.as_str()), ("+16505551234", "Ann"));
    assert!(by.platform_user_id.starts_with("pu_"));
    assert_eq!((to.external_id.as_str(), to.system), ("+15550783881", true));
    assert!(matches!(&event.payload, Some(Payload::Message(message)) if message.role == "user"));
    assert_eq!(world.events[4].event.as_ref().unwrap().event_type, "message.delivered");
    assert_eq!(world.events[4].origin_event_id, uuid::Uuid::from_u128(5).as_bytes());
    assert_eq!(world.events[5].application_id, second.application.bytes());
}

#[tokio::test]
async fn a_message_of_a_type_that_nobody_knows_is_told_as_meta_wrote_it_and_stays_listed() {
    let (suite, instance) = Suite::with_instance().await;
    instance.push(vec![Number::new("7", "1").active()]).await;
    let body = post(&[entry("7", &[change("1", vec![unknown("wamid.HOLOGRAM")], vec![])])]);
    instance.stored(&body).await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [1, 0, 0, 0, 1, 0]);
    let world = suite.siblings.world();
    let hologram = world.events[0].event.as_ref().unwrap();
    let Some(Payload::Message(message)) = &hologram.payload else {
        panic!("a message")
    };
    let Some(Received::Unknown(told)) = message.received.as_ref().and_then(|said| said.kind.as_ref()) else {
        panic!("unknown: {message:?}")
    };
    assert_eq!((told.r#type.as_str(), told.cut), ("hologram", false));
    let json: serde_json::Value = serde_json::from_str(&told.json).unwrap();
    assert_eq!(json, unknown("wamid.HOLOGRAM"));
}

#[tokio::test]
async fn whatever_meta_signs_is_stored_and_what_cannot_be_read_is_shown() {
    let (suite, instance) = Suite::with_instance().await;
    for body in [&b"{"[..], b"", b"[]", b"\xff\xfe", b"null"] {
        instance.stored(body).await;
    }
    suite.settled().await;
    assert_eq!(suite.accounts().await, [5, 0, 0, 0, 0, 5]);
    for (pointer, reason) in suite.listed(5).await {
        assert_eq!((pointer.as_str(), reason.as_str()), ("", "MALFORMED_JSON"));
    }
}

#[tokio::test]
async fn a_repeated_webhook_makes_no_second_event() {
    let (suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    instance.push(vec![number.active()]).await;
    let sent = status("wamid.OUT", "sent", &callback(5));
    // The same status twice in one body, and the body twice.
    let body = post(&[entry(
        "7",
        &[change("1", vec![text("wamid.1", "hi")], vec![sent.clone(), sent])],
    )]);
    instance.stored(&body).await;
    suite.settled().await;
    instance.stored(&body).await;
    suite.settled().await;
    assert_eq!(suite.siblings.recorded(), ["wamid.1", "wamid.OUT"]);
    assert_eq!(suite.accounts().await, [6, 2, 4, 0, 0, 0]);
}

#[tokio::test]
async fn failed_statuses_say_why() {
    let (suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    instance.push(vec![number.active()]).await;
    let mut failed = status("wamid.OUT", "failed", &callback(5));
    failed["errors"] = json!([{"code": 131_026, "title": "Message undeliverable"}]);
    instance
        .stored(&post(&[entry("7", &[change("1", vec![], vec![failed])])]))
        .await;
    suite.settled().await;
    let world = suite.siblings.world();
    let Some(Payload::Status(payload)) = &world.events[0].event.as_ref().unwrap().payload else {
        panic!("a status")
    };
    let error = payload.error.as_ref().unwrap();
    assert_eq!((error.meta_code, error.retryable), (131_026, false));
    assert!(!error.reason.is_empty() && !error.message.is_empty());
}

#[tokio::test]
async fn siblings_that_are_away_lose_nothing_and_hold_up_no_ingest() {
    let mut suite = Suite::without_siblings().await;
    let instance = suite.start().await;
    let number = Number::new("7", "1");
    // The routes come by push, for connection is away, too.
    instance.push(vec![number.active()]).await;
    for n in 0..20 {
        instance.stored(&one_text("7", "1", &format!("wamid.{n:02}"))).await;
    }
    assert_eq!(suite.count("select count(*) from webhook.post_account").await, 0);

    suite.siblings.world().connections = vec![number.active()];
    suite.serve_siblings().await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [20, 20, 0, 0, 0, 0]);
    let expected: Vec<String> = (0..20).map(|n| format!("wamid.{n:02}")).collect();
    assert_eq!(
        suite.siblings.recorded(),
        expected,
        "one process at rest keeps the order of arrival"
    );
}

#[tokio::test]
async fn busy_or_broken_siblings_quarantine_nothing() {
    let (suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    instance.push(vec![number.active()]).await;
    let codes = [
        Code::ResourceExhausted,
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::PermissionDenied,
        Code::Internal,
    ];
    for (n, code) in codes.into_iter().enumerate() {
        let before = suite.siblings.world().failures;
        suite.siblings.world().messaging_fails = (n % 2 == 0).then_some(code);
        suite.siblings.world().tracking_fails = (n % 2 == 1).then_some(code);
        instance.stored(&one_text("7", "1", &format!("wamid.{n}"))).await;
        // The second attempt shows that the first one changed nothing.
        let tries = if code == Code::Internal { 8 } else { 2 };
        eventually(LONG, async || suite.siblings.world().failures >= before + tries).await;
        assert_eq!(suite.accounts().await[0], n as i64, "{code:?}");
        if n == 0 {
            eventually(LONG, async || {
                suite.siblings.world().reports.last().is_some_and(Option::is_some)
            })
            .await;
        }
        suite.siblings.world().messaging_fails = None;
        suite.siblings.world().tracking_fails = None;
        suite.settled().await;
    }
    assert_eq!(suite.accounts().await, [5, 5, 0, 0, 0, 0]);
    eventually(LONG, async || suite.siblings.world().reports.last() == Some(&None)).await;
}

#[tokio::test]
async fn bad_items_at_a_lanes_head_are_set_aside_together_and_the_good_ones_behind_them_do_not_wait() {
    let (suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    instance.push(vec![number.active()]).await;
    let bad: Vec<String> = (0..20).map(|n| format!("wamid.BAD{n}")).collect();
    let good: Vec<String> = (0..5).map(|n| format!("wamid.{n}")).collect();
    suite.siblings.world().poison.extend(bad.iter().cloned());
    let messages = bad.iter().chain(&good).map(|wamid| text(wamid, "x")).collect();
    instance
        .stored(&post(&[entry("7", &[change("1", messages, vec![])])]))
        .await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [25, 5, 0, 0, 0, 20]);
    assert_eq!(suite.siblings.recorded(), good);
}

#[tokio::test]
async fn an_item_alone_that_a_sibling_fails_over_is_given_up_after_a_while() {
    let (suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    instance.push(vec![number.active()]).await;
    suite.siblings.world().poison.insert("wamid.BAD".to_owned());
    instance.stored(&one_text("7", "1", "wamid.BAD")).await;
    eventually(LONG * 5, async || suite.accounts().await[0] == 1).await;
    assert_eq!(suite.accounts().await, [1, 0, 0, 0, 0, 1]);
    instance.stored(&one_text("7", "1", "wamid.1")).await;
    suite.settled().await;
    assert_eq!(suite.siblings.recorded(), ["wamid.1"]);
    // What was decoded last, poison or not, shows that webhooks come.
    eventually(LONG, async || {
        let reports = suite.siblings.world().newest.clone();
        reports.first() == Some(&None) && reports.last().is_some_and(Option::is_some)
    })
    .await;
}

#[tokio::test]
async fn a_decoder_that_dies_between_recording_and_advancing_is_repeated_without_harm() {
    let (mut suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    instance.push(vec![number.active()]).await;
    suite.siblings.world().tracking_forgets = u32::MAX;
    instance.stored(&one_text("7", "1", "wamid.1")).await;
    eventually(LONG, async || !suite.siblings.recorded().is_empty()).await;
    instance.kill().await;
    assert_eq!(suite.count("select count(*) from webhook.post_account").await, 0);

    suite.siblings.world().tracking_forgets = 0;
    let _again = suite.start().await;
    suite.settled().await;
    assert_eq!(suite.siblings.recorded(), ["wamid.1"]);
    assert_eq!(suite.accounts().await, [1, 0, 1, 0, 0, 0]);
}

#[tokio::test]
async fn two_replicas_decode_every_webhook_once() {
    let (mut suite, first) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    first.push(vec![number.active()]).await;
    let second = suite.start().await;
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let edge = if client % 2 == 0 { first.edge } else { second.edge };
        clients.spawn(async move {
            let mut http = crate::http::Http::connect(edge).await;
            for n in 0..50 {
                assert_eq!(
                    http.post(&one_text("7", "1", &format!("wamid.{client}.{n}")))
                        .await
                        .status,
                    200
                );
            }
        });
    }
    clients.join_all().await;
    suite.settled().await;
    assert_eq!(suite.accounts().await[0], 400);
    let recorded = suite.siblings.recorded();
    assert_eq!(recorded.len(), 400);
    assert_eq!(recorded.iter().collect::<HashSet<_>>().len(), 400);

    // The one that goes leaves its lanes to the other at once.
    first.stop().await;
    second.stored(&one_text("7", "1", "wamid.LAST")).await;
    suite.settled().await;
    assert_eq!(
        suite.siblings.world().events.last().map(event_wamid).as_deref(),
        Some("wamid.LAST")
    );
}

#[tokio::test]
async fn a_connection_that_cannot_send_still_receives() {
    let (suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    instance
        .push(vec![number.snapshot(1, ConnectionState::NeedsReauth)])
        .await;
    instance.stored(&one_text("7", "1", "wamid.1")).await;
    suite.settled().await;
    instance
        .push(vec![number.snapshot(2, ConnectionState::Restricted)])
        .await;
    instance.stored(&one_text("7", "1", "wamid.2")).await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [2, 2, 0, 0, 0, 0]);
    // An older snapshot changes nothing, a newer one does.
    instance
        .push(vec![number.snapshot(1, ConnectionState::Disconnected)])
        .await;
    instance.stored(&one_text("7", "1", "wamid.3")).await;
    suite.settled().await;
    instance
        .push(vec![number.snapshot(3, ConnectionState::Disconnected)])
        .await;
    instance.stored(&one_text("7", "1", "wamid.4")).await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [4, 3, 0, 1, 0, 0]);
    assert_eq!(suite.listed(3).await[0].1, "CONNECTION_ENDED");
}

#[tokio::test]
async fn a_body_that_was_changed_in_the_database_is_quarantined_and_others_go_on() {
    let (mut suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    instance.push(vec![number.active()]).await;
    suite.siblings.world().messaging_fails = Some(Code::Unavailable);
    instance.stored(&one_text("7", "1", "wamid.1")).await;
    instance.stored(&one_text("7", "1", "wamid.2")).await;
    instance.kill().await;
    sqlx::query(
        "update webhook.post set body = set_byte(body, length(body) - 1, 255 - get_byte(body, length(body) - 1))
         where id = (select id from webhook.post order by received_at limit 1)",
    )
    .execute(suite.db.admin())
    .await
    .unwrap();
    suite.siblings.world().messaging_fails = None;
    let _again = suite.start().await;
    suite.settled().await;
    assert_eq!(suite.siblings.recorded(), ["wamid.2"]);
    assert_eq!(suite.listed(5).await, [(String::new(), "BODY_UNREADABLE".to_owned())]);
}
