//! Contacts that turn out to be one.

use std::collections::HashMap;

use time::OffsetDateTime;

use super::*;
use crate::store::contact::{self, Gone, NewIdentity, PARENT, PHONE, USER, USERNAME, WA_ID};
use crate::store::merge::{self, Merged, Same};

impl World {
    /// A contact with one identity.
    async fn contact(&self, application: Uuid, kind: i16, value: &str) -> Uuid {
        let contact = new_id();
        self.give(application, kind, value, contact).await;
        contact
    }

    async fn give(&self, application: Uuid, kind: i16, value: &str, contact: Uuid) {
        let identity = NewIdentity {
            application,
            kind,
            value,
            contact,
        };
        let made = contact::introduce(&mut *self.conn().await, &[identity], &[])
            .await
            .expect("made");
        assert_eq!(made.len(), 1);
    }

    async fn merge(&self, groups: &[Same]) -> Vec<Merged> {
        merge::merge(&mut *self.conn().await, groups, new_id)
            .await
            .expect("merged")
    }

    async fn execute(&self, sql: &'static str, contact: Uuid) {
        sqlx::query(sql)
            .bind(contact)
            .execute(self.database.admin())
            .await
            .expect("executed");
    }

    async fn roots(&self) -> HashMap<Uuid, Option<Uuid>> {
        let rows: Vec<(Uuid, Option<Uuid>)> = sqlx::query_as("SELECT id, merged_into FROM messaging.contact")
            .fetch_all(self.database.admin())
            .await
            .expect("rows");
        rows.into_iter().collect()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(self.database.admin())
            .await
            .expect("a number")
    }
}

fn same(contacts: &[Uuid]) -> Same {
    Same {
        application: APPLICATION,
        contacts: contacts.to_vec(),
    }
}

#[tokio::test]
async fn the_oldest_survives_and_a_survivors_survivor_is_found_in_one_step() {
    let world = World::new().await;
    let (mut ids, mut contacts) = (Vec::new(), Vec::new());
    for index in 0..4 {
        ids.push(format!("US.{index}"));
        contacts.push(world.contact(APPLICATION, USER, &ids[index]).await);
    }
    let merged = world.merge(&[same(&[contacts[3], contacts[2]])]).await;
    assert_eq!(
        merged,
        [Merged {
            application: APPLICATION,
            source: contacts[3],
            target: contacts[2],
        }]
    );
    // By the contact that is no more as well.
    assert_eq!(
        world
            .merge(&[same(&[contacts[3], contacts[0], contacts[1]])])
            .await
            .len(),
        2
    );
    assert!(world.merge(&[same(&contacts)]).await.is_empty(), "they are one already");
    let roots = world.roots().await;
    for contact in &contacts[1..] {
        assert_eq!(roots[contact], Some(contacts[0]));
    }
    assert_eq!(roots[&contacts[0]], None);
    let survivors = contact::survivors(&mut *world.conn().await, &[contacts[3], contacts[0], Uuid::nil()]).await;
    assert_eq!(survivors.expect("found"), [contacts[0], contacts[0], Uuid::nil()]);
    let asked: Vec<_> = ids.iter().map(|id| (APPLICATION, USER, id.as_str())).collect();
    let known = contact::known(&mut *world.conn().await, &asked).await.expect("known");
    assert!(
        known.iter().all(|known| known.contact == contacts[0]),
        "before anything is carried over"
    );
    assert_eq!(world.number("SELECT count(*) FROM messaging.contact_merge").await, 3);
    assert_eq!(world.number("SELECT count(*) FROM messaging.contact_event e JOIN messaging.contact_merge m USING (id) WHERE e.kind = 1 AND e.contact_id = m.source_id AND e.other_id = m.target_id").await, 3);
}

#[tokio::test]
async fn groups_of_one_call_that_meet_become_one_and_applications_stay_apart() {
    let world = World::new().await;
    let mut contacts = Vec::new();
    for index in 0..4 {
        contacts.push(world.contact(APPLICATION, USER, &format!("US.{index}")).await);
    }
    let foreign = world.contact(Uuid::from_u128(1), USER, "US.0").await;
    let merged = world
        .merge(&[
            same(&[contacts[2], contacts[3]]),
            same(&[contacts[3], contacts[1], foreign]),
            same(&[contacts[0], contacts[2]]),
        ])
        .await;
    assert_eq!(merged.len(), 3);
    let roots = world.roots().await;
    assert!(contacts[1..].iter().all(|contact| roots[contact] == Some(contacts[0])));
    assert_eq!(roots[&foreign], None);
}

#[tokio::test]
async fn many_merges_at_once_neither_wait_for_each_other_for_ever_nor_go_in_circles() {
    const CONTACTS: usize = 40;
    let world = World::new().await;
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(12)
        .connect_with((*world.pool.connect_options()).clone())
        .await
        .expect("connects");
    let mut contacts = Vec::new();
    for index in 0..CONTACTS {
        contacts.push(world.contact(APPLICATION, USER, &format!("US.{index}")).await);
    }
    // Pairs that form one big group, in an order and a direction of their own for each worker.
    let workers = (1..=12_usize).map(|worker| {
        let (pool, contacts) = (pool.clone(), contacts.clone());
        async move {
            for step in 0..CONTACTS {
                let one = contacts[(step * worker * 7 + worker) % CONTACTS];
                let other = contacts[(step * 11 + worker * 3 + 1) % CONTACTS];
                let mut conn = pool.acquire().await.expect("a connection");
                let merged = merge::merge(&mut conn, &[same(&[one, other])], new_id)
                    .await
                    .expect("no deadlock");
                let sources: Vec<_> = merged.iter().map(|merged| merged.source).collect();
                merge::carry(&mut conn, &sources).await.expect("no deadlock");
            }
        }
    });
    futures_util::future::join_all(workers).await;
    let roots = world.roots().await;
    for (contact, root) in &roots {
        let Some(root) = root else { continue };
        assert!(root < contact, "the older survives");
        assert_eq!(roots[root], None, "a survivor was not merged itself");
    }
    assert_eq!(roots.values().filter(|root| root.is_none()).count(), 1);
    assert_eq!(roots[&contacts[0]], None);
    // Each contact was merged once, and every id is the survivor's.
    assert_eq!(
        world.number("SELECT count(*) FROM messaging.contact_merge").await,
        CONTACTS as i64 - 1
    );
    assert_eq!(
        world
            .number("SELECT count(DISTINCT source_id) FROM messaging.contact_merge")
            .await,
        CONTACTS as i64 - 1
    );
    assert_eq!(
        world
            .number("SELECT count(DISTINCT contact_id) FROM messaging.identity")
            .await,
        1
    );
}

/// A row of `messaging.quota_member`.
type Place = (String, Uuid, i32, Vec<Uuid>, Vec<i32>);

#[tokio::test]
async fn ids_suppressions_and_places_follow_and_following_twice_changes_nothing() {
    let world = World::new().await;
    let target = world.contact(APPLICATION, PHONE, "+14155551234").await;
    let source = world.contact(APPLICATION, USER, "US.1").await;
    world.give(APPLICATION, USERNAME, "ann", source).await;
    world.give(APPLICATION, USERNAME, "bob", target).await;
    for sql in [
        "INSERT INTO messaging.suppression VALUES ('00000000-0000-0000-0000-000000000a99', $1, '00000000-0000-0000-0000-0000000000c0', 2, '2026-01-01')",
        "INSERT INTO messaging.suppression VALUES ('00000000-0000-0000-0000-000000000a99', $1, '00000000-0000-0000-0000-000000000000', 4, '2026-01-01')",
        "INSERT INTO messaging.suppression_lifted VALUES ('00000000-0000-0000-0000-000000000a99', $1, '00000000-0000-0000-0000-0000000000c1', 1, '2026-01-01')",
        "INSERT INTO messaging.quota_member VALUES ('portfolio', $1, 100, '{00000000-0000-0000-0000-000000000001}', '{100}'), ('alone', $1, 100, '{}', '{}')",
    ] {
        world.execute(sql, source).await;
    }
    for sql in [
        "INSERT INTO messaging.suppression VALUES ('00000000-0000-0000-0000-000000000a99', $1, '00000000-0000-0000-0000-0000000000c0', 1, '2026-01-02')",
        "INSERT INTO messaging.quota_member VALUES ('portfolio', $1, 90, '{00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002}', '{80,90}')",
        "INSERT INTO messaging.quota_minute SELECT 'portfolio', m, 5 FROM unnest('{90,100}'::integer[]) m WHERE $1::uuid IS NOT NULL",
        "INSERT INTO messaging.quota_minute SELECT 'alone', 100, 5 WHERE $1::uuid IS NOT NULL",
        "INSERT INTO messaging.portfolio (id) SELECT p FROM unnest('{portfolio,alone}'::text[]) p WHERE $1::uuid IS NOT NULL",
    ] {
        world.execute(sql, target).await;
    }
    world.merge(&[same(&[source, target])]).await;
    for _ in 0..2 {
        merge::carry(&mut *world.conn().await, &[source])
            .await
            .expect("carried");
        let mut identities: Vec<(i16, String, Uuid)> =
            sqlx::query_as("SELECT kind, value, contact_id FROM messaging.identity")
                .fetch_all(world.database.admin())
                .await
                .expect("rows");
        identities.sort();
        assert_eq!(
            identities,
            [
                (PHONE, "+14155551234".to_owned(), target),
                (USER, "US.1".to_owned(), target),
                (USERNAME, "bob".to_owned(), target),
            ],
            "of two user names the survivor's"
        );
        let mut suppressions: Vec<(Uuid, Uuid, i16)> =
            sqlx::query_as("SELECT contact_id, connection_id, source FROM messaging.suppression")
                .fetch_all(world.database.admin())
                .await
                .expect("rows");
        suppressions.sort();
        assert_eq!(
            suppressions,
            [(target, Uuid::nil(), 4), (target, CONNECTION, 2)],
            "what WhatsApp itself says is stronger than a word"
        );
        assert_eq!(
            world
                .number("SELECT count(*) FROM messaging.suppression_lifted l JOIN messaging.contact c ON c.id = l.contact_id AND c.merged_into IS NULL")
                .await,
            1
        );
        let mut members: Vec<Place> =
            sqlx::query_as("SELECT portfolio_id, contact_id, minute, messages, minutes FROM messaging.quota_member")
                .fetch_all(world.database.admin())
                .await
                .expect("rows");
        members.sort();
        assert_eq!(
            members,
            [
                ("alone".to_owned(), target, 100, vec![], vec![]),
                (
                    "portfolio".to_owned(),
                    target,
                    100,
                    [1, 2].map(Uuid::from_u128).to_vec(),
                    vec![100, 90]
                ),
            ],
            "of a message that has a place as both the later counts"
        );
        let mut minutes: Vec<(String, i32, i32)> =
            sqlx::query_as("SELECT portfolio_id, minute, members FROM messaging.quota_minute")
                .fetch_all(world.database.admin())
                .await
                .expect("rows");
        minutes.sort();
        assert_eq!(
            minutes,
            [
                ("alone".to_owned(), 100, 5),
                ("portfolio".to_owned(), 90, 4),
                ("portfolio".to_owned(), 100, 5)
            ]
        );
    }
}

#[tokio::test]
async fn of_two_windows_the_later_counts_and_one_that_was_opened_meanwhile_is_not_lost() {
    let world = World::new().await;
    let target = world.contact(APPLICATION, PHONE, "+14155551234").await;
    let source = world.contact(APPLICATION, USER, "US.1").await;
    world
        .execute(
            "INSERT INTO messaging.connection SELECT $1, '00000000-0000-0000-0000-000000000a99', 1, 1, now(), 80, 1, false, '1', n, '' FROM unnest('{1,2,3}'::text[]) n LIMIT 1",
            CONNECTION,
        )
        .await;
    world
        .execute(
            "INSERT INTO messaging.connection SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000a99', 1, 1, now(), 80, 1, false, '1', n, '' FROM unnest('{2,3}'::text[]) n WHERE $1::uuid IS NOT NULL",
            CONNECTION,
        )
        .await;
    let open = async |contact: Uuid, number: &'static str, hour: i32, wamid: &'static [u8]| {
        sqlx::query("INSERT INTO messaging.service_window (phone_number_id, contact_id, last_inbound_at, expires_at, last_wamid_sealed) VALUES ($1, $2, now() + make_interval(hours => $3), now() + make_interval(hours => $3 + 24), $4)")
            .bind(number)
            .bind(contact)
            .bind(hour)
            .bind(wamid)
            .execute(world.database.admin())
            .await
            .expect("opened");
    };
    open(source, "1", 5, b"s1").await;
    open(target, "1", 3, b"t1").await;
    open(source, "2", 3, b"s2").await;
    open(target, "2", 5, b"t2").await;
    open(source, "3", 1, b"s3").await;
    world.merge(&[same(&[source, target])]).await;
    let mut conn = world.conn().await;
    let read = merge::windows(&mut conn, &[source]).await.expect("read");
    assert_eq!(
        read.iter().map(|window| window.number.as_str()).collect::<Vec<_>>(),
        ["1", "2", "3"]
    );
    // A message of the user between reading and writing.
    world
        .execute("UPDATE messaging.service_window SET last_inbound_at = last_inbound_at + interval '1 second' WHERE contact_id = $1 AND phone_number_id = '3'", source)
        .await;
    merge::carry_windows(&mut conn, &read).await.expect("written");
    let windows = async || -> Vec<(String, Uuid, Vec<u8>)> {
        sqlx::query_as(
            "SELECT phone_number_id, contact_id, last_wamid_sealed FROM messaging.service_window ORDER BY 1, 2",
        )
        .fetch_all(world.database.admin())
        .await
        .expect("rows")
    };
    assert_eq!(
        windows().await,
        [
            ("1".to_owned(), target, b"s1".to_vec()),
            ("2".to_owned(), target, b"t2".to_vec()),
            ("3".to_owned(), source, b"s3".to_vec())
        ]
    );
    let read = merge::windows(&mut conn, &[source]).await.expect("read");
    merge::carry_windows(&mut conn, &read).await.expect("written");
    assert_eq!(windows().await[2], ("3".to_owned(), target, b"s3".to_vec()));
    assert!(merge::windows(&mut conn, &[source]).await.expect("read").is_empty());
    let left: f64 = sqlx::query_scalar(
        "SELECT extract(epoch FROM expires_at - last_inbound_at)::float8 FROM messaging.service_window WHERE phone_number_id = '2'",
    )
    .fetch_one(world.database.admin())
    .await
    .expect("a number");
    assert!((left - 86_400.0).abs() < 1.0, "{left}");
}

#[tokio::test]
async fn merges_are_found_by_their_age_page_by_page() {
    let world = World::new().await;
    let mut contacts = Vec::new();
    for index in 0..5 {
        contacts.push(world.contact(APPLICATION, USER, &format!("US.{index}")).await);
    }
    world.merge(&[same(&contacts[3..])]).await;
    world.database.advance(time::Duration::minutes(5)).await;
    world.merge(&[same(&contacts[..4])]).await;
    let mut conn = world.conn().await;
    let first = merge::since(&mut conn, 60.0, None, 2).await.expect("found");
    assert_eq!(first.len(), 2);
    let last = &first[1];
    let rest = merge::since(&mut conn, 60.0, Some((last.at, last.id)), 2)
        .await
        .expect("found");
    assert_eq!(rest.len(), 1, "not the one before");
    let all = merge::since(&mut conn, 600.0, None, 10).await.expect("found");
    assert!(
        all.iter().all(|one| one.merged.target == contacts[0]),
        "with who the contact is now"
    );
}

#[tokio::test]
async fn numbers_are_given_up_user_ids_are_kept_and_nobody_elses_are_touched() {
    let world = World::new().await;
    let contact = world.contact(APPLICATION, PHONE, "+14155551234").await;
    world.give(APPLICATION, WA_ID, "+14155551234", contact).await;
    world.give(APPLICATION, USER, "US.1", contact).await;
    let other = world.contact(APPLICATION, PARENT, "US.ENT.1").await;
    let at = OffsetDateTime::from_unix_timestamp(1_795_428_000).expect("a time");
    let gone: Vec<_> = [
        (PHONE, "+14155551234"),
        (USER, "US.1"),
        (PARENT, "US.ENT.1"),
        (WA_ID, "+14155551234"),
    ]
    .map(|(kind, value)| Gone {
        application: APPLICATION,
        kind,
        value: value.to_owned(),
        contact,
    })
    .into();
    let mut conn = world.conn().await;
    for earlier in [0, 60] {
        let at = at - time::Duration::seconds(earlier);
        contact::retire(&mut conn, &gone, &[(contact, at)])
            .await
            .expect("retired");
    }
    let left: Vec<(i16, Uuid, bool)> =
        sqlx::query_as("SELECT kind, contact_id, retired FROM messaging.identity ORDER BY kind")
            .fetch_all(world.database.admin())
            .await
            .expect("rows");
    assert_eq!(left, [(USER, contact, true), (PARENT, other, false)]);
    assert_eq!(
        contact::moved(&mut conn, &[contact, other]).await.expect("read"),
        [(contact, at)]
    );
    // Late webhooks find the user by the retired id; a caller does not.
    let known = contact::known(&mut conn, &[(APPLICATION, USER, "US.1")])
        .await
        .expect("known");
    assert!(known[0].retired && known[0].contact == contact);
    let user = "US.1".parse().expect("a user");
    assert_eq!(
        contact::find(&mut conn, APPLICATION, &[&user]).await.expect("found"),
        [None]
    );
}

#[tokio::test]
async fn a_user_name_has_one_holder_and_a_user_one_name() {
    let world = World::new().await;
    let (one, other) = (
        world.contact(APPLICATION, USER, "US.1").await,
        world.contact(APPLICATION, USER, "US.2").await,
    );
    let name = |value, contact| NewIdentity {
        application: APPLICATION,
        kind: USERNAME,
        value,
        contact,
    };
    let mut conn = world.conn().await;
    contact::rename(&mut conn, &[name("ann", one), name("bob", other)])
        .await
        .expect("named");
    // Bob takes Ann's name, and she another.
    contact::rename(&mut conn, &[name("ann", other), name("cleo", one)])
        .await
        .expect("named");
    let names: Vec<(String, Uuid)> =
        sqlx::query_as("SELECT value, contact_id FROM messaging.identity WHERE kind = 5 ORDER BY value")
            .fetch_all(world.database.admin())
            .await
            .expect("rows");
    assert_eq!(names, [("ann".to_owned(), other), ("cleo".to_owned(), one)]);
}
