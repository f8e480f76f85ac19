//! Several processes, and what becomes of numbers and messages when one goes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use outeract_proto::messaging::v1::SubmissionState;
use outeract_runtime::Outcome;
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;
use uuid::Uuid;

use crate::suite::{SOON, Suite, id, recipient, request, status_of};

/// Numbers that two processes share by their addresses: so many that neither goes without.
const MANY: usize = 24;

/// How many numbers each living process owns.
async fn shares(suite: &Suite) -> HashMap<Uuid, i64> {
    sqlx::query_as::<_, (Uuid, i64)>("SELECT w.id, count(o.*) FROM messaging.worker w LEFT JOIN messaging.number_owner o ON o.worker = w.id WHERE w.expires_at > messaging.now_() GROUP BY w.id")
        .fetch_all(suite.database.admin())
        .await
        .expect("counts")
        .into_iter()
        .collect()
}

#[tokio::test]
async fn two_processes_share_the_numbers_and_answer_for_each_other() {
    let suite = Suite::with_numbers(MANY).await;
    let (one, other) = (suite.start().await, suite.start().await);
    eventually(SOON, async || {
        let shares = shares(&suite).await;
        shares.len() == 2 && shares.values().all(|count| *count > 0) && shares.values().sum::<i64>() == MANY as i64
    })
    .await;
    // Whichever process a caller meets, it gets Meta's answer, also from the owner elsewhere.
    let clients = [one.client(&suite.key).await, other.client(&suite.key).await];
    let success = async |turn: usize| {
        let request = request(&suite.numbers[turn % MANY], &recipient(turn));
        let answer = clients[turn / MANY % 2]
            .clone()
            .send_message(request)
            .await
            .expect("sent")
            .into_inner();
        answer.status.expect("a status").success
    };
    // Each process looks who owns what now and then; once it has looked, nobody waits in vain.
    eventually(SOON, async || {
        futures_util::future::join_all((0..2 * MANY).map(success))
            .await
            .into_iter()
            .all(|success| success)
    })
    .await;
    let answers = futures_util::future::join_all((2 * MANY..6 * MANY).map(success)).await;
    assert!(answers.iter().all(|success| *success));
    let summary = suite.meta.summary().await.expect("a summary");
    assert_eq!(summary.duplicates.len(), 0);
}

#[tokio::test]
async fn when_a_process_is_killed_another_takes_over_and_nothing_is_lost_or_sent_twice() {
    let suite = Suite::with_numbers(MANY).await;
    let (one, other) = (suite.start().await, suite.start().await);
    eventually(SOON, async || {
        shares(&suite).await.values().filter(|count| **count > 0).count() == 2
    })
    .await;
    let mut client = other.client(&suite.key).await;
    let slow = Effect::Latency {
        before_ms: 20,
        after_ms: 30,
        jitter_ms: 50,
    };
    suite.meta.fault(Match::default(), slow).await.expect("added");
    let mut messages = Vec::new();
    for index in 0..150 {
        messages.push(
            suite
                .store(&mut client, &suite.numbers[index % MANY], &recipient(index))
                .await,
        );
    }
    one.kill();
    let killed = Instant::now();
    let taken_over = async {
        eventually(SOON, async || {
            shares(&suite).await.values().copied().collect::<Vec<_>>() == [MANY as i64]
        })
        .await;
        killed.elapsed()
    };
    let more = async {
        let mut more = Vec::new();
        for index in 150..300 {
            more.push(
                suite
                    .store(&mut client, &suite.numbers[index % MANY], &recipient(index))
                    .await,
            );
        }
        more
    };
    let (elapsed, more) = tokio::join!(taken_over, more);
    assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
    messages.extend(more);
    // What was on its way when the process died is settled by Meta's webhooks.
    eventually(Duration::from_secs(40), async || {
        for accepted in suite.ledger().await {
            let number = suite
                .numbers
                .iter()
                .find(|number| number.id == accepted.phone_number_id)
                .expect("known");
            suite.status(&other, number, status_of(&accepted, "sent")).await;
        }
        let open: i64 =
            sqlx::query_scalar("SELECT count(*) FROM messaging.queue WHERE phone_number_id > '' AND state <> 4")
                .fetch_one(suite.database.admin())
                .await
                .expect("a count");
        open == 0
    })
    .await;
    let summary = suite.meta.summary().await.expect("a summary");
    assert!(summary.duplicates.is_empty(), "{:?}", summary.duplicates);
    let mut unknown = 0;
    for message in messages {
        match crate::suite::get(&client, message).await.state() {
            SubmissionState::Accepted => {}
            // The process died between its intent and Meta: nobody will ever know, and nobody sends it twice.
            SubmissionState::Unknown => unknown += 1,
            state => panic!("{state:?}"),
        }
    }
    assert_eq!(summary.accepted + unknown, 300);
}

#[tokio::test]
async fn a_call_whose_process_is_gone_becomes_unknown_once_it_has_had_its_time() {
    let suite = Suite::new().await;
    let one = suite.start().await;
    let mut client = one.client(&suite.key).await;
    let hang = Effect::Latency {
        before_ms: 0,
        after_ms: 60_000,
        jitter_ms: 0,
    };
    suite
        .meta
        .fault(
            Match {
                count: Some(1),
                ..Match::default()
            },
            hang,
        )
        .await
        .expect("added");
    let message = suite.store(&mut client, &suite.numbers[0], "+14155551234").await;
    eventually(SOON, async || suite.ledger().await.len() == 1).await;
    one.kill();
    let other = suite.start().await;
    let client = other.client(&suite.key).await;
    let stored = suite.reaches(&client, message, SubmissionState::Unknown).await;
    assert_eq!(stored.attempt, 1);
    let ledger = suite.ledger().await;
    suite
        .status(&other, &suite.numbers[0], status_of(&ledger[0], "sent"))
        .await;
    suite.reaches(&client, message, SubmissionState::Accepted).await;
    assert_eq!(suite.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_process_that_starts_again_under_its_address_takes_its_numbers_back_at_once() {
    let suite = Suite::with_numbers(3).await;
    let env = suite.env();
    let one = crate::instance::Instance::start(env.clone()).await;
    suite.owned().await;
    let epochs = async || -> i64 {
        sqlx::query_scalar("SELECT sum(epoch)::bigint FROM messaging.number_owner")
            .fetch_one(suite.database.admin())
            .await
            .expect("a sum")
    };
    assert_eq!(epochs().await, 3);
    one.kill();
    // The port is free once the process is gone.
    let address = env.get("MESSAGING_INTERNAL_LISTEN").expect("set").to_owned();
    eventually(SOON, async || std::net::TcpListener::bind(&address).is_ok()).await;
    let again = crate::instance::Instance::start(env).await;
    eventually(SOON, async || epochs().await == 6).await;
    let mut client = again.client(&suite.key).await;
    let answer = client
        .send_message(request(&suite.numbers[0], "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
}

#[tokio::test]
async fn a_process_that_stops_in_order_finishes_what_is_on_its_way_and_frees_its_numbers() {
    let suite = Suite::with_numbers(4).await;
    let one = suite.start().await;
    let mut client = one.client(&suite.key).await;
    let slow = Effect::Latency {
        before_ms: 0,
        after_ms: 700,
        jitter_ms: 0,
    };
    suite.meta.fault(Match::default(), slow).await.expect("added");
    let message = suite.store(&mut client, &suite.numbers[0], "+14155551234").await;
    eventually(SOON, async || suite.ledger().await.len() == 1).await;
    drop(client);
    assert_eq!(one.stop().await, Outcome::Finished);
    assert!(shares(&suite).await.is_empty());
    let other = suite.start().await;
    let client = other.client(&suite.key).await;
    assert_eq!(
        crate::suite::get(&client, message).await.state(),
        SubmissionState::Accepted
    );
    let unknown = suite.siblings.children(message.uuid(), "message.unknown");
    assert!(unknown.is_empty());
}

#[tokio::test]
async fn a_process_that_is_taken_for_dead_begins_anew_with_new_epochs() {
    let suite = Suite::with_numbers(2).await;
    let one = suite.start().await;
    sqlx::query("DELETE FROM messaging.worker")
        .execute(suite.database.admin())
        .await
        .expect("deleted");
    let epochs = async || -> i64 {
        sqlx::query_scalar("SELECT sum(epoch)::bigint FROM messaging.number_owner")
            .fetch_one(suite.database.admin())
            .await
            .expect("a sum")
    };
    eventually(SOON, async || epochs().await >= 4).await;
    suite.owned().await;
    let mut client = one.client(&suite.key).await;
    let answer = client
        .send_message(request(&suite.numbers[0], "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
}

#[tokio::test]
async fn a_message_whose_hint_was_lost_is_found_by_the_scan() {
    let suite = Suite::new().await;
    let one = suite.start().await;
    let mut client = one.client(&suite.key).await;
    let answer = client
        .send_message(request(&suite.numbers[0], "+14155551234"))
        .await
        .expect("sent")
        .into_inner();
    // The same message again, as another process would have left it that died right after its commit.
    let first = id(&answer).uuid();
    let copy = Uuid::now_v7();
    for sql in [
        "INSERT INTO messaging.message SELECT $2, application_id, connection_id, contact_id, created_at, send_at, on_unknown, priority, phone_number_id, NULL, sealed FROM messaging.message WHERE id = $1",
        "INSERT INTO messaging.queue (phone_number_id, message_id, contact_id, connection_id, ready_at, updated_at, epoch, attempt, tries, state, priority, on_unknown, resends, unsettled, held)
         SELECT phone_number_id, $2, contact_id, connection_id, created_at, created_at, 0, 0, 0, 1, 1, 1, 0, 0, false FROM messaging.message WHERE id = $1",
    ] {
        sqlx::query(sql).bind(first).bind(copy).execute(suite.database.admin()).await.expect("copied");
    }
    // Its content is sealed for the first one: it cannot be read, is not sent, and holds nobody up.
    let next = client
        .send_message(request(&suite.numbers[0], "+14155551235"))
        .await
        .expect("sent")
        .into_inner();
    assert!(next.status.is_some_and(|status| status.success));
    assert_eq!(suite.ledger().await.len(), 2);
}

/// Meta answers one message so.
async fn answer_once(suite: &Suite, code: i32) {
    let once = Match {
        count: Some(1),
        ..Match::default()
    };
    let error = Effect::Error {
        code,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    suite.meta.fault(once, error).await.expect("added");
}

async fn brakes(suite: &Suite) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM messaging.brake WHERE until > messaging.now_()")
        .fetch_one(suite.database.admin())
        .await
        .expect("a count")
}

#[tokio::test]
async fn what_meta_holds_back_is_known_to_the_next_owner_of_the_number_and_shown() {
    let suite = Suite::with_numbers(2).await;
    let one = suite.start().await;
    let mut client = one.client(&suite.key).await;
    let (held, free) = (&suite.numbers[0], &suite.numbers[1]);
    // The display name is not approved: the number waits for minutes.
    answer_once(&suite, 131_037).await;
    let refused = suite.store(&mut client, held, "+14155551234").await;
    suite
        .message_when(&client, refused, |message| message.error.is_some())
        .await;
    eventually(SOON, async || brakes(&suite).await == 1).await;
    let waiting = suite.store(&mut client, held, "+14155551235").await;
    let braked = |message: &outeract_proto::messaging::v1::Message| {
        let obstacle = message.obstacles.iter().find(|obstacle| obstacle.reason == "BRAKED");
        obstacle.and_then(|obstacle| obstacle.retry_time)
    };
    let until = braked(&crate::suite::get(&client, waiting).await).expect("an obstacle");
    drop(client);
    one.kill();

    let other = suite.start().await;
    let mut client = other.client(&suite.key).await;
    eventually(SOON, async || {
        shares(&suite).await.values().copied().collect::<Vec<_>>() == [2]
    })
    .await;
    let answer = client.send_message(request(free, "+14155551236")).await.expect("sent");
    assert!(answer.into_inner().status.is_some_and(|status| status.success));
    let fresh = client
        .send_message(request(held, "+14155551237"))
        .await
        .expect("stored");
    assert!(fresh.into_inner().status.is_some_and(|status| status.pending));
    let message = crate::suite::get(&client, waiting).await;
    assert_eq!(
        (braked(&message), message.next_attempt_time),
        (Some(until), Some(until))
    );
    assert_eq!(
        suite.ledger().await.len(),
        1,
        "nothing left the number that Meta holds back"
    );

    // Whoever puts it right ends the wait.
    suite
        .change(&other, held, |connection| connection.token_version += 1)
        .await;
    suite.reaches(&client, waiting, SubmissionState::Accepted).await;
    eventually(SOON, async || brakes(&suite).await == 0).await;
}

#[tokio::test]
async fn what_meta_holds_back_of_an_account_holds_for_the_numbers_of_every_process() {
    let suite = Suite::with_numbers(MANY).await;
    let (one, _other) = (suite.start().await, suite.start().await);
    eventually(SOON, async || {
        let shares = shares(&suite).await;
        shares.len() == 2 && shares.values().all(|count| *count > 0) && shares.values().sum::<i64>() == MANY as i64
    })
    .await;
    let mut client = one.client(&suite.key).await;
    answer_once(&suite, 131_031).await;
    let refused = suite.store(&mut client, &suite.numbers[0], "+14155551234").await;
    suite
        .message_when(&client, refused, |message| message.error.is_some())
        .await;
    let round = async |turn: usize| {
        let sends = (0..MANY).map(async |number| {
            let request = request(&suite.numbers[number], &recipient(turn * MANY + number));
            let answer = client.clone().send_message(request).await.expect("stored").into_inner();
            answer.status.expect("a status").success
        });
        futures_util::future::join_all(sends)
            .await
            .into_iter()
            .any(|success| success)
    };
    let mut turn = 0;
    eventually(SOON, async || {
        turn += 1;
        !round(turn).await
    })
    .await;
    let sent = suite.ledger().await.len();
    assert!(!round(turn + 1).await);
    assert_eq!(suite.ledger().await.len(), sent);
}
