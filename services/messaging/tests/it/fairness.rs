//! One number's troubles are its own.

use outeract_proto::messaging::v1::SubmissionState;
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;

use crate::batch::store_all;
use crate::suite::{Number, SOON, Suite, id, recipient, request};

impl Suite {
    /// How many of a number's messages still wait for their turn.
    async fn waiting(&self, number: &Number) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM messaging.queue WHERE phone_number_id = $1 AND state = 1")
            .bind(&number.id)
            .fetch_one(self.database.admin())
            .await
            .expect("a count")
    }
}

/// How little the others notice is measured by the benchmark. Here it is counted how many of the crowd went before them: few, however slow the machine is.
#[tokio::test]
async fn thousands_waiting_on_one_number_do_not_slow_another() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start_patient().await;
    let client = instance.client(&suite.key).await;
    let (throttled, free) = (&suite.numbers[0], &suite.numbers[1]);
    suite
        .change(&instance, throttled, |connection| connection.throughput_per_second = 5)
        .await;
    for thousand in 0..5 {
        let crowd = (0..1_000).map(|index| request(throttled, &recipient((thousand * 1_000 + index) % 1_300)));
        store_all(&client, crowd.collect()).await;
    }
    assert!(suite.waiting(throttled).await > 4_000);

    let others = (0..100).map(|index| request(free, &recipient(9_000 + index)));
    store_all(&client, others.collect()).await;
    eventually(SOON, async || {
        let sent = suite.ledger().await;
        sent.iter().filter(|one| one.phone_number_id == free.id).count() == 100
    })
    .await;
    // The crowd, which came first, is as good as all there.
    assert!(
        suite.waiting(throttled).await > 3_000,
        "the others did not wait for the crowd"
    );
}

#[tokio::test]
async fn a_number_whose_calls_hang_leaves_room_for_others() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start_patient().await;
    let client = instance.client(&suite.key).await;
    let (hanging, free) = (&suite.numbers[0], &suite.numbers[1]);
    let silence = Effect::Latency {
        before_ms: 60_000,
        after_ms: 0,
        jitter_ms: 0,
    };
    suite
        .meta
        .fault(
            Match {
                object_id: Some(hanging.id.clone()),
                ..Match::default()
            },
            silence,
        )
        .await
        .expect("added");
    for _ in 0..2 {
        store_all(
            &client,
            (0..1_000).map(|index| request(hanging, &recipient(index))).collect(),
        )
        .await;
    }
    let answer = client
        .clone()
        .send_message(request(free, "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
    assert!(
        suite.waiting(hanging).await > 1_000,
        "most of what came before it still waits for a call that ends"
    );
}

#[tokio::test]
async fn a_number_that_meta_brakes_waits_and_then_goes_on() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start_patient().await;
    let mut client = instance.client(&suite.key).await;
    let (braked, free) = (&suite.numbers[0], &suite.numbers[1]);
    let limited = Effect::Error {
        code: 130_429,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    suite
        .meta
        .fault(
            Match {
                object_id: Some(braked.id.clone()),
                count: Some(2),
                ..Match::default()
            },
            limited,
        )
        .await
        .expect("added");
    let mut messages = Vec::new();
    for index in 0..10 {
        messages.push(suite.store(&mut client, braked, &recipient(index)).await);
    }
    let answer = client
        .send_message(request(free, "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
    for message in messages {
        suite.reaches(&client, message, SubmissionState::Accepted).await;
    }
    eventually(SOON, async || suite.ledger().await.len() == 11).await;
}
