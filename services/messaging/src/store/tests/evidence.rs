//! What webhooks leave behind.

use time::Duration;

use super::*;
use crate::store::apply::{self, Opening, Orphan};
use crate::store::{message, record};

fn orphan(hash: u8, id: u128) -> Orphan {
    Orphan {
        hash: vec![hash; 16],
        id: Uuid::from_u128(id),
        application: APPLICATION,
        connection: CONNECTION,
        received_at: time::OffsetDateTime::UNIX_EPOCH,
        sealed: vec![hash],
    }
}

#[tokio::test]
async fn a_window_only_grows_and_never_from_the_future() {
    let world = World::new().await;
    let mut conn = world.conn().await;
    let now: time::OffsetDateTime = sqlx::query_scalar("SELECT messaging.now_()")
        .fetch_one(world.database.admin())
        .await
        .expect("the time");
    let contact = Uuid::from_u128(7);
    for minutes in [-60, -120, -30, 500, -90] {
        let opening = Opening {
            number: NUMBER,
            contact,
            at: now + Duration::minutes(minutes),
            wamid_sealed: &[minutes as u8],
        };
        apply::open_windows(&mut conn, &[opening]).await.expect("opened");
    }
    let (last, expires): (time::OffsetDateTime, time::OffsetDateTime) =
        sqlx::query_as("SELECT last_inbound_at, expires_at FROM messaging.service_window")
            .fetch_one(world.database.admin())
            .await
            .expect("a row");
    assert!(
        last >= now && last < now + Duration::minutes(5),
        "a message from the future counts as one from now"
    );
    assert_eq!(expires - last, Duration::hours(24));
}

#[tokio::test]
async fn a_kept_status_is_found_once_its_message_is_known_and_only_by_its_application() {
    let world = World::new().await;
    let message = world.sending(HOLD).await;
    let mut conn = world.conn().await;
    let foreign = Orphan {
        application: Uuid::from_u128(1),
        ..orphan(1, 13)
    };
    apply::keep_orphans(&mut conn, &[orphan(1, 11), orphan(1, 12), foreign, orphan(2, 21)])
        .await
        .expect("kept");
    apply::keep_orphans(&mut conn, &[orphan(1, 11)])
        .await
        .expect("kept twice is kept once");
    assert!(
        apply::adopted(&mut conn, &[&[1; 16]])
            .await
            .expect("no error")
            .is_empty()
    );
    record::accepted(&mut conn, &[acceptance(message, 1, 1)])
        .await
        .expect("recorded");

    let ids = |adopted: Vec<apply::Adopted>| {
        adopted
            .into_iter()
            .map(|orphan| (orphan.id.as_u128(), orphan.message))
            .collect::<Vec<_>>()
    };
    let found = ids(apply::adopted(&mut conn, &[&[1; 16], &[2; 16]]).await.expect("found"));
    assert_eq!(found, [(11, message), (12, message)]);
    let (swept, last) = apply::adopted_after(&mut conn, (&[], Uuid::nil()), 2)
        .await
        .expect("found");
    assert_eq!(ids(swept), [(11, message), (12, message)]);
    let last = last.expect("a last key");
    let (swept, end) = apply::adopted_after(&mut conn, (&last.0, last.1), 10)
        .await
        .expect("found");
    assert!(swept.is_empty() && end.is_some());

    apply::forget_orphans(
        &mut conn,
        &[(vec![1; 16], Uuid::from_u128(11)), (vec![1; 16], Uuid::from_u128(12))],
    )
    .await
    .expect("forgotten");
    assert!(
        apply::adopted(&mut conn, &[&[1; 16]])
            .await
            .expect("no error")
            .is_empty()
    );
    assert_eq!(apply::expire_orphans(&mut conn).await.expect("no error"), 0);
    world.database.advance(Duration::hours(49)).await;
    assert_eq!(apply::expire_orphans(&mut conn).await.expect("expired"), 2);
}

#[tokio::test]
async fn a_suspect_is_described_by_its_queue_row_while_that_exists_and_by_itself_after() {
    let world = World::new().await;
    let message = world.sending(HOLD).await;
    world.force(message, UNKNOWN, 3, 0).await;
    let mut conn = world.conn().await;
    let asked = [(5, message), (6, new_id())];
    let found = message::by_id(&mut conn, &asked).await.expect("found");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].ordinal, found[0].attempt), (5, 3));
    assert_eq!((found[0].application, found[0].number.as_str()), (APPLICATION, NUMBER));

    record::accepted(&mut conn, &[acceptance(message, 2, 1)])
        .await
        .expect("recorded");
    let found = message::by_id(&mut conn, &asked).await.expect("found");
    assert_eq!(found[0].attempt, 3);
    let found = message::by_wamid(&mut conn, &[(9, &[1; 16]), (10, &[2; 16])])
        .await
        .expect("found");
    assert_eq!(
        (found.len(), found[0].ordinal, found[0].message, found[0].application),
        (1, 9, message, APPLICATION)
    );
}
