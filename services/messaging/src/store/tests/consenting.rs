//! Who wants no marketing.

use time::OffsetDateTime;

use super::*;
use crate::store::consent::{self, After, Change, bits, source};
use crate::store::contact::{self, NewIdentity, USER};
use crate::store::merge::{self, Same};

#[expect(clippy::unnecessary_wraps, reason = "as changes have it")]
fn at(minute: i64) -> Option<OffsetDateTime> {
    let base = OffsetDateTime::from_unix_timestamp(1_760_000_000).expect("a time");
    Some(base + time::Duration::minutes(minute))
}

fn change(contact: Uuid, source: i16, at: Option<OffsetDateTime>) -> Change {
    Change {
        application: APPLICATION,
        contact,
        connection: CONNECTION,
        source,
        at,
        id: new_id(),
    }
}

impl World {
    async fn people(&self, count: usize) -> Vec<Uuid> {
        let contacts: Vec<Uuid> = (0..count).map(|_| new_id()).collect();
        let values: Vec<String> = (0..count).map(|index| format!("US.{index:04}")).collect();
        let identities: Vec<_> = contacts
            .iter()
            .zip(&values)
            .map(|(contact, value)| NewIdentity {
                application: APPLICATION,
                kind: USER,
                value,
                contact: *contact,
            })
            .collect();
        contact::introduce(&mut *self.conn().await, &identities, &[])
            .await
            .expect("made");
        contacts
    }

    async fn suppress(&self, changes: &[Change]) -> i64 {
        consent::suppress(&mut *self.conn().await, changes)
            .await
            .expect("suppressed")
    }

    async fn lift(&self, changes: &[Change]) -> i64 {
        consent::lift(&mut *self.conn().await, changes).await.expect("lifted")
    }

    async fn source_of(&self, contact: Uuid) -> Option<i16> {
        sqlx::query_scalar("SELECT source FROM messaging.suppression WHERE contact_id = $1")
            .bind(contact)
            .fetch_optional(self.database.admin())
            .await
            .expect("a row or none")
    }

    /// Kinds and sources of the events that wait, of one contact.
    async fn told(&self, contact: Uuid) -> Vec<(i16, i16)> {
        sqlx::query_as("SELECT kind, source FROM messaging.contact_event WHERE contact_id = $1 ORDER BY id")
            .bind(contact)
            .fetch_all(self.database.admin())
            .await
            .expect("rows")
    }
}

#[tokio::test]
async fn who_is_on_the_list_stays_as_they_were_unless_whatsapp_itself_says_so_too() {
    let world = World::new().await;
    let people = world.people(2).await;
    let (ann, bob) = (people[0], people[1]);
    assert_eq!(world.suppress(&[change(ann, source::STOP_WORD, at(1))]).await, 1);
    assert_eq!(world.suppress(&[change(ann, source::IMPORT, None)]).await, 0);
    assert_eq!(world.source_of(ann).await, Some(source::STOP_WORD));
    assert_eq!(world.suppress(&[change(ann, source::USER_PREFERENCE, at(2))]).await, 0);
    assert_eq!(world.source_of(ann).await, Some(source::USER_PREFERENCE));
    assert_eq!(world.suppress(&[change(bob, source::IMPORT, None)]).await, 1);
    assert_eq!(world.suppress(&[change(bob, source::META_REFUSAL, at(2))]).await, 0);
    assert_eq!(world.source_of(bob).await, Some(source::IMPORT));
    // One event for each entry, and none for what changed nothing.
    assert_eq!(world.told(ann).await, [(2, source::STOP_WORD)]);
    assert_eq!(world.told(bob).await, [(2, source::IMPORT)]);
}

#[tokio::test]
async fn a_word_takes_back_a_word_and_what_comes_again_from_before_changes_nothing() {
    let world = World::new().await;
    let people = world.people(2).await;
    let (ann, bob) = (people[0], people[1]);
    let word = bits(&[source::STOP_WORD]);
    world
        .suppress(&[
            change(ann, source::STOP_WORD, at(1)),
            change(bob, source::USER_PREFERENCE, at(1)),
        ])
        .await;
    assert_eq!(
        world.lift(&[change(ann, word, at(0))]).await,
        0,
        "a word from before the other"
    );
    assert_eq!(
        world.lift(&[change(ann, word, at(5)), change(bob, word, at(5))]).await,
        1
    );
    assert_eq!(
        (world.source_of(ann).await, world.source_of(bob).await),
        (None, Some(source::USER_PREFERENCE))
    );
    // Meta delivers the first word again.
    assert_eq!(world.suppress(&[change(ann, source::STOP_WORD, at(1))]).await, 0);
    assert_eq!(world.source_of(ann).await, None);
    // A new one counts, and so does another voice of the time before.
    assert_eq!(world.suppress(&[change(ann, source::USER_PREFERENCE, at(3))]).await, 1);
    let switch = bits(&[source::USER_PREFERENCE, source::META_REFUSAL]);
    assert_eq!(
        world
            .lift(&[change(ann, switch, at(6)), change(bob, switch, at(6))])
            .await,
        2
    );
    assert_eq!(
        world.suppress(&[change(bob, source::META_REFUSAL, at(6))]).await,
        0,
        "of the same moment"
    );
    assert_eq!(world.suppress(&[change(ann, source::STOP_WORD, at(7))]).await, 1);
    assert_eq!(
        world.told(ann).await,
        [(2, 1), (3, 1), (2, 2), (3, 2), (2, 1)],
        "suppressed, and so no longer, and so on"
    );
    world.database.advance(time::Duration::days(400)).await;
    assert!(
        consent::forget_lifted(&mut *world.conn().await)
            .await
            .expect("forgotten")
            >= 3
    );
}

#[tokio::test]
async fn a_thousand_are_one_statement_and_a_merged_contact_is_who_it_is_now() {
    let world = World::new().await;
    let people = world.people(1_000).await;
    let group = Same {
        application: APPLICATION,
        contacts: people[..2].to_vec(),
    };
    merge::merge(&mut *world.conn().await, &[group], new_id)
        .await
        .expect("merged");
    let changes: Vec<_> = people
        .iter()
        .map(|contact| Change {
            connection: Uuid::nil(),
            ..change(*contact, source::IMPORT, None)
        })
        .collect();
    assert_eq!(world.suppress(&changes).await, 999);
    assert_eq!(world.suppress(&changes).await, 0);
    assert_eq!(world.source_of(people[1]).await, None);
    let all = bits(&[
        source::STOP_WORD,
        source::USER_PREFERENCE,
        source::META_REFUSAL,
        source::IMPORT,
    ]);
    let gone: Vec<_> = changes
        .iter()
        .map(|change| Change {
            source: all,
            id: new_id(),
            ..*change
        })
        .collect();
    assert_eq!(world.lift(&gone).await, 999);
    assert_eq!(world.lift(&gone).await, 0);
}

#[tokio::test]
async fn of_many_at_once_that_say_the_same_one_counts() {
    let world = World::new().await;
    let people = world.people(20).await;
    let voices = (0..6_usize).map(|voice| {
        let (pool, people) = (world.pool.clone(), people.clone());
        async move {
            let mut changes: Vec<_> = people
                .iter()
                .map(|contact| change(*contact, source::STOP_WORD, at(1)))
                .collect();
            changes.rotate_left(voice * 3);
            let mut conn = pool.acquire().await.expect("a connection");
            consent::suppress(&mut conn, &changes).await.expect("no deadlock")
        }
    });
    let added: Vec<i64> = futures_util::future::join_all(voices).await;
    assert_eq!(added.iter().sum::<i64>(), 20, "{added:?}");
    for contact in people {
        assert_eq!(world.told(contact).await.len(), 1);
    }
}

#[tokio::test]
async fn the_list_is_read_page_by_page_with_and_without_a_connection() {
    let world = World::new().await;
    let people = world.people(9).await;
    let other = Uuid::from_u128(0xc1);
    for (index, contact) in people.iter().enumerate() {
        let connection = [CONNECTION, other, Uuid::nil()][index % 3];
        let change = Change {
            connection,
            // Three at a time share their moment.
            ..change(*contact, source::STOP_WORD, at((index / 3) as i64))
        };
        assert_eq!(world.suppress(&[change]).await, 1);
    }
    let mut conn = world.conn().await;
    let mut read = async |connection: Option<Uuid>| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = match connection {
                None => consent::page(&mut conn, APPLICATION, after, 2).await,
                Some(connection) => consent::page_of_connection(&mut conn, APPLICATION, connection, after, 2).await,
            }
            .expect("a page");
            let Some(last) = page.last() else { return found };
            after = Some(After {
                at: last.at,
                contact: last.contact,
                connection: last.connection,
            });
            found.extend(page.into_iter().map(|entry| (entry.contact, entry.external_id)));
        }
    };
    let all = read(None).await;
    assert_eq!(all.len(), 9);
    let mut newest_first: Vec<_> = people
        .iter()
        .enumerate()
        .map(|(index, contact)| (index / 3, *contact))
        .collect();
    newest_first.sort_unstable_by(|one, two| two.cmp(one));
    assert_eq!(
        all.iter().map(|(contact, _)| *contact).collect::<Vec<_>>(),
        newest_first.iter().map(|(_, contact)| *contact).collect::<Vec<_>>()
    );
    assert!(all.iter().all(|(_, external)| external.starts_with("US.")));
    let mine: Vec<_> = read(Some(CONNECTION))
        .await
        .into_iter()
        .map(|(contact, _)| contact)
        .collect();
    let expected: Vec<_> = newest_first
        .iter()
        .map(|(_, contact)| *contact)
        .filter(|contact| {
            people
                .iter()
                .position(|person| person == contact)
                .is_some_and(|index| index % 3 != 1)
        })
        .collect();
    assert_eq!(mine, expected);
    let foreign = consent::page(&mut conn, Uuid::from_u128(1), None, 10)
        .await
        .expect("a page");
    assert!(foreign.is_empty());
}
