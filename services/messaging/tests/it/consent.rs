//! Users who want no marketing: by word, by WhatsApp's own switch, by Meta's refusal, by the application.

use std::sync::LazyLock;

use outeract_domain::ConnectionId;
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{AccountItem, InboundItem, ItemOutcome, StatusItem};
use outeract_proto::messaging::v1::{
    ImportSuppressionsRequest, ListSuppressionsRequest, RemoveSuppressionsRequest, SubmissionState, Suppression,
    SuppressionSource,
};
use outeract_proto::tracking::v1::event::Payload;
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;
use serde_json::json;
use time::OffsetDateTime;
use tonic::Code;

use crate::contacts::{contact_of, inbound, look_up};
use crate::instance::People;
use crate::suite::{SOON, Suite, id, recipient, request, status_of};

/// What happened long ago is forgotten in time, and a process that starts looks for that: an hour ago.
static AT: LazyLock<i64> = LazyLock::new(|| OffsetDateTime::now_utc().unix_timestamp() - 3_600);

fn says(wamid: &str, wa_id: &str, text: &str, second: i64) -> Kind {
    Kind::Inbound(InboundItem {
        text: text.to_owned(),
        occur_time: Some(prost_types::Timestamp {
            seconds: *AT + second,
            nanos: 0,
        }),
        ..inbound(wamid, wa_id, "")
    })
}

async fn list(people: &People, connection: &str) -> Vec<Suppression> {
    let request = ListSuppressionsRequest {
        connection_id: connection.to_owned(),
        ..ListSuppressionsRequest::default()
    };
    people
        .clone()
        .list_suppressions(request)
        .await
        .expect("listed")
        .into_inner()
        .suppressions
}

async fn sources(people: &People) -> Vec<(String, SuppressionSource)> {
    let list = list(people, "").await;
    let mut sources: Vec<_> = list
        .into_iter()
        .map(|one| (one.external_id.clone(), one.source()))
        .collect();
    sources.sort();
    sources
}

async fn import(people: &People, users: &[&str], connection: &str) -> Result<i32, tonic::Status> {
    let request = ImportSuppressionsRequest {
        external_ids: users.iter().map(|&user| user.to_owned()).collect(),
        connection_id: connection.to_owned(),
    };
    Ok(people
        .clone()
        .import_suppressions(request)
        .await?
        .into_inner()
        .added_count)
}

async fn remove(people: &People, users: &[&str], connection: &str) -> Result<i32, tonic::Status> {
    let request = RemoveSuppressionsRequest {
        external_ids: users.iter().map(|&user| user.to_owned()).collect(),
        connection_id: connection.to_owned(),
    };
    Ok(people
        .clone()
        .remove_suppressions(request)
        .await?
        .into_inner()
        .removed_count)
}

/// Types, sources and connections of the events, in order.
fn told(suite: &Suite) -> Vec<(String, SuppressionSource, Vec<u8>)> {
    let mut events = suite.siblings.of_type("user.suppressed");
    events.extend(suite.siblings.of_type("user.unsuppressed"));
    events.sort_by(|one, other| one.id.cmp(&other.id));
    events
        .into_iter()
        .map(|record| {
            let event = record.event.expect("an event");
            let Some(Payload::Suppression(payload)) = event.payload else {
                panic!("another payload");
            };
            (event.event_type, payload.source(), record.connection_id)
        })
        .collect()
}

#[tokio::test]
async fn stop_and_start_in_any_language_and_only_as_the_whole_message() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let number = &suite.numbers[0];
    let words = [
        "STOP",
        "Baja.",
        "sair",
        "Arrêt",
        "STOPP!",
        "Cancellami",
        "Afmelden",
        "DURDUR",
        "توقف",
        "बंद करें",
        "Berhenti",
        "СТОП",
    ];
    let mut kinds: Vec<_> = words
        .iter()
        .enumerate()
        .map(|(index, word)| says(&format!("wamid.{index}"), &recipient(index)[1..], word, 1))
        .collect();
    kinds.push(says(
        "wamid.talk",
        &recipient(90)[1..],
        "please stop calling it that",
        1,
    ));
    suite.apply_all(&instance, suite.application, number, kinds).await;
    let listed = list(&people, "").await;
    assert_eq!(listed.len(), words.len());
    for one in &listed {
        assert_eq!(
            (one.source(), &one.connection_id),
            (SuppressionSource::StopWord, &number.connection.to_string())
        );
        assert!(one.contact_id.starts_with("pu_"));
    }
    // One says START; the same POST comes again.
    for _ in 0..2 {
        let kinds = vec![
            says("wamid.0", &recipient(0)[1..], "STOP", 1),
            says("wamid.start", &recipient(0)[1..], "start", 9),
        ];
        suite.apply_all(&instance, suite.application, number, kinds).await;
        assert_eq!(list(&people, "").await.len(), words.len() - 1);
    }
    eventually(SOON, async || told(&suite).len() == words.len() + 1).await;
    let last = told(&suite).pop().expect("an event");
    assert_eq!(
        last,
        (
            "user.unsuppressed".to_owned(),
            SuppressionSource::StopWord,
            number.connection.bytes()
        )
    );
}

#[tokio::test]
async fn whatsapps_own_switch_is_heeded_for_the_connection_and_start_does_not_undo_it() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let number = &suite.numbers[0];
    let switch = |value: &str, second: i64| {
        let entry = json!({"wa_id": "16505551234", "user_id": "US.1", "category": "marketing_messages", "value": value, "timestamp": *AT + second});
        Kind::Account(AccountItem {
            field: "user_preferences".to_owned(),
            value_json: json!({"user_preferences": [entry]}).to_string().into_bytes(),
            receive_time: Some(prost_types::Timestamp {
                seconds: *AT + 100,
                nanos: 0,
            }),
        })
    };
    let stopped = suite.apply(&instance, number, switch("stop", 1)).await;
    assert_eq!(stopped.outcome(), ItemOutcome::Applied);
    let expected = ("+16505551234".to_owned(), SuppressionSource::UserPreference);
    assert_eq!(sources(&people).await, std::slice::from_ref(&expected));
    // Whoever stops is known from then on.
    assert_eq!(
        look_up(&people, "US.1").await.expect("found").external_id,
        "+16505551234"
    );
    suite
        .apply(&instance, number, says("wamid.1", "16505551234", "START", 5))
        .await;
    assert_eq!(sources(&people).await, [expected]);
    suite.apply(&instance, number, switch("resume", 6)).await;
    assert!(sources(&people).await.is_empty());
    // The first switch once more, and one from between.
    suite.apply(&instance, number, switch("stop", 1)).await;
    suite.apply(&instance, number, switch("stop", 3)).await;
    assert!(sources(&people).await.is_empty());
    suite.apply(&instance, number, switch("stop", 8)).await;
    suite.apply(&instance, number, switch("signup", 9)).await;
    assert!(sources(&people).await.is_empty());
    eventually(SOON, async || told(&suite).len() == 4).await;
}

#[tokio::test]
async fn metas_refusal_is_heeded_in_an_answer_and_in_a_status() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let number = &suite.numbers[0];
    let mut client = instance.client(&suite.key).await;
    let refusal = Effect::Error {
        code: 131_050,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    let once = Match {
        count: Some(1),
        ..Match::default()
    };
    suite.meta.fault(once, refusal).await.expect("added");
    let refused = client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    suite.reaches(&client, id(&refused), SubmissionState::Failed).await;
    eventually(SOON, async || sources(&people).await.len() == 1).await;
    client
        .send_message(request(number, "+14155551235"))
        .await
        .expect("sent");
    let accepted = suite.ledger().await.remove(0);
    let failed = StatusItem {
        error_code: 131_050,
        ..status_of(&accepted, "failed")
    };
    assert_eq!(
        suite.status(&instance, number, failed).await.outcome(),
        ItemOutcome::Applied
    );
    assert_eq!(
        sources(&people).await,
        [
            ("+14155551234".to_owned(), SuppressionSource::MetaRefusal),
            ("+14155551235".to_owned(), SuppressionSource::MetaRefusal)
        ]
    );
    assert!(
        list(&people, "")
            .await
            .iter()
            .all(|one| one.connection_id == number.connection.to_string())
    );
}

#[tokio::test]
async fn a_list_is_imported_whole_or_not_at_all_and_importing_again_adds_nothing() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let number = &suite.numbers[0];
    suite
        .apply(&instance, number, says("wamid.1", "14155550001", "STOP", 1))
        .await;
    let broken = import(&people, &["+14155550002", "14155550003", "+1415"], "")
        .await
        .expect_err("refused");
    assert_eq!(broken.code(), Code::InvalidArgument);
    let details = tonic_types::StatusExt::get_details_bad_request(&broken).expect("a bad request");
    let fields: Vec<_> = details
        .field_violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(fields, ["external_ids[1]", "external_ids[2]"]);
    assert_eq!(sources(&people).await.len(), 1);

    let users = [
        "+14155550001",
        "+14155550002",
        "+14155550002",
        "+5511987654321",
        "+551187654321",
        "US.77",
    ];
    assert_eq!(
        import(&people, &users, "").await.expect("imported"),
        4,
        "two forms are one user"
    );
    assert_eq!(import(&people, &users, "").await.expect("imported"), 0);
    let connection = number.connection.to_string();
    assert_eq!(
        import(&people, &["+14155550001"], &connection).await.expect("imported"),
        0,
        "the word stays"
    );
    assert_eq!(
        import(&people, &["US.77"], &connection).await.expect("imported"),
        1,
        "another scope"
    );
    let all = list(&people, "").await;
    assert_eq!(all.len(), 6);
    assert_eq!(list(&people, &connection).await.len(), 6, "those for all hold for one");
    // For all, the event names no connection.
    eventually(SOON, async || told(&suite).len() == 6).await;
    assert_eq!(
        told(&suite)
            .iter()
            .filter(|(_, source, connection)| *source == SuppressionSource::Import && connection.is_empty())
            .count(),
        4
    );

    assert_eq!(
        remove(&people, &["+14155550001", "+14155550009", "US.77"], "")
            .await
            .expect("removed"),
        2
    );
    assert_eq!(
        remove(&people, &["+14155550001", "US.77"], &connection)
            .await
            .expect("removed"),
        2
    );
    assert_eq!(
        remove(&people, &["+14155550001"], &connection).await.expect("removed"),
        0
    );
    // What the application took back, Meta's redelivery does not bring again.
    suite
        .apply(&instance, number, says("wamid.1", "14155550001", "STOP", 1))
        .await;
    let left: Vec<_> = sources(&people).await.into_iter().map(|(user, _)| user).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    eventually(SOON, async || told(&suite).len() == 10).await;
}

#[tokio::test]
async fn a_thousand_users_are_one_request_and_one_more_is_refused() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let users: Vec<String> = (0..1_001).map(recipient).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    for wrong in [&users[..], &[]] {
        assert_eq!(
            import(&people, wrong, "").await.expect_err("refused").code(),
            Code::InvalidArgument
        );
        assert_eq!(
            remove(&people, wrong, "").await.expect_err("refused").code(),
            Code::InvalidArgument
        );
    }
    assert_eq!(import(&people, &users[..1_000], "").await.expect("imported"), 1_000);
    let (mut token, mut found) = (String::new(), std::collections::HashSet::new());
    loop {
        let page = ListSuppressionsRequest {
            page_size: 300,
            page_token: token,
            ..ListSuppressionsRequest::default()
        };
        let page = people
            .clone()
            .list_suppressions(page)
            .await
            .expect("listed")
            .into_inner();
        found.extend(page.suppressions.into_iter().map(|one| one.external_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found.len(), 1_000);
    eventually(SOON, async || told(&suite).len() == 1_000).await;
    assert_eq!(remove(&people, &users[..1_000], "").await.expect("removed"), 1_000);
}

#[tokio::test]
async fn no_application_reads_or_changes_anothers_list() {
    let suite = Suite::with_numbers(2).await;
    let (other, other_key) = suite.tenant(&suite.numbers[1]);
    let instance = suite.start().await;
    let (mine, theirs) = (instance.contacts(&suite.key).await, instance.contacts(&other_key).await);
    let (own, foreign) = (&suite.numbers[0], &suite.numbers[1]);
    for (application, number) in [(suite.application, own), (other, foreign)] {
        let results = suite
            .apply_all(
                &instance,
                application,
                number,
                vec![says("wamid.1", "16505551234", "STOP", 1)],
            )
            .await;
        contact_of(&results[0]);
    }
    assert_eq!((list(&mine, "").await.len(), list(&theirs, "").await.len()), (1, 1));
    assert_eq!(
        remove(&theirs, &["+16505551234"], &foreign.connection.to_string())
            .await
            .expect("removed"),
        1
    );
    assert_eq!((list(&mine, "").await.len(), list(&theirs, "").await.len()), (1, 0));
    let absent = ConnectionId::from_uuid(uuid::Uuid::now_v7()).to_string();
    for connection in [own.connection.to_string(), absent] {
        for refused in [
            import(&theirs, &["+16505551234"], &connection)
                .await
                .expect_err("refused"),
            remove(&theirs, &["+16505551234"], &connection)
                .await
                .expect_err("refused"),
        ] {
            assert_eq!(refused.code(), Code::NotFound);
        }
        let request = ListSuppressionsRequest {
            connection_id: connection,
            ..ListSuppressionsRequest::default()
        };
        assert_eq!(
            theirs
                .clone()
                .list_suppressions(request)
                .await
                .expect_err("refused")
                .code(),
            Code::NotFound
        );
    }
    assert_eq!(
        import(&mine, &["+16505551234"], "nonsense")
            .await
            .expect_err("refused")
            .code(),
        Code::InvalidArgument
    );
    assert_eq!(list(&mine, "").await.len(), 1);
}

#[tokio::test]
async fn events_wait_while_tracking_is_away_and_for_the_next_process() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    suite
        .siblings
        .state
        .tracking_away
        .store(true, std::sync::atomic::Ordering::Relaxed);
    suite
        .apply(&instance, &suite.numbers[0], says("wamid.1", "16505551234", "STOP", 1))
        .await;
    instance.kill();
    let next = crate::instance::Instance::start(suite.env()).await;
    assert!(told(&suite).is_empty());
    suite
        .siblings
        .state
        .tracking_away
        .store(false, std::sync::atomic::Ordering::Relaxed);
    eventually(SOON, async || told(&suite).len() == 1).await;
    eventually(SOON, async || {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.contact_event")
            .fetch_one(suite.database.admin())
            .await
            .expect("a count");
        left == 0
    })
    .await;
    drop(next);
}
