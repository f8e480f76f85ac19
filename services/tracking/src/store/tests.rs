//! Appending under contention: what the log promises to whoever follows it.

use std::collections::HashSet;
use std::time::Duration;

use outeract_postgres::{PostgresConfig, connect};
use outeract_testkit::TestDatabase;
use sqlx::{Connection as _, PgPool};
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::head;
use super::log::{Columns, Scan, append, scan};

const WRITERS: u32 = 16;
const BATCHES: u32 = 40;
/// Seconds that writers go on for, instead of so many batches each.
const DURATION: &str = "TRACKING_TEST_WRITERS_SECONDS";
const APPLICATIONS: u128 = 4;
/// Ids of neighbouring writers overlap by half.
const IDS_PER_WRITER: u32 = 200;

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

fn application(index: u128) -> Uuid {
    Uuid::from_u128(0x01a2_0000_0000_7000_8000_0000_0000_0000 + index)
}

fn event(number: u32) -> (Uuid, Uuid) {
    let millis = uuid::Timestamp::now(uuid::NoContext).to_unix().0 / 86_400 * 86_400_000;
    let tail = [[0x80; 6].as_slice(), &number.to_be_bytes()].concat();
    let id = uuid::Builder::from_unix_timestamp_millis(millis + u64::from(number % 7), &tail.try_into().unwrap())
        .into_uuid();
    (id, application(u128::from(number) % APPLICATIONS))
}

/// Columns in the order of ids; places as the events came.
fn columns(numbers: &[u32]) -> Columns {
    let mut events: Vec<_> = numbers
        .iter()
        .enumerate()
        .map(|(place, number)| (event(*number), place as i32))
        .collect();
    events.sort();
    events.dedup_by_key(|((id, _), _)| *id);
    let mut columns = Columns::default();
    for ((id, application), place) in events {
        columns.ids.push(id);
        columns.applications.push(application);
        columns.connections.push(Uuid::from_u128(9));
        columns.origins.push(None);
        columns.types.push(1);
        columns.orders.push(place);
        columns.contacts.push(None);
        columns.bodies.push(b"sealed".to_vec());
    }
    columns
}

async fn pool(db: &TestDatabase, connections: u32) -> PgPool {
    let config = PostgresConfig {
        url: db.url("tracking"),
        max_connections: connections,
    };
    connect(&config, "tracking").await.unwrap()
}

/// Appends batches as a flusher does, some of them slow to commit, some rolled back. Gives what was committed. No error is met: nothing deadlocks.
async fn write(pool: PgPool, writer: u32, goes_on: impl Fn(u32) -> bool) -> Vec<Uuid> {
    let mut noise = Noise(u64::from(writer));
    let mut committed = Vec::new();
    let mut conn = pool.acquire().await.unwrap();
    for batch in (0..).take_while(|batch| goes_on(*batch)) {
        // Every batches' worth of ids is new, so that a long run does not only meet what is there.
        let first = batch / BATCHES * WRITERS * IDS_PER_WRITER + writer * IDS_PER_WRITER / 2;
        let numbers: Vec<u32> = (0..=noise.below(20))
            .map(|_| first + noise.below(IDS_PER_WRITER))
            .collect();
        let columns = columns(&numbers);
        match noise.below(50) {
            0 => {
                let mut tx = conn.begin().await.unwrap();
                append(&mut tx, &columns).await.unwrap();
                tx.rollback().await.unwrap();
            }
            1..=6 => {
                let mut tx = conn.begin().await.unwrap();
                let appended = append(&mut tx, &columns).await.unwrap();
                // Holds the heads' locks, as a slow disk would.
                sqlx::query("SELECT pg_sleep($1)")
                    .bind(f64::from(noise.below(20)) / 1_000.0)
                    .execute(&mut *tx)
                    .await
                    .unwrap();
                tx.commit().await.unwrap();
                committed.extend(appended.ids);
            }
            _ => committed.extend(append(&mut conn, &columns).await.unwrap().ids),
        }
    }
    committed
}

/// Follows one log by its cursor until it has everything there is once the writers are done.
async fn follow(pool: PgPool, application: Uuid, done: watch::Receiver<bool>) -> Vec<Uuid> {
    let mut followed = Vec::new();
    loop {
        let last = *done.borrow();
        let found = scan(&pool, &all_after(application, followed.len() as i64))
            .await
            .unwrap();
        for entry in &found.entries {
            assert_eq!(
                entry.position,
                followed.len() as i64 + 1,
                "a gap, or something out of order"
            );
            followed.push(entry.id);
        }
        if last && found.entries.is_empty() {
            return followed;
        }
    }
}

fn all_after(application: Uuid, after: i64) -> Scan<'static> {
    Scan {
        application,
        after,
        before: i64::MAX,
        descending: false,
        connections: None,
        contacts: None,
        names: None,
        prefixes: None,
        limit: 100,
        max_bytes: 1 << 20,
        max_positions: 5_000,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_by_cursor_miss_nothing_while_writers_overlap_stall_and_roll_back() {
    let db = TestDatabase::create(&["tracking"]).await;
    let (writing, reading) = (pool(&db, WRITERS).await, pool(&db, 4).await);
    let applications: Vec<Uuid> = (0..APPLICATIONS).map(application).collect();
    head::create(&mut writing.acquire().await.unwrap(), &applications)
        .await
        .unwrap();

    let (done, told) = watch::channel(false);
    let mut followers = JoinSet::new();
    for application in applications {
        followers.spawn(follow(reading.clone(), application, told.clone()));
    }
    let seconds = std::env::var(DURATION).ok().map(|seconds| seconds.parse().unwrap());
    let until = seconds.map(|seconds| std::time::Instant::now() + Duration::from_secs(seconds));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(writing.clone(), writer, move |batch| match until {
            Some(until) => std::time::Instant::now() < until,
            None => batch < BATCHES,
        }));
    }
    let committed: Vec<Uuid> = writers.join_all().await.into_iter().flatten().collect();
    done.send(true).unwrap();
    let followed: Vec<Uuid> = followers.join_all().await.into_iter().flatten().collect();

    let unique: HashSet<Uuid> = committed.iter().copied().collect();
    assert_eq!(unique.len(), committed.len(), "an id was reported as new twice");
    assert_eq!(followed.iter().copied().collect::<HashSet<_>>(), unique);
    assert_eq!(followed.len(), committed.len());
    assert!(unique.len() > 1_000, "{}", unique.len());
}

#[tokio::test]
async fn statements_of_the_same_events_wait_for_each_other_in_one_order() {
    let db = TestDatabase::create(&["tracking"]).await;
    let pool = pool(&db, 4).await;
    let applications: Vec<Uuid> = (0..APPLICATIONS).map(application).collect();
    head::create(&mut pool.acquire().await.unwrap(), &applications)
        .await
        .unwrap();
    let (first, second) = (columns(&[3, 1, 2, 8]), columns(&[8, 2, 9, 1, 3]));
    let mut one = pool.acquire().await.unwrap();
    let mut tx = one.begin().await.unwrap();
    assert_eq!(append(&mut tx, &first).await.unwrap().ids.len(), 4);
    let other = pool.clone();
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { append(&mut other.acquire().await.unwrap(), &second).await.unwrap() });
    let blocked =
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
    outeract_testkit::eventually(Duration::from_secs(10), async || {
        sqlx::query_scalar(blocked).fetch_one(db.admin()).await.unwrap()
    })
    .await;
    tx.commit().await.unwrap();
    let appended = waiting.join_all().await.remove(0);
    assert_eq!(appended.ids, [event(9).0]);
    assert_eq!((appended.applications, appended.heads), (vec![application(1)], vec![2]));
}

#[tokio::test]
async fn times_of_a_log_never_fall() {
    let db = TestDatabase::create(&["tracking"]).await;
    let pool = pool(&db, 2).await;
    let mut conn = pool.acquire().await.unwrap();
    head::create(&mut conn, &[application(0)]).await.unwrap();
    for (number, minutes) in [(0, 5), (4, 3), (8, 9), (12, 1)] {
        db.set_time(time::macros::datetime!(2026-11-23 10:00 UTC) + time::Duration::minutes(minutes))
            .await;
        append(&mut conn, &columns(&[number])).await.unwrap();
    }
    let minutes: Vec<f64> =
        sqlx::query_scalar("SELECT extract(minute FROM recorded_at)::float8 FROM tracking.log ORDER BY position")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(minutes, [5.0, 5.0, 9.0, 9.0]);
}
