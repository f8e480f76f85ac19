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
use super::{again, erasure, ledger, park, partition, post, replay, route};

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

/// Items of one post, with these outcomes.
fn listed(post_id: Uuid, outcomes: &[i16]) -> NewItems {
    let mut items = NewItems::default();
    for (ordinal, outcome) in outcomes.iter().enumerate() {
        items.push(again::Row {
            post_id,
            ordinal: ordinal as i32,
            received_at: time::OffsetDateTime::UNIX_EPOCH,
            position: 1,
            pointer: format!("/entry/0/changes/{ordinal}"),
            field: "messages".to_owned(),
            outcome: *outcome,
            reason: "WHY".to_owned(),
            application_id: None,
            connection_id: None,
            phone_number_id: "1".to_owned(),
        });
    }
    items
}

/// Decodes the next post of lane 0: all of its items are listed, with these outcomes.
async fn decode(pool: &PgPool, post_id: Uuid, position: i64, outcomes: &[i16]) {
    let count = |outcome| outcomes.iter().filter(|one| **one == outcome).count() as i32;
    let account = Accounts {
        post_ids: vec![post_id],
        items: vec![outcomes.len() as i32],
        applied: vec![0],
        duplicate: vec![0],
        parked: vec![count(3)],
        unsupported: vec![count(4)],
        quarantined: vec![count(5)],
    };
    let mut connection = pool.acquire().await.unwrap();
    let items = listed(post_id, outcomes);
    let advanced = account::advance(&mut connection, 0, position - 1, position, &account, &items);
    assert!(advanced.await.unwrap());
}

#[tokio::test]
async fn each_table_is_kept_for_its_own_time_and_lists_stay_as_long_as_bodies() {
    let database = TestDatabase::create(&["webhook"]).await;
    let pool = database.pool("webhook").await;
    let day = date!(2026 - 03 - 01);
    let post = id(day, 1);
    assert_eq!(partition::create(&pool, day, day).await.unwrap(), 3);
    append(&pool, 0, &[post]).await;
    let keep = date!(2026 - 03 - 10);
    let drop = |table| partition::drop_before(&pool, table, keep);
    for table in Table::ALL {
        assert_eq!(drop(table).await.unwrap(), 0, "{table:?}: not decoded");
    }
    decode(&pool, post, 1, &[5]).await;
    assert_eq!(drop(Table::Item).await.unwrap(), 0, "its body is there");
    assert_eq!(drop(Table::Account).await.unwrap(), 0, "its body is there");
    assert_eq!(drop(Table::Post).await.unwrap(), 1);
    assert_eq!(
        again::rows(&pool, &[post]).await.unwrap().len(),
        1,
        "the list outlives the body"
    );
    assert_eq!(drop(Table::Item).await.unwrap(), 1);
    let mut connection = pool.acquire().await.unwrap();
    assert_eq!(
        account::get(&mut connection, post).await.unwrap().unwrap().quarantined,
        1
    );
    assert_eq!(drop(Table::Account).await.unwrap(), 1);
    assert!(partition::stored_bytes(&pool).await.unwrap() > 0);
}

#[tokio::test]
async fn discarded_items_are_accounted_so_however_often_they_are() {
    let database = TestDatabase::create(&["webhook"]).await;
    let pool = database.pool("webhook").await;
    let post = Uuid::now_v7();
    append(&pool, 0, &[post]).await;
    decode(&pool, post, 1, &[3, 4, 5, 5]).await;
    let account = async || {
        let mut connection = pool.acquire().await.unwrap();
        account::get(&mut connection, post).await.unwrap().unwrap()
    };
    for reason in [None, Some("ERASED")] {
        let mut tx = pool.begin().await.unwrap();
        let pointers: Vec<String> = (0..3).map(|n| format!("/entry/0/changes/{n}")).collect();
        let rows = again::lock_named(&mut tx, &[post; 3], &pointers, None).await.unwrap();
        let ordinals: Vec<i32> = rows.iter().map(|row| row.ordinal).collect();
        assert_eq!(ordinals, [0, 1, 2]);
        again::discard(&mut tx, &[post; 3], &ordinals, reason).await.unwrap();
        tx.commit().await.unwrap();
        let now = account().await;
        assert_eq!(
            (now.parked, now.unsupported, now.quarantined, now.discarded),
            (0, 0, 1, 3)
        );
        let rows = again::rows(&pool, &[post]).await.unwrap();
        assert!(rows[..3].iter().all(|row| row.reason == reason.unwrap_or("WHY")));
    }
    let mut connection = pool.acquire().await.unwrap();
    let (posts, pointers) = ([post], ["/entry/0/changes/0".to_owned()]);
    let foreign = again::lock_named(&mut connection, &posts, &pointers, Some(Uuid::nil()));
    assert!(foreign.await.unwrap().is_empty());
}

#[tokio::test]
async fn the_ledger_counts_every_post_once_stops_at_what_is_not_decoded_and_finds_what_is_missing() {
    let database = TestDatabase::create(&["webhook"]).await;
    let pool = database.pool("webhook").await;
    let ids: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
    append(&pool, 0, &ids).await;
    for (index, post) in ids[..3].iter().enumerate() {
        decode(&pool, *post, index as i64 + 1, &[4, 5]).await;
    }
    assert_eq!(ledger::add(&pool, 2, 10).await.unwrap(), 0, "too young");
    database.advance(time::Duration::minutes(3)).await;
    assert_eq!(ledger::add(&pool, 2, 2).await.unwrap(), 2);
    assert_eq!(ledger::add(&pool, 2, 10).await.unwrap(), 1);
    assert_eq!(
        ledger::add(&pool, 2, 10).await.unwrap(),
        0,
        "the next one is not decoded"
    );
    let sums = ledger::get(&pool).await.unwrap();
    assert_eq!(
        (sums.posts, sums.items, sums.accounted, sums.lost, sums.wrong),
        (3, 6, 6, 0, 0)
    );
    // What no code of ours does: the cursor has passed a post that has no account, and a list lacks an item.
    decode(&pool, ids[4], 4, &[5]).await;
    sqlx::query("update webhook.cursor set decoded = 5 where lane = 0")
        .execute(database.admin())
        .await
        .unwrap();
    sqlx::query("delete from webhook.item where post_id = $1")
        .bind(ids[4])
        .execute(database.admin())
        .await
        .unwrap();
    assert_eq!(ledger::add(&pool, 2, 10).await.unwrap(), 2);
    let sums = ledger::get(&pool).await.unwrap();
    assert_eq!(
        (sums.posts, sums.items, sums.accounted, sums.lost, sums.wrong),
        (5, 7, 7, 1, 1)
    );
}

#[tokio::test]
async fn a_replay_finds_its_posts_in_order_and_moves_only_from_where_it_stands() {
    let database = TestDatabase::create(&["webhook"]).await;
    let pool = database.pool("webhook").await;
    let ids: Vec<Uuid> = (0..6).map(|_| Uuid::now_v7()).collect();
    append(&pool, 0, &ids).await;
    for (index, outcomes) in [&[5, 5, 4][..], &[3], &[4], &[], &[5, 4]].into_iter().enumerate() {
        decode(&pool, ids[index], index as i64 + 1, outcomes).await;
    }
    database.advance(time::Duration::minutes(1)).await;
    let mut connection = pool.acquire().await.unwrap();
    again::discard(&mut connection, &ids[4..5], &[0], None).await.unwrap();
    let start = async |connection: &mut sqlx::PgConnection, selection: replay::Selection, most| {
        let id = Uuid::now_v7();
        replay::insert(connection, id, Uuid::nil(), "why", &selection, most)
            .await
            .unwrap()
            .then_some(id)
    };
    let id = start(&mut connection, replay::Selection::default(), 1).await.unwrap();
    assert_eq!(
        start(&mut connection, replay::Selection::default(), 1).await,
        None,
        "as many as may run"
    );
    let of = replay::get(&mut connection, id).await.unwrap().unwrap();
    assert_eq!(
        replay::posts(&pool, &of, 10, BYTES).await.unwrap(),
        ids[..5],
        "what is decoded"
    );
    assert_eq!(replay::posts(&pool, &of, 2, BYTES).await.unwrap(), ids[..2]);
    assert_eq!(
        replay::posts(&pool, &of, 10, 5).await.unwrap(),
        ids[..2],
        "bodies of four bytes"
    );
    let listed = |outcomes: &'static [i16], count| replay::posts_listed(&pool, &of, outcomes, count, BYTES);
    assert_eq!(listed(&[4], 10).await.unwrap(), [ids[0], ids[2], ids[4]]);
    assert_eq!(listed(&[5, 6], 10).await.unwrap(), [ids[0], ids[4]]);
    assert_eq!(listed(&[4, 5, 6], 2).await.unwrap(), [ids[0], ids[2]]);

    let met = replay::Met {
        applied: 2,
        kept: 1,
        ..replay::Met::default()
    };
    let moved = replay::advance(&mut connection, id, of.reached, ids[2], 3, met);
    assert!(moved.await.unwrap());
    let again = replay::advance(&mut connection, id, of.reached, ids[2], 3, met);
    assert!(!again.await.unwrap(), "another process was faster");
    let of = replay::next(&pool).await.unwrap().unwrap();
    assert_eq!((of.posts, of.applied, of.kept), (3, 2, 1));
    assert_eq!(replay::posts(&pool, &of, 10, BYTES).await.unwrap(), ids[3..5]);
    assert!(replay::end(&mut connection, id, replay::CANCELED).await.unwrap());
    assert!(
        !replay::end(&mut connection, id, replay::DONE).await.unwrap(),
        "it has ended"
    );
    let moved = replay::advance(&mut connection, id, of.reached, ids[4], 1, met);
    assert!(!moved.await.unwrap());
    assert!(replay::next(&pool).await.unwrap().is_none());

    let some = replay::Selection {
        post_ids: vec![ids[1], ids[4]],
        ..replay::Selection::default()
    };
    let id = start(&mut connection, some, 1).await.unwrap();
    let of = replay::get(&mut connection, id).await.unwrap().unwrap();
    assert_eq!(replay::posts(&pool, &of, 10, BYTES).await.unwrap(), [ids[1], ids[4]]);
    replay::end(&mut connection, id, replay::DONE).await.unwrap();
    let from = time::OffsetDateTime::from_unix_timestamp(4_000_000_000).unwrap();
    let later = replay::Selection {
        received_from: Some(from),
        ..replay::Selection::default()
    };
    let id = start(&mut connection, later, 1).await.unwrap();
    let of = replay::get(&mut connection, id).await.unwrap().unwrap();
    assert!(replay::posts(&pool, &of, 10, BYTES).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_erasure_waits_for_what_was_stored_before_it_and_forgets_whom_it_erased() {
    let database = TestDatabase::create(&["webhook"]).await;
    let pool = database.pool("webhook").await;
    let ids: Vec<Uuid> = (0..3).map(|_| Uuid::now_v7()).collect();
    append(&pool, 0, &ids[..2]).await;
    let mut connection = pool.acquire().await.unwrap();
    let (first, second, application) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(9));
    let begin = async |connection: &mut sqlx::PgConnection, id, application| {
        erasure::begin(connection, id, application, b"sealed", 2).await.unwrap()
    };
    assert!(begin(&mut connection, first, application).await);
    assert!(begin(&mut connection, first, application).await, "it is there");
    assert!(
        !begin(&mut connection, first, Uuid::nil()).await,
        "and another application's"
    );
    decode(&pool, ids[0], 1, &[]).await;
    assert!(
        erasure::hindmost(&pool, 10).await.unwrap().0.is_empty(),
        "one post is not decoded"
    );
    decode(&pool, ids[1], 2, &[]).await;
    append(&pool, 0, &ids[2..]).await;
    let (group, next) = erasure::hindmost(&pool, 10).await.unwrap();
    assert_eq!((group.len(), next, group[0].heads.clone()), (1, None, vec![2, 0, 0, 0]));
    let step = erasure::Step {
        id: first,
        from: group[0].reached,
        erased: 3,
    };
    assert!(erasure::advance(&mut connection, &[step], ids[0], 1).await.unwrap());
    assert!(
        !erasure::advance(&mut connection, &[step], ids[0], 1).await.unwrap(),
        "another process was faster"
    );

    // One that comes later starts behind, and goes up to where the first stands.
    decode(&pool, ids[2], 3, &[]).await;
    assert!(begin(&mut connection, second, application).await);
    assert!(
        !begin(&mut connection, Uuid::from_u128(3), application).await,
        "as many as may be under way"
    );
    let (group, next) = erasure::hindmost(&pool, 10).await.unwrap();
    assert_eq!((group[0].id, next), (second, Some(ids[0])));
    let posts = erasure::posts(&pool, group[0].reached, ids[1], 10, BYTES)
        .await
        .unwrap();
    assert_eq!(posts.iter().map(|found| found.post.id).collect::<Vec<_>>(), ids[..2]);

    erasure::end(&pool, &[first, second], ids[0]).await.unwrap();
    let progress = async |id| erasure::progress(&pool, id, application).await.unwrap().unwrap();
    let done = progress(first).await;
    assert_eq!((done.done, done.erased, done.scanned), (true, 3, 1));
    assert!(!progress(second).await.done, "it stands elsewhere");
    assert_eq!(erasure::progress(&pool, first, Uuid::nil()).await.unwrap(), None);
    let kept: i64 = sqlx::query_scalar("select count(*) from webhook.erasure where identities is not null")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(kept, 1);
}
