//! Two contacts that turn out to be one, while messages are on their way.

use std::collections::HashMap;

use outeract_domain::ContactId;
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{InboundItem, ItemOutcome};
use outeract_proto::messaging::v1::{
    GetContactRequest, ImportSuppressionsRequest, ListMergesRequest, ListSuppressionsRequest, SubmissionState,
};
use outeract_seal::{Aad, KeyRing};
use outeract_testkit::eventually;
use serde_json::json;
use uuid::Uuid;

use crate::contacts::{AT, contact_of, inbound, look_up, news};
use crate::instance::Instance;
use crate::suite::{SEAL_KEYS, SOON, Suite, order, recipient};

async fn windows(suite: &Suite) -> Vec<Uuid> {
    sqlx::query_scalar("SELECT contact_id FROM messaging.service_window ORDER BY contact_id")
        .fetch_all(suite.database.admin())
        .await
        .expect("rows")
}

#[tokio::test]
async fn what_belonged_to_one_is_the_others_and_both_ids_answer() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let mut people = instance.contacts(&suite.key).await;
    let number = &suite.numbers[0];
    // One dialled, one known by their id alone, who has written and has a name, and wants no marketing.
    let mut client = instance.client(&suite.key).await;
    let message = suite.store_order(&mut client, number, "+16505551234").await;
    suite.reaches(&client, message, SubmissionState::Accepted).await;
    let older = look_up(&people, "+16505551234").await.expect("found").id;
    let hidden = InboundItem {
        profile_name: "Ann".to_owned(),
        username: "ann".to_owned(),
        text: "STOP".to_owned(),
        ..inbound("wamid.1", "", "US.1349")
    };
    let younger = contact_of(&suite.apply(&instance, number, Kind::Inbound(hidden)).await);
    assert_eq!(windows(&suite).await, [younger.uuid()]);
    // The application's own list for all.
    let import = ImportSuppressionsRequest {
        external_ids: vec!["US.1349".to_owned()],
        connection_id: String::new(),
    };
    people.import_suppressions(import).await.expect("imported");

    // A report that names both, and opens no window itself.
    let entry = json!({"wa_id": "16505551234", "user_id": "US.1349", "value": "resume", "timestamp": AT});
    let both = suite
        .apply(
            &instance,
            number,
            news("user_preferences", &json!({"user_preferences": [entry]})),
        )
        .await;
    assert_eq!(both.outcome(), ItemOutcome::Applied);
    let survivor: ContactId = older.parse().expect("an id");
    assert_eq!(windows(&suite).await, [survivor.uuid()]);
    for id in [younger.to_string(), older.clone()] {
        let contact = people
            .get_contact(GetContactRequest { id })
            .await
            .expect("found")
            .into_inner()
            .contact
            .expect("a contact");
        assert_eq!(contact.id, older);
        assert_eq!(
            (contact.profile_name.as_str(), contact.username.as_str()),
            ("Ann", "ann")
        );
        assert!(
            contact.user_ids.contains(&"US.1349".to_owned()),
            "beside the one that Meta answered"
        );
    }
    let listed = people
        .list_suppressions(ListSuppressionsRequest::default())
        .await
        .expect("listed")
        .into_inner()
        .suppressions;
    assert_eq!(listed.len(), 2);
    assert!(
        listed
            .iter()
            .all(|one| one.contact_id == older && one.external_id == "+16505551234")
    );
    let merges = people
        .list_merges(ListMergesRequest::default())
        .await
        .expect("listed")
        .into_inner();
    assert_eq!((merges.merges.len(), merges.next_page_token.as_str()), (1, ""));
    assert_eq!(merges.merges[0].source_contact_id, younger.to_string());
    assert_eq!(merges.merges[0].target_contact_id, older);
    // The window's last message can be read by the survivor's id.
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT last_wamid_sealed FROM messaging.service_window")
        .fetch_one(suite.database.admin())
        .await
        .expect("a row");
    let ring = KeyRing::parse(SEAL_KEYS).expect("a key ring");
    let survivor = survivor.uuid();
    let place = Aad::new(
        Some(suite.application.uuid()),
        "service_window",
        "last_wamid_sealed",
        survivor.as_bytes(),
    );
    assert_eq!(ring.open(&place, &sealed).expect("opens"), b"wamid.1");
}

#[tokio::test]
async fn a_process_that_does_not_know_of_a_merge_finds_the_survivor_soon() {
    let suite = Suite::with_strangers(1).await;
    let (one, other) = (suite.start().await, Instance::start(suite.env()).await);
    let number = &suite.numbers[0];
    // Both remember the younger contact by its number.
    let by_id = suite
        .apply(&one, number, Kind::Inbound(inbound("wamid.0", "", "US.1")))
        .await;
    let by_number = suite
        .apply(&one, number, Kind::Inbound(inbound("wamid.1", "16505551234", "")))
        .await;
    let (older, younger) = (contact_of(&by_id), contact_of(&by_number));
    let at_other = suite
        .apply(&other, number, Kind::Inbound(inbound("wamid.2", "16505551234", "")))
        .await;
    assert_eq!(contact_of(&at_other), younger);
    let merged = suite
        .apply(&one, number, Kind::Inbound(inbound("wamid.3", "16505551234", "US.1")))
        .await;
    assert_eq!(contact_of(&merged), older);
    // The other remembers that very report, and must not open a window where nobody looks.
    eventually(SOON, async || {
        let result = suite
            .apply(&other, number, Kind::Inbound(inbound("wamid.2", "16505551234", "")))
            .await;
        contact_of(&result) == older
    })
    .await;
    eventually(SOON, async || windows(&suite).await == [older.uuid()]).await;
    // What is sent from there goes to the survivor, too.
    let mut client = other.client(&suite.key).await;
    let message = suite.store_order(&mut client, number, "+16505551234").await;
    let to: Uuid = sqlx::query_scalar("SELECT contact_id FROM messaging.message WHERE id = $1")
        .bind(message.uuid())
        .fetch_one(suite.database.admin())
        .await
        .expect("a row");
    assert_eq!(to, older.uuid());
}

#[tokio::test]
async fn contacts_merge_under_load_and_every_message_is_sent_once() {
    const USERS: usize = 60;
    let suite = Suite::with_strangers(1).await;
    let (one, other) = (suite.start().await, Instance::start(suite.env()).await);
    let number = &suite.numbers[0];
    let client = one.client(&suite.key).await;
    // Each user is met by number and by id, by several voices at once, from both processes, while the application writes to both.
    let voices = (0..USERS).map(|index| {
        let (suite, mut client) = (&suite, client.clone());
        let (first, second) = if index % 2 == 0 { (&one, &other) } else { (&other, &one) };
        async move {
            let (phone, user) = (recipient(index), format!("US.{index}"));
            let wamid = |letter: &str| format!("wamid.{index}.{letter}");
            let (by_number, by_id) = tokio::join!(
                suite.apply(first, number, Kind::Inbound(inbound(&wamid("a"), &phone[1..], ""))),
                suite.apply(second, number, Kind::Inbound(inbound(&wamid("b"), "", &user))),
            );
            assert_ne!(contact_of(&by_number), contact_of(&by_id));
            let sends = async {
                for _ in 0..2 {
                    client.send_message(order(number, &phone)).await.expect("sent");
                }
            };
            let both = Kind::Inbound(inbound(&wamid("c"), &phone[1..], &user));
            let again = Kind::Inbound(InboundItem {
                parent_user_id: format!("US.ENT.{index}"),
                ..inbound(&wamid("d"), &phone[1..], &user)
            });
            let ((), at_first, at_second) = tokio::join!(
                sends,
                suite.apply(first, number, both),
                suite.apply(second, number, again)
            );
            contact_of(&at_first);
            contact_of(&at_second);
            contact_of(&by_number).min(contact_of(&by_id)).uuid()
        }
    });
    let survivors: Vec<Uuid> = futures_util::future::join_all(voices).await;
    eventually(SOON, async || suite.ledger().await.len() == 2 * USERS).await;
    let roots: HashMap<Uuid, Option<Uuid>> = sqlx::query_as("SELECT id, merged_into FROM messaging.contact")
        .fetch_all(suite.database.admin())
        .await
        .expect("rows")
        .into_iter()
        .collect();
    assert_eq!(roots.len(), 2 * USERS);
    for survivor in &survivors {
        assert_eq!(roots[survivor], None, "the older survives");
    }
    assert_eq!(roots.values().filter(|root| root.is_none()).count(), USERS);
    // Nothing stays with a contact that is no more.
    eventually(SOON, async || {
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM messaging.contact c WHERE c.merged_into IS NOT NULL AND (EXISTS (SELECT FROM messaging.identity i WHERE i.contact_id = c.id) OR EXISTS (SELECT FROM messaging.service_window w WHERE w.contact_id = c.id))",
        )
        .fetch_one(suite.database.admin())
        .await
        .expect("a count");
        left == 0
    })
    .await;
    assert_eq!(windows(&suite).await.len(), USERS);
    eventually(SOON, async || suite.siblings.of_type("user.merged").len() == USERS).await;
    // Both statuses of the ledger and the queue agree: each message was accepted once.
    let ended: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.ending WHERE state = 3 AND duplicates = 0")
        .fetch_one(suite.database.admin())
        .await
        .expect("a count");
    assert_eq!(ended, 2 * USERS as i64);
}
