//! Storing messages, and who they are for.

use std::collections::HashSet;

use outeract_domain::Recipient;

use super::*;
use crate::store::accept::Asked;
use crate::store::contact::{self, NewIdentity, PARENT, PHONE, USER};

fn draft(id: Uuid, key: &'static [u8; 16], fingerprint: &'static [u8; 16]) -> NewMessage<'static> {
    NewMessage {
        id,
        first: id,
        parts: 1,
        application: APPLICATION,
        connection: CONNECTION,
        contact: Uuid::from_u128(7),
        number: NUMBER,
        key_hash: key,
        fingerprint,
        on_unknown: HOLD,
        priority: 2,
        send_at: None,
        expires_at: None,
        lifetime_seconds: 86_400.0,
        traceparent: None,
        sealed: b"sealed",
    }
}

async fn count(world: &World, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(world.database.admin())
        .await
        .expect("a count")
}

#[tokio::test]
async fn one_key_is_one_message_in_one_flush_and_over_many() {
    let world = World::new().await;
    let (first, second, other) = (new_id(), new_id(), new_id());
    let mut conn = world.conn().await;
    let flush = [
        draft(second, b"key-aaaaaaaaaaaa", b"print-2222222222"),
        draft(first, b"key-aaaaaaaaaaaa", b"print-1111111111"),
        draft(other, b"key-bbbbbbbbbbbb", b"print-3333333333"),
    ];
    let stored = accept::insert(&mut conn, &flush).await.expect("stored");
    assert_eq!(
        stored.iter().map(|stored| stored.id).collect::<Vec<_>>(),
        [first, other],
        "the earlier of two, and in the order of the ids"
    );
    assert!(stored[0].place < stored[1].place);

    assert!(
        accept::insert(&mut conn, &[draft(new_id(), b"key-aaaaaaaaaaaa", b"print-1111111111")])
            .await
            .expect("no error")
            .is_empty()
    );
    let to = "+14155551234".parse().expect("a recipient");
    let asked = [APPLICATION, Uuid::from_u128(1)].map(|application| Asked {
        application,
        connection: CONNECTION,
        number: NUMBER,
        waba: "1",
        template: None,
        key_hash: b"key-aaaaaaaaaaaa",
        to: &to,
    });
    let found = accept::resolve(&mut conn, &asked).await.expect("found");
    assert_eq!(
        (found[0].message, found[0].fingerprint.as_deref()),
        (Some(first), Some(b"print-1111111111".as_slice()))
    );
    assert_eq!(found[1].message, None, "keys are of one application");
    assert_eq!(count(&world, "SELECT count(*) FROM messaging.message").await, 2);
    assert_eq!(
        count(
            &world,
            "SELECT count(*) FROM messaging.queue WHERE phone_number_id > ''"
        )
        .await,
        2
    );
    assert_eq!(
        count(&world, "SELECT count(*) FROM messaging.outbox WHERE kind > 0").await,
        2
    );
}

#[tokio::test]
async fn overlapping_flushes_with_the_same_keys_store_each_once_without_deadlock() {
    static KEYS: [[u8; 16]; 40] = {
        let mut keys = [[0; 16]; 40];
        let mut index = 0;
        while index < 40 {
            keys[index][0] = index as u8;
            index += 1;
        }
        keys
    };
    let world = World::new().await;
    let flush = async |turn: usize| {
        let mut keys: Vec<_> = KEYS.iter().collect();
        keys.rotate_left(turn * 7);
        if turn % 2 == 1 {
            keys.reverse();
        }
        let drafts: Vec<_> = keys.into_iter().map(|key| draft(new_id(), key, key)).collect();
        accept::insert(&mut *world.conn().await, &drafts)
            .await
            .expect("no deadlock")
            .len()
    };
    let (one, two, three, four) = tokio::join!(flush(0), flush(1), flush(2), flush(3));
    assert_eq!(one + two + three + four, KEYS.len());
    assert_eq!(count(&world, "SELECT count(*) FROM messaging.message").await, 40);
}

#[tokio::test]
async fn an_identity_keeps_its_contact() {
    let world = World::new().await;
    let mut conn = world.conn().await;
    let contacts = [Uuid::from_u128(1), Uuid::from_u128(2)];
    let identity = |kind, value, contact| NewIdentity {
        application: APPLICATION,
        kind,
        value,
        contact,
    };
    let made = contact::introduce(&mut conn, &[identity(PHONE, "+14155551234", contacts[0])], &[])
        .await
        .expect("made");
    assert_eq!(made.len(), 1);
    let again = contact::introduce(
        &mut conn,
        &[
            identity(PHONE, "+14155551234", contacts[1]),
            identity(USER, "US.1", contacts[0]),
        ],
        &[],
    )
    .await
    .expect("made");
    assert_eq!(
        again
            .iter()
            .map(|known| (known.value.as_str(), known.contact))
            .collect::<Vec<_>>(),
        [("US.1", contacts[0])]
    );
    let known = contact::known(
        &mut conn,
        &[
            (APPLICATION, PHONE, "+14155551234"),
            (Uuid::from_u128(9), PHONE, "+14155551234"),
        ],
    )
    .await
    .expect("known");
    assert_eq!(
        known.iter().map(|known| known.contact).collect::<HashSet<_>>(),
        HashSet::from([contacts[0]])
    );
    assert_eq!(count(&world, "SELECT count(*) FROM messaging.contact").await, 1);
}

#[tokio::test]
async fn a_recipient_is_found_by_its_other_form_and_by_its_own_first() {
    let world = World::new().await;
    let mut conn = world.conn().await;
    let (with, without, other) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let identity = |kind, value, contact| NewIdentity {
        application: APPLICATION,
        kind,
        value,
        contact,
    };
    let known = [
        identity(PHONE, "+5511987654321", with),
        identity(PHONE, "+5521987654321", with),
        identity(PHONE, "+552187654321", without),
        identity(USER, "BR.1", other),
        identity(PARENT, "BR.ENT.1", without),
    ];
    contact::introduce(&mut conn, &known, &[]).await.expect("made");
    let recipients: Vec<Recipient> = [
        "+551187654321",
        "+5521987654321",
        "+552187654321",
        "BR.1",
        "BR.ENT.1",
        "BR.2",
        "+14155551234",
    ]
    .iter()
    .map(|text| text.parse().expect("a recipient"))
    .collect();
    let asked: Vec<_> = recipients
        .iter()
        .map(|to| Asked {
            connection: CONNECTION,
            number: NUMBER,
            waba: "1",
            template: None,
            application: APPLICATION,
            key_hash: b"key-aaaaaaaaaaaa",
            to,
        })
        .collect();
    let found = accept::resolve(&mut conn, &asked).await.expect("found");
    assert_eq!(
        found.iter().map(|found| found.contact).collect::<Vec<_>>(),
        [
            Some(with),
            Some(with),
            Some(without),
            Some(other),
            Some(without),
            None,
            None
        ]
    );
}

#[tokio::test]
async fn partitions_are_made_ahead_and_dropped_in_time() {
    use crate::store::upkeep;
    let world = World::new().await;
    let mut conn = world.conn().await;
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'messaging.message'::regclass";
    assert_eq!(upkeep::maintain_partitions(&mut conn).await.expect("maintained"), 0);
    assert_eq!(count(&world, partitions).await, 10);
    let old = world.message(HOLD).await;
    world.database.advance(time::Duration::days(10)).await;
    upkeep::maintain_partitions(&mut conn).await.expect("maintained");
    assert_eq!(count(&world, partitions).await, 19);
    assert_eq!(upkeep::purge_keys(&mut conn, 100).await.expect("purged"), 1);
    world.database.advance(time::Duration::days(30)).await;
    upkeep::maintain_partitions(&mut conn).await.expect("maintained");
    let gone: Option<i16> = sqlx::query_scalar("SELECT on_unknown FROM messaging.message WHERE id = $1")
        .bind(old)
        .fetch_optional(world.database.admin())
        .await
        .expect("a row or none");
    assert_eq!(gone, None);
    // One that no partition fits stands in the default one, and is told.
    sqlx::query("INSERT INTO messaging.message (id, application_id, connection_id, contact_id, created_at, on_unknown, priority, phone_number_id, sealed) VALUES ($1, $1, $1, $1, now(), 1, 2, '1', '')")
        .bind(Uuid::from_u128(5))
        .execute(world.database.admin())
        .await
        .expect("stored");
    assert_eq!(upkeep::maintain_partitions(&mut conn).await.expect("maintained"), 1);
}

#[tokio::test]
async fn a_lease_is_held_by_one_until_it_runs_out() {
    use crate::store::upkeep::lease;
    let world = World::new().await;
    let mut conn = world.conn().await;
    let rival = Uuid::from_u128(2);
    assert!(lease(&mut conn, "x", WORKER, 10.0).await.expect("no error"));
    assert!(!lease(&mut conn, "x", rival, 10.0).await.expect("no error"));
    assert!(lease(&mut conn, "y", rival, 10.0).await.expect("no error"));
    world.database.advance(time::Duration::seconds(8)).await;
    assert!(
        lease(&mut conn, "x", WORKER, 10.0).await.expect("no error"),
        "its holder keeps it"
    );
    world.database.advance(time::Duration::seconds(11)).await;
    assert!(lease(&mut conn, "x", rival, 10.0).await.expect("no error"));
}
