//! More messages than memory holds: the rest waits in the queue table.

use std::time::Duration;

use outeract_domain::EventId;
use outeract_proto::messaging::v1::{Priority, SendMessageRequest, SendWait, SubmissionState};
use outeract_testkit::eventually;

use crate::instance::Client;
use crate::suite::{Number, SOON, Suite, id, recipient, request};

/// Rows of messages whose content is gone: they take their turn, are found to be gone, and stay where they are. All of them are a day older than what is sent.
async fn rows(suite: &Suite, number: &Number, count: i32, columns: &str) {
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "INSERT INTO messaging.queue (phone_number_id, message_id, contact_id, connection_id, ready_at, updated_at, epoch, attempt, tries, state, priority,
                                      on_unknown, resends, unsettled, held, intent_at)
         SELECT $1, (lpad(to_hex((extract(epoch FROM messaging.now_()) * 1000)::bigint - 86400000 + n), 12, '0') || '7' || repeat('0', 3) || 'a' || repeat('0', 15))::uuid, gen_random_uuid(), $2, {columns}
         FROM generate_series(1, $3) n"
    )))
    .bind(&number.id)
    .bind(number.connection.uuid())
    .bind(count)
    .execute(suite.database.admin())
    .await
    .expect("inserted");
}

const WAITING_CAMPAIGN: &str = "messaging.now_(), messaging.now_(), 0, 0, 0, 1, 3, 1, 0, 0, false, NULL";
const FOR_TOMORROW: &str = "messaging.now_() + interval '1 day', messaging.now_(), 0, 0, 0, 1, 2, 1, 0, 0, false, NULL";
const OF_UNKNOWN_OUTCOME: &str =
    "messaging.now_(), messaging.now_(), 0, 1, 1, 4, 2, 1, 0, 0, true, messaging.now_() - interval '1 day'";

async fn store(client: &mut Client, number: &Number, to: &str, priority: Priority) -> EventId {
    let request = SendMessageRequest {
        wait: SendWait::Stored.into(),
        priority: priority.into(),
        ..request(number, to)
    };
    id(&client.send_message(request).await.expect("stored").into_inner())
}

/// How many messages wait.
async fn queued(suite: &Suite, number: &Number) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM messaging.queue WHERE phone_number_id = $1 AND state = 1")
        .bind(&number.id)
        .fetch_one(suite.database.admin())
        .await
        .expect("a count")
}

#[tokio::test]
async fn codes_and_conversations_behind_a_long_campaign_are_sent_soon_after_a_takeover() {
    let suite = Suite::new().await;
    let number = &suite.numbers[0];
    let first = suite.start().await;
    let mut client = first.client(&suite.key).await;
    suite
        .change(&first, number, |connection| connection.paused = true)
        .await;
    rows(&suite, number, 60_000, WAITING_CAMPAIGN).await;
    let mut messages = Vec::new();
    for (index, priority) in [Priority::Normal, Priority::Urgent, Priority::Normal]
        .into_iter()
        .enumerate()
    {
        messages.push(store(&mut client, number, &recipient(index), priority).await);
    }
    first.kill();
    // Slowly, so that the campaign lasts.
    {
        let mut connections = suite.siblings.state.connections.lock().expect("connections");
        let connection = &mut connections[0];
        connection.version += 1;
        (connection.paused, connection.throughput_per_second) = (false, 20);
    }
    let second = suite.start().await;
    let client = second.client(&suite.key).await;
    for message in messages {
        suite.reaches(&client, message, SubmissionState::Accepted).await;
    }
    assert!(
        queued(&suite, number).await >= 60_000,
        "the campaign did not have to go first"
    );
}

#[tokio::test]
async fn what_does_not_leave_the_front_of_the_queue_holds_nobody_up() {
    let suite = Suite::new().await;
    let number = &suite.numbers[0];
    let first = suite.start().await;
    let mut client = first.client(&suite.key).await;
    suite
        .change(&first, number, |connection| connection.paused = true)
        .await;
    rows(&suite, number, 10_000, FOR_TOMORROW).await;
    sqlx::query("UPDATE messaging.queue SET message_id = overlay(message_id::text placing 'b' from 20 for 1)::uuid WHERE phone_number_id = $1")
        .bind(&number.id)
        .execute(suite.database.admin())
        .await
        .expect("moved");
    rows(&suite, number, 10_000, OF_UNKNOWN_OUTCOME).await;
    let mut messages = Vec::new();
    for index in 0..300 {
        messages.push(store(&mut client, number, &recipient(index), Priority::Normal).await);
    }
    first.kill();
    {
        let mut connections = suite.siblings.state.connections.lock().expect("connections");
        connections[0].version += 1;
        connections[0].paused = false;
    }
    let second = suite.start().await;
    let mut client = second.client(&suite.key).await;
    for message in messages {
        suite.reaches(&client, message, SubmissionState::Accepted).await;
    }
    // New ones need no look at the table.
    let answer = client
        .send_message(request(number, "+14155559499"))
        .await
        .expect("sent")
        .into_inner();
    assert!(answer.status.is_some_and(|status| status.success));

    // When their time comes, what waited for it is found: there is no content, but each had its turn.
    assert_eq!(queued(&suite, number).await, 10_000);
    suite.database.advance(time::Duration::hours(25)).await;
    let to = "+14155559488";
    suite.wrote(number, to, Some(time::Duration::ZERO)).await;
    let next = store(&mut client, number, to, Priority::Normal).await;
    suite.reaches(&client, next, SubmissionState::Accepted).await;
}

#[tokio::test]
async fn more_than_memory_holds_is_sent_whole_and_in_order() {
    // A campaign's room in memory is half of a number's.
    const USERS: usize = 200;
    const EACH: usize = 23;
    let suite = Suite::new().await;
    let number = &suite.numbers[0];
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    suite
        .change(&instance, number, |connection| connection.paused = true)
        .await;
    let stores = (0..USERS).map(|user| {
        let mut client = client.clone();
        async move {
            let mut stored = Vec::new();
            for _ in 0..EACH {
                stored.push(
                    store(&mut client, number, &recipient(user), Priority::Bulk)
                        .await
                        .uuid(),
                );
            }
            stored
        }
    });
    let stores = futures_util::StreamExt::buffered(futures_util::stream::iter(stores), 100);
    let order: Vec<Vec<_>> = futures_util::StreamExt::collect(stores).await;
    suite
        .change(&instance, number, |connection| connection.paused = false)
        .await;
    eventually(Duration::from_mins(3), async || queued(&suite, number).await == 0).await;
    eventually(SOON, async || suite.ledger().await.len() == USERS * EACH).await;
    let mut sent = vec![Vec::new(); USERS];
    for accepted in suite.ledger().await {
        let user = (0..USERS).find(|user| accepted.to == recipient(*user)).expect("known");
        sent[user].push(crate::suite::message_of(&accepted));
    }
    assert_eq!(sent, order);
}
