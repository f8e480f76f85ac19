//! Sixteen writers, some of whose statements are slow and some rolled back at their very end, while streams and webhook subscribers follow.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use outeract_proto::tracking::internal::v1::{RecordEventsRequest, RecordResult};
use outeract_proto::tracking::v1::{AcknowledgeEventsRequest, ListEventsRequest, StreamEventsRequest};
use outeract_testkit::eventually;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Code;

use crate::hooks::{LOCAL, create};
use crate::receiver::{Answer, Receiver};
use crate::suite::{App, Events, Internal, Suite, event_ids, ids, list_all, open};

const WRITERS: u32 = 16;
const PROCESSES: usize = 4;
const APPLICATIONS: usize = 2;
/// Seconds that the writers go on for.
const DURATION: &str = "TRACKING_TEST_WRITERS_SECONDS";
const SECONDS: u64 = 5;
/// Each writer's time between two calls: followers are followed to the end, and a debug build delivers some hundred webhooks a second.
const PACE: Duration = Duration::from_millis(100);
/// How long followers may need for what is left when the writers are done.
const CAUGHT_UP: Duration = Duration::from_mins(2);

/// At the end of a statement that appends, with the heads locked and all rows written: of fifty one is rolled back, and six hold what they have for up to 20 ms.
const FAULTS: &str = "
CREATE SEQUENCE tracking.rolled_back;
GRANT USAGE ON SEQUENCE tracking.rolled_back TO PUBLIC;
CREATE FUNCTION tracking.fault() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    dice double precision := random();
BEGIN
    IF dice < 0.02 THEN
        -- A sequence is not rolled back.
        PERFORM nextval('tracking.rolled_back');
        RAISE EXCEPTION 'rolled back' USING ERRCODE = '40001';
    ELSIF dice < 0.14 THEN
        PERFORM pg_sleep(random() * 0.02);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER fault AFTER INSERT ON tracking.log FOR EACH STATEMENT EXECUTE FUNCTION tracking.fault();
";

/// What one writer was told is new, as (application, event), and how often it called.
type Written = (Vec<(usize, String)>, u32);

/// Deterministic noise, the same for each run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: u32) -> u32 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % u64::from(bound)) as u32
    }
}

/// Records batches of one to five events, again until they are durable, as callers do. Half of what it writes its neighbour writes too.
async fn write(mut internal: Internal, apps: Vec<App>, writer: u32, until: Instant) -> Written {
    let (mut noise, mut new, mut calls) = (Noise(u64::from(writer)), Vec::new(), 0);
    while Instant::now() < until {
        let first = calls * 1_000 + writer * 3;
        let numbers: HashSet<u32> = (0..=noise.below(5)).map(|_| first + noise.below(6)).collect();
        let placed: Vec<_> = numbers
            .into_iter()
            .map(|number| (number as usize % APPLICATIONS, number))
            .collect();
        let events: Vec<_> = placed.iter().map(|(app, number)| apps[*app].inbound(*number)).collect();
        let names = ids(&events);
        let request = RecordEventsRequest { events };
        let results = loop {
            match internal.record_events(request.clone()).await {
                Ok(answer) => break answer.into_inner().results().collect::<Vec<_>>(),
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
            }
        };
        for (((app, _), name), result) in placed.iter().zip(names).zip(results) {
            match result {
                RecordResult::Recorded => new.push((*app, name)),
                other => assert_eq!(other, RecordResult::Duplicate),
            }
        }
        calls += 1;
        tokio::time::sleep(PACE).await;
    }
    (new, calls)
}

/// Follows one stream, acknowledging, until as many events came as there are in the end.
async fn follow(mut events: Events, total: watch::Receiver<Option<usize>>) -> Vec<String> {
    let request = StreamEventsRequest {
        consumer: "follower".to_owned(),
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..StreamEventsRequest::default()
    };
    let mut stream = open(&mut events, request).await;
    let mut followed = Vec::new();
    while total.borrow().is_none_or(|total| followed.len() < total) {
        // Heartbeats come between: the end is seen though nothing else comes.
        let Some(batch) = stream.message().await.unwrap() else {
            panic!("the stream ended")
        };
        if batch.events.is_empty() {
            continue;
        }
        followed.extend(event_ids(&batch.events));
        let acknowledge = AcknowledgeEventsRequest {
            consumer: "follower".to_owned(),
            cursor: batch.cursor,
            session: batch.session,
        };
        events.acknowledge_events(acknowledge).await.unwrap();
    }
    followed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_subscribers_are_told_everything_once_while_writers_overlap_stall_and_roll_back() {
    let mut suite = Suite::new().await;
    sqlx::raw_sql(FAULTS).execute(suite.db.admin()).await.unwrap();
    let mut instances = Vec::new();
    for _ in 0..PROCESSES {
        instances.push(suite.start(&[LOCAL]).await);
    }
    let apps: Vec<_> = (0..APPLICATIONS).map(|_| suite.app()).collect();
    let (mut receivers, mut totals, mut followers) = (Vec::new(), Vec::new(), Vec::new());
    for (index, app) in apps.iter().enumerate() {
        let receiver = Receiver::new(Answer::Status(200)).await;
        create(&mut instances[index].hooks(app).await, &receiver.url()).await;
        receivers.push(receiver);
        let (total, told) = watch::channel(None);
        totals.push(total);
        let events = instances[PROCESSES - 1 - index].events(app).await;
        let mut follower = JoinSet::new();
        follower.spawn(follow(events, told));
        followers.push(follower);
    }

    let seconds = std::env::var(DURATION).map_or(SECONDS, |seconds| seconds.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let internal = instances[writer as usize % PROCESSES].internal();
        writers.spawn(write(internal, apps.clone(), writer, until));
    }
    let written: Vec<Written> = writers.join_all().await;
    let calls: u32 = written.iter().map(|(_, calls)| calls).sum();
    let new: Vec<_> = written.into_iter().flat_map(|(new, _)| new).collect();

    let mut repeated = 0;
    for (index, app) in apps.iter().enumerate() {
        let of_it = new.iter().filter(|(app, _)| *app == index);
        let recorded: HashSet<&String> = of_it.clone().map(|(_, id)| id).collect();
        assert_eq!(recorded.len(), of_it.count(), "an event was said to be new twice");
        let listed = event_ids(&list_all(&mut instances[0].events(app).await, ListEventsRequest::default()).await);
        assert_eq!(listed.iter().collect::<HashSet<_>>(), recorded);
        assert_eq!(listed.len(), recorded.len());

        totals[index].send(Some(listed.len())).unwrap();
        let followed = tokio::time::timeout(CAUGHT_UP, followers[index].join_next()).await;
        assert_eq!(
            followed.expect("in time").unwrap().unwrap(),
            listed,
            "the stream, in the order of the log"
        );
        let receiver = &receivers[index];
        eventually(CAUGHT_UP, async || receiver.received_count() >= listed.len()).await;
        // Each of them once: nothing failed and no process died, which alone makes a delivery come again.
        let delivered = receiver.events();
        repeated += delivered.len() - delivered.iter().collect::<HashSet<_>>().len();
        assert_eq!(delivered.iter().collect::<HashSet<_>>(), recorded);
    }
    let rolled_back: i64 =
        sqlx::query_scalar("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tracking.rolled_back")
            .fetch_one(suite.db.admin())
            .await
            .unwrap();
    println!(
        "{seconds} s: {calls} calls, {} events, {rolled_back} statements rolled back, 0 skipped, {repeated} webhooks twice",
        new.len()
    );
    assert_eq!(repeated, 0);
    assert!(rolled_back > 0, "no statement was rolled back");
    assert!(new.len() > 500, "{}", new.len());
}
