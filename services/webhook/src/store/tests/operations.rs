//! What the statements of replays, decisions, erasures and the ledger promise.

use outeract_testkit::TestDatabase;
use sqlx::PgPool;
use time::macros::date;
use uuid::Uuid;

use super::super::account::{self, Accounts};
use super::super::item::NewItems;
use super::super::partition::Table;
use super::super::{again, erasure, ledger, partition, replay};
use super::{BYTES, append, id};

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
    assert_eq!(replay::posts(&pool, &of, 10, BYTES).await.unwrap(), ids);
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
    assert_eq!(replay::posts(&pool, &of, 10, BYTES).await.unwrap(), ids[3..]);
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
    assert_eq!(
        replay::posts_named(&pool, &of, 10, BYTES).await.unwrap(),
        [ids[1], ids[4]]
    );
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
        erasure::begin(connection, id, application, b"sealed", (None, None), 2)
            .await
            .unwrap()
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
