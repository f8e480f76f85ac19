//! What the statements promise, against a real Postgres.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use outeract_testkit::TestDatabase;
use sqlx::{Connection as _, PgPool};
use time::macros::date;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::account::{self, Accounts};
use super::item::NewItems;
use super::partition::Table;
use super::{park, partition, post, route};

mod operations;

const BYTES: i64 = 4 << 20;

async fn append(db: &PgPool, lane: i16, ids: &[Uuid]) -> i64 {
    let bodies = vec![&b"body"[..]; ids.len()];
    let mut connection = db.acquire().await.unwrap();
    post::append(&mut connection, lane, ids, &vec![4; ids.len()], &bodies)
        .await
        .unwrap()
}

/// An id of a day.
fn id(day: time::Date, n: u64) -> Uuid {
    let millis = (day.midnight().assume_utc().unix_timestamp() * 1_000) as u64 + n;
    uuid::Builder::from_unix_timestamp_millis(millis, &[n as u8; 10]).into_uuid()
}

fn accounts(ids: &[Uuid]) -> Accounts {
    let none = || vec![0; ids.len()];
    Accounts {
        post_ids: ids.to_vec(),
        items: none(),
        applied: none(),
        duplicate: none(),
        parked: none(),
        unsupported: none(),
        quarantined: none(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_by_position_skips_nothing_while_writers_hold_their_transactions_and_roll_back() {
    const WRITERS: u64 = 16;
    const APPENDS: u64 = 60;
    let database = TestDatabase::create(&["webhook"]).await;
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(20)
        .connect(database.url("webhook").expose())
        .await
        .unwrap();
    let committed = Arc::new(AtomicI64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (pool, committed) = (pool.clone(), Arc::clone(&committed));
        writers.spawn(async move {
            for n in 0..APPENDS {
                let count = (writer + n) % 4 + 1;
                let ids: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
                let bodies = vec![&b"body"[..]; ids.len()];
                let mut connection = pool.acquire().await.unwrap();
                let mut tx = connection.begin().await.unwrap();
                post::append(&mut tx, 0, &ids, &vec![4; ids.len()], &bodies)
                    .await
                    .unwrap();
                // Held open, as a slow commit holds it.
                tokio::time::sleep(Duration::from_millis(n % 3)).await;
                if (writer * APPENDS + n).is_multiple_of(50) {
                    tx.rollback().await.unwrap();
                } else {
                    tx.commit().await.unwrap();
                    committed.fetch_add(count as i64, Ordering::SeqCst);
                }
            }
        });
    }
    let mut readers = JoinSet::new();
    {
        let (pool, done) = (pool.clone(), Arc::clone(&done));
        readers.spawn(async move {
            let mut cursor = 0;
            loop {
                let last = done.load(Ordering::SeqCst);
                let found = post::after(&pool, 0, cursor, 16, BYTES).await.unwrap();
                for post in &found {
                    assert_eq!(post.position, cursor + 1, "positions are dense in the order of commits");
                    cursor = post.position;
                }
                if last && found.is_empty() {
                    return cursor;
                }
            }
        });
    }
    writers.join_all().await;
    done.store(true, Ordering::SeqCst);
    assert_eq!(readers.join_all().await, [committed.load(Ordering::SeqCst)]);
}

#[tokio::test]
async fn a_batch_is_bounded_by_count_and_bytes_and_never_empty() {
    let database = TestDatabase::create(&["webhook"]).await;
    let pool = database.pool("webhook").await;
    let ids: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
    assert_eq!(append(&pool, 2, &ids).await, 5);
    let positions = async |count, bytes| {
        let found = post::after(&pool, 2, 1, count, bytes).await.unwrap();
        found.iter().map(|post| post.position).collect::<Vec<_>>()
    };
    assert_eq!(positions(3, BYTES).await, [2, 3, 4]);
    assert_eq!(positions(10, 8).await, [2, 3]);
    assert_eq!(positions(10, 9).await, [2, 3, 4]);
    assert_eq!(positions(10, 1).await, [2]);
    assert!(post::after(&pool, 1, 0, 10, BYTES).await.unwrap().is_empty());
}

#[tokio::test]
async fn of_two_decoders_at_one_place_one_advances_and_the_other_writes_nothing() {
    let database = TestDatabase::create(&["webhook"]).await;
    let pool = database.pool("webhook").await;
    let ids = [Uuid::now_v7()];
    append(&pool, 0, &ids).await;
    let advance = async || {
        let mut connection = pool.acquire().await.unwrap();
        account::advance(&mut connection, 0, 0, 1, &accounts(&ids), &NewItems::default())
            .await
            .unwrap()
    };
    let (first, second) = tokio::join!(advance(), advance());
    assert!(first ^ second);
    let mut connection = pool.acquire().await.unwrap();
    assert_eq!(account::get(&mut connection, ids[0]).await.unwrap().unwrap().items, 0);
    assert!(!advance().await, "nor later");
}

#[tokio::test]
async fn accounts_that_do_not_add_up_cannot_be_written() {
    let database = TestDatabase::create(&["webhook"]).await;
    let pool = database.pool("webhook").await;
    let ids = [Uuid::now_v7()];
    append(&pool, 0, &ids).await;
    let mut wrong = accounts(&ids);
    wrong.items[0] = 2;
    wrong.applied[0] = 1;
    let mut connection = pool.acquire().await.unwrap();
    let refused = account::advance(&mut connection, 0, 0, 1, &wrong, &NewItems::default())
        .await
        .unwrap_err();
    let constraint = refused
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::constraint);
    assert_eq!(constraint, Some("every_item_accounted"));
}

#[tokio::test]
async fn days_are_made_ahead_take_over_what_came_before_them_and_go_only_when_decoded() {
    let database = TestDatabase::create(&["webhook"]).await;
    let pool = database.pool("webhook").await;
    let (old, older) = (date!(2026 - 03 - 02), date!(2026 - 03 - 01));
    let ids = [id(older, 1), id(old, 2)];
    append(&pool, 0, &ids).await;
    assert!(partition::default_in_use(&pool).await.unwrap());
    assert_eq!(partition::create(&pool, older, old).await.unwrap(), 6);
    assert_eq!(partition::create(&pool, older, old).await.unwrap(), 0);
    assert!(!partition::default_in_use(&pool).await.unwrap());
    assert_eq!(post::by_ids(&pool, &ids).await.unwrap().len(), 2);

    let keep = date!(2026 - 03 - 10);
    assert_eq!(
        partition::drop_before(&pool, Table::Post, keep).await.unwrap(),
        0,
        "nothing is decoded"
    );
    let mut connection = pool.acquire().await.unwrap();
    let (of_first, none) = (accounts(&ids[..1]), NewItems::default());
    let advanced = account::advance(&mut connection, 0, 0, 1, &of_first, &none);
    assert!(advanced.await.unwrap());
    assert_eq!(partition::drop_before(&pool, Table::Post, keep).await.unwrap(), 1);
    let left = post::by_ids(&pool, &ids).await.unwrap();
    assert_eq!(left.iter().map(|post| post.id).collect::<Vec<_>>(), ids[1..]);
    assert_eq!(
        post::after(&pool, 0, 1, 10, BYTES).await.unwrap().len(),
        1,
        "and is decoded next"
    );
}

#[tokio::test]
async fn two_replicas_may_make_and_drop_days_at_once() {
    let database = TestDatabase::create(&["webhook"]).await;
    let pool = database.pool("webhook").await;
    let (first, last) = (date!(2026 - 03 - 01), date!(2026 - 03 - 05));
    let create = || partition::create(&pool, first, last);
    let (one, other) = tokio::join!(create(), create());
    assert_eq!(one.unwrap() + other.unwrap(), 15);
    let drop = || partition::drop_before(&pool, Table::Post, date!(2026 - 03 - 04));
    let (one, other) = tokio::join!(drop(), drop());
    assert_eq!(one.unwrap() + other.unwrap(), 3);
}

#[tokio::test]
async fn an_activation_waits_for_who_parks_and_then_sees_what_was_parked() {
    let database = TestDatabase::create(&["webhook"]).await;
    let pool = database.pool("webhook").await;
    let numbers = vec!["1".to_owned(), "2".to_owned()];
    let connection = Uuid::now_v7();
    let snapshots = route::Snapshots {
        connection_ids: vec![connection],
        application_ids: vec![Uuid::now_v7()],
        versions: vec![1],
        waba_ids: vec!["7".to_owned()],
        phone_number_ids: vec!["1".to_owned()],
        states: vec![1],
        display_numbers: vec![Vec::new()],
    };
    let item = |ordinal| NewItems {
        post_ids: vec![Uuid::nil()],
        ordinals: vec![ordinal],
        received_at: vec![time::OffsetDateTime::UNIX_EPOCH],
        positions: vec![1],
        pointers: vec![String::new()],
        fields: vec![String::new()],
        outcomes: vec![3],
        reasons: vec!["NO_CONNECTION".to_owned()],
        application_ids: vec![None],
        connection_ids: vec![None],
        phone_number_ids: vec!["1".to_owned()],
    };

    let mut parking = pool.begin().await.unwrap();
    park::lock_numbers(&mut parking, &numbers).await.unwrap();
    let (none, one) = (Accounts::default(), item(0));
    let advanced = account::advance(&mut parking, 0, 0, 1, &none, &one);
    assert!(advanced.await.unwrap());
    assert_eq!(park::start(&mut parking, &numbers).await.unwrap(), 0, "no route yet");

    let mut activation = JoinSet::new();
    {
        let (pool, numbers) = (pool.clone(), numbers.clone());
        activation.spawn(async move {
            let mut activating = pool.begin().await.unwrap();
            park::lock_numbers(&mut activating, &numbers).await.unwrap();
            route::upsert(&mut activating, &snapshots).await.unwrap();
            let started = park::start(&mut activating, &numbers).await.unwrap();
            activating.commit().await.unwrap();
            started
        });
    }
    let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())";
    outeract_testkit::eventually(Duration::from_secs(5), async || {
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() == 1
    })
    .await;
    parking.commit().await.unwrap();
    assert_eq!(activation.join_all().await, [1], "the item is seen");

    // The other way round: who parks after the activation finds the number routable, and starts it.
    let mut parking = pool.begin().await.unwrap();
    sqlx::query("delete from webhook.unpark")
        .execute(&mut *parking)
        .await
        .unwrap();
    park::lock_numbers(&mut parking, &numbers).await.unwrap();
    let (none, one) = (Accounts::default(), item(1));
    let advanced = account::advance(&mut parking, 0, 1, 2, &none, &one);
    assert!(advanced.await.unwrap());
    assert_eq!(park::start(&mut parking, &numbers).await.unwrap(), 1);
}
