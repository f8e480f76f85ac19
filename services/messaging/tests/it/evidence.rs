//! What webhooks prove, in every order.

use outeract_clock::{SystemClock, SystemRandom};
use outeract_domain::{ApplicationId, ConnectionId, EventId};
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{ApplyItemsRequest, InboundItem, Item, ItemOutcome, StatusItem};
use outeract_proto::messaging::v1::{SendMessageRequest, SubmissionState};
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;
use uuid::Uuid;

use crate::suite::{SOON, Suite, get, id, message_of, recipient, request, status_of};

#[tokio::test]
async fn a_status_may_come_before_the_answer() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let late_answer = Effect::Latency {
        before_ms: 0,
        after_ms: 700,
        jitter_ms: 0,
    };
    suite.meta.fault(Match::default(), late_answer).await.expect("added");
    let sending = {
        let (mut client, request) = (client.clone(), request(number, "+14155551234"));
        async move { client.send_message(request).await.expect("sent").into_inner() }
    };
    let webhook = async {
        eventually(SOON, async || suite.ledger().await.len() == 1).await;
        let accepted = suite.ledger().await.remove(0);
        // Known by its callback data alone: the wamid has not been seen.
        let result = suite.status(&instance, number, status_of(&accepted, "delivered")).await;
        assert_eq!(
            (result.outcome(), result.message_id),
            (ItemOutcome::Applied, message_of(&accepted).as_bytes().to_vec())
        );
        accepted
    };
    let (answer, accepted) = tokio::join!(sending, webhook);
    let status = answer.status.clone().expect("a status");
    assert_eq!(
        (status.state(), status.external_message_id),
        (SubmissionState::Accepted, accepted.wamid)
    );
    let message = get(&client, id(&answer)).await;
    assert_eq!(
        (message.state(), message.duplicate_count),
        (SubmissionState::Accepted, 0)
    );
    // The other order, with every status, changes nothing any more.
    client
        .send_message(request(number, "+14155551235"))
        .await
        .expect("sent");
    for accepted in suite.ledger().await {
        for word in ["sent", "delivered", "read"] {
            assert_eq!(
                suite
                    .status(&instance, number, status_of(&accepted, word))
                    .await
                    .outcome(),
                ItemOutcome::Applied
            );
        }
    }
    let duplicates: i64 = sqlx::query_scalar("SELECT coalesce(sum(duplicates), 0)::bigint FROM messaging.ending")
        .fetch_one(suite.database.admin())
        .await
        .expect("a sum");
    assert_eq!(duplicates, 0);
}

#[tokio::test]
async fn a_status_without_callback_data_is_kept_until_its_message_is_known() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let late_answer = Effect::Latency {
        before_ms: 0,
        after_ms: 700,
        jitter_ms: 0,
    };
    suite
        .meta
        .fault(
            Match {
                count: Some(1),
                ..Match::default()
            },
            late_answer,
        )
        .await
        .expect("added");
    let sending = {
        let (mut client, request) = (client.clone(), request(number, "+14155551234"));
        async move { client.send_message(request).await.expect("sent").into_inner() }
    };
    let webhook = async {
        eventually(SOON, async || suite.ledger().await.len() == 1).await;
        let accepted = suite.ledger().await.remove(0);
        for word in ["sent", "delivered", "delivered"] {
            let status = StatusItem {
                callback_data: String::new(),
                ..status_of(&accepted, word)
            };
            let result = suite.status(&instance, number, status).await;
            assert_eq!((result.outcome(), result.message_id.len()), (ItemOutcome::Orphaned, 0));
        }
        accepted
    };
    let (answer, accepted) = tokio::join!(sending, webhook);
    let message = id(&answer).uuid();
    for word in ["message.sent", "message.delivered"] {
        eventually(SOON, async || suite.siblings.children(message, word).len() == 1).await;
    }
    eventually(SOON, async || {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.orphan_status")
            .fetch_one(suite.database.admin())
            .await
            .expect("a count");
        left == 0
    })
    .await;
    // The same event as tracking would have made from the webhook: it carries the event's own id.
    let delivered = suite.siblings.children(message, "message.delivered").remove(0);
    let wamid = outeract_domain::Wamid::new(accepted.wamid.clone()).expect("a wamid");
    assert_eq!(
        delivered.id,
        outeract_domain::event_id::status(EventId::from_uuid(message), &wamid, "delivered", 0).bytes()
    );
    // And from now on it is known at once.
    let read = StatusItem {
        callback_data: String::new(),
        ..status_of(&accepted, "read")
    };
    let result = suite.status(&instance, number, read).await;
    assert_eq!(
        (result.outcome(), result.message_id),
        (ItemOutcome::Applied, message.as_bytes().to_vec())
    );
}

#[tokio::test]
async fn a_kept_status_that_everybody_missed_is_found_by_the_sweep() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let answer = client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("sent")
        .into_inner();
    let accepted = suite.ledger().await.remove(0);
    // As if the process had died between recording the acceptance and looking for statuses that were kept before.
    let mapping: (Vec<u8>, Uuid, Uuid, i32) =
        sqlx::query_as("DELETE FROM messaging.wamid RETURNING hash, message_id, application_id, attempt")
            .fetch_one(suite.database.admin())
            .await
            .expect("a row");
    let status = StatusItem {
        callback_data: String::new(),
        ..status_of(&accepted, "read")
    };
    assert_eq!(
        suite.status(&instance, number, status).await.outcome(),
        ItemOutcome::Orphaned
    );
    sqlx::query("INSERT INTO messaging.wamid VALUES ($1, $2, $3, $4)")
        .bind(mapping.0)
        .bind(mapping.1)
        .bind(mapping.2)
        .bind(mapping.3)
        .execute(suite.database.admin())
        .await
        .expect("back");
    eventually(SOON, async || {
        suite.siblings.children(id(&answer).uuid(), "message.read").len() == 1
    })
    .await;
}

#[tokio::test]
async fn forged_and_foreign_callback_data_prove_nothing() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let (number, elsewhere) = (&suite.numbers[0], &suite.numbers[1]);
    suite
        .meta
        .fault(
            Match {
                count: Some(1),
                ..Match::default()
            },
            Effect::ResponseLost,
        )
        .await
        .expect("added");
    let answer = client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    let message = id(&answer);
    let true_one = suite.ledger().await.remove(0);
    let forged = |callback: String, wamid: &str| StatusItem {
        callback_data: callback,
        wamid: wamid.to_owned(),
        ..status_of(&true_one, "sent")
    };
    let strangers = EventId::new(&SystemClock, &SystemRandom);
    let cases = [
        (number, format!("{message}.2")),
        (number, format!("{message}.0")),
        (number, format!("{message}.01")),
        (number, format!("{message}.-1")),
        (number, message.to_string()),
        (number, format!("{strangers}.1")),
        (number, "another app's own data".to_owned()),
        (elsewhere, format!("{message}.1")),
    ];
    for (index, (from, callback)) in cases.into_iter().enumerate() {
        let result = suite
            .status(
                &instance,
                from,
                forged(callback.clone(), &format!("wamid.forged-{index}")),
            )
            .await;
        assert_eq!(result.outcome(), ItemOutcome::Orphaned, "{callback}");
    }
    assert_eq!(get(&client, message).await.state(), SubmissionState::Unknown);

    // The same data from the right number, but routed to another application's connection.
    let other = suite.application(&instance, elsewhere).await;
    let item = Item {
        application_id: other.bytes(),
        connection_id: elsewhere.connection.bytes(),
        phone_number_id: elsewhere.id.clone(),
        kind: Some(Kind::Status(forged(format!("{message}.1"), "wamid.forged-x"))),
    };
    let results = instance
        .internal("webhook")
        .apply_items(ApplyItemsRequest { items: vec![item] })
        .await
        .expect("applied")
        .into_inner()
        .results;
    assert_eq!(results[0].outcome(), ItemOutcome::Orphaned);
    assert_eq!(get(&client, message).await.state(), SubmissionState::Unknown);

    let result = suite.status(&instance, number, status_of(&true_one, "sent")).await;
    assert_eq!(result.outcome(), ItemOutcome::Applied);
    assert_eq!(get(&client, message).await.external_message_id, true_one.wamid);
}

#[tokio::test]
async fn items_that_do_not_fit_what_is_known_of_their_connection_are_refused_alone() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let number = &suite.numbers[0];
    let inbound = |from: &str| {
        Kind::Inbound(InboundItem {
            wamid: "wamid.1".to_owned(),
            wa_id: from.to_owned(),
            user_id: String::new(),
            occur_time: Some(prost_types::Timestamp {
                seconds: 1_790_000_000,
                nanos: 0,
            }),
            opens_window: true,
            ..InboundItem::default()
        })
    };
    let good = Item {
        application_id: suite.application.bytes(),
        connection_id: number.connection.bytes(),
        phone_number_id: number.id.clone(),
        kind: Some(inbound("14155551234")),
    };
    let stranger = ApplicationId::new(&SystemClock, &SystemRandom);
    let items = vec![
        Item {
            application_id: stranger.bytes(),
            ..good.clone()
        },
        Item {
            connection_id: ConnectionId::new(&SystemClock, &SystemRandom).bytes(),
            ..good.clone()
        },
        Item {
            phone_number_id: "1".to_owned(),
            ..good.clone()
        },
        Item {
            connection_id: vec![1],
            ..good.clone()
        },
        Item {
            kind: None,
            ..good.clone()
        },
        Item {
            kind: Some(inbound("")),
            ..good.clone()
        },
        good,
    ];
    let results = instance
        .internal("webhook")
        .apply_items(ApplyItemsRequest { items })
        .await
        .expect("applied")
        .into_inner()
        .results;
    let reasons: Vec<_> = results
        .iter()
        .map(|result| (result.outcome(), result.reason.as_str()))
        .collect();
    assert_eq!(
        reasons,
        [
            (ItemOutcome::Refused, "ROUTE_MISMATCH"),
            (ItemOutcome::Refused, "CONNECTION_UNKNOWN"),
            (ItemOutcome::Refused, "ROUTE_MISMATCH"),
            (ItemOutcome::Refused, "MALFORMED_ITEM"),
            (ItemOutcome::Refused, "MALFORMED_ITEM"),
            (ItemOutcome::Refused, "SENDER_UNKNOWN"),
            (ItemOutcome::Applied, ""),
        ]
    );
    assert_eq!(results[6].contact_id.len(), 16);
}

#[tokio::test]
async fn a_user_is_one_contact_by_whichever_identity() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    // For later: who never wrote cannot be written to freely now.
    let later = SendMessageRequest {
        send_time: Some(prost_types::Timestamp {
            seconds: time::OffsetDateTime::now_utc().unix_timestamp() + 3_600,
            nanos: 0,
        }),
        ..request(number, "+14155557777")
    };
    client.send_message(later).await.expect("stored");
    let inbound = async |wa_id: &str, user_id: &str, seconds: i64| {
        let item = InboundItem {
            wamid: format!("wamid.{wa_id}.{user_id}.{seconds}"),
            wa_id: wa_id.to_owned(),
            user_id: user_id.to_owned(),
            occur_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            opens_window: true,
            ..InboundItem::default()
        };
        suite.apply(&instance, number, Kind::Inbound(item)).await.contact_id
    };
    let sent_to: Uuid = sqlx::query_scalar("SELECT contact_id FROM messaging.identity WHERE value = '+14155557777'")
        .fetch_one(suite.database.admin())
        .await
        .expect("a row");
    let by_phone = inbound("14155557777", "", 1_790_000_000).await;
    assert_eq!(
        by_phone,
        sent_to.as_bytes(),
        "whom we write to and who writes to us are one"
    );
    assert_eq!(inbound("14155557777", "US.1", 1_790_000_100).await, by_phone);
    assert_eq!(inbound("", "US.1", 1_790_000_050).await, by_phone);
    assert_ne!(inbound("", "US.2", 1_790_000_000).await, by_phone);
    let (windows, last): (i64, time::OffsetDateTime) =
        sqlx::query_as("SELECT count(*) OVER (), last_inbound_at FROM messaging.service_window WHERE contact_id = $1")
            .bind(sent_to)
            .fetch_one(suite.database.admin())
            .await
            .expect("a row");
    assert_eq!((windows, last.unix_timestamp()), (1, 1_790_000_100));
}

#[tokio::test]
async fn a_batch_of_statuses_that_settles_nothing_writes_nothing() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let sends = (0..50).map(|index| {
        let (mut client, request) = (client.clone(), request(number, &recipient(index)));
        async move { client.send_message(request).await.expect("sent") }
    });
    futures_util::future::join_all(sends).await;
    eventually(SOON, async || crate::send::rows_left(&suite).await == (0, 0)).await;
    let ledger = suite.ledger().await;
    let item = |accepted, word| Item {
        application_id: suite.application.bytes(),
        connection_id: number.connection.bytes(),
        phone_number_id: number.id.clone(),
        kind: Some(Kind::Status(status_of(accepted, word))),
    };
    let writes = async || -> i64 {
        sqlx::query("SELECT pg_stat_force_next_flush()")
            .execute(suite.database.admin())
            .await
            .expect("flushed");
        sqlx::query_scalar("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables WHERE schemaname = 'messaging' AND relname !~ 'worker|lease|number_owner|connection'")
            .fetch_one(suite.database.admin())
            .await
            .expect("a sum")
    };
    // Statistics of other sessions come a little later.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let before = writes().await;
    for word in ["sent", "delivered", "read"] {
        let items = ledger.iter().map(|accepted| item(accepted, word)).collect();
        let results = instance
            .internal("webhook")
            .apply_items(ApplyItemsRequest { items })
            .await
            .expect("applied")
            .into_inner()
            .results;
        assert!(results.iter().all(|result| result.outcome() == ItemOutcome::Applied));
    }
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(writes().await, before);
}
