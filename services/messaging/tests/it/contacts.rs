//! Users: learned from what applications dial, from Meta's answers and from webhooks, and shown to the application that knows them.

use outeract_domain::{ContactId, EventId};
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{AccountItem, InboundItem, ItemOutcome, ItemResult, StatusItem};
use outeract_proto::messaging::v1::{
    Contact, GetContactRequest, ListContactsRequest, LookupContactRequest, SendMessageRequest, SubmissionState,
};
use outeract_proto::tracking::v1::event::Payload;
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;
use serde_json::{Value, json};
use tonic::Code;

use crate::instance::{Instance, People};
use crate::suite::{SOON, Suite, id, order, recipient, status_of};

pub(crate) const AT: i64 = 1_760_000_000;

/// A text from a user.
pub(crate) fn inbound(wamid: &str, wa_id: &str, user: &str) -> InboundItem {
    InboundItem {
        wamid: wamid.to_owned(),
        wa_id: wa_id.to_owned(),
        user_id: user.to_owned(),
        occur_time: Some(prost_types::Timestamp { seconds: AT, nanos: 0 }),
        opens_window: true,
        text: "hello".to_owned(),
        ..InboundItem::default()
    }
}

/// News of users.
pub(crate) fn news(field: &str, value: &Value) -> Kind {
    Kind::Account(AccountItem {
        field: field.to_owned(),
        value_json: value.to_string().into_bytes(),
        receive_time: Some(prost_types::Timestamp {
            seconds: AT + 100,
            nanos: 0,
        }),
    })
}

pub(crate) fn contact_of(result: &ItemResult) -> ContactId {
    assert_eq!(result.outcome(), ItemOutcome::Applied, "{}", result.reason);
    ContactId::from_slice(&result.contact_id).expect("a contact")
}

pub(crate) async fn look_up(people: &People, external_id: &str) -> Result<Contact, tonic::Status> {
    let request = LookupContactRequest {
        external_id: external_id.to_owned(),
    };
    let found = people.clone().lookup_contact(request).await?;
    Ok(found.into_inner().contact.expect("a contact"))
}

async fn get(people: &People, id: &str) -> Result<Contact, tonic::Status> {
    let request = GetContactRequest { id: id.to_owned() };
    Ok(people
        .clone()
        .get_contact(request)
        .await?
        .into_inner()
        .contact
        .expect("a contact"))
}

/// Meta accepts the next message with this answer.
async fn answers(suite: &Suite, contact: Value) {
    let body = json!({"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": format!("wamid.{}", uuid::Uuid::now_v7())}]});
    let once = Match {
        count: Some(1),
        ..Match::default()
    };
    let respond = Effect::Respond {
        status: 200,
        content_type: None,
        body: body.to_string(),
        execute: false,
    };
    suite.meta.fault(once, respond).await.expect("added");
}

async fn count(suite: &Suite) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM messaging.contact")
        .fetch_one(suite.database.admin())
        .await
        .expect("a count")
}

async fn sends(suite: &Suite, instance: &Instance, to: &str) -> EventId {
    let mut client = instance.client(&suite.key).await;
    let answer = client
        .send_message(order(&suite.numbers[0], to))
        .await
        .expect("sent")
        .into_inner();
    suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
    id(&answer)
}

#[tokio::test]
async fn a_brazilian_number_with_and_without_its_nine_is_one_contact_and_is_sent_to_as_written() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let with = "+5511987654321";
    let without = "+551187654321";
    let first = sends(&suite, &instance, with).await;
    let second = sends(&suite, &instance, without).await;
    let sent: Vec<_> = suite.ledger().await.into_iter().map(|accepted| accepted.to).collect();
    assert_eq!(sent, [with, without], "to is never rewritten");
    let to = |message: EventId| {
        let event = suite.siblings.event(message.uuid()).and_then(|record| record.event);
        event.and_then(|event| event.edges).and_then(|edges| edges.sent_to)
    };
    eventually(SOON, async || to(first).is_some() && to(second).is_some()).await;
    let (one, two) = (to(first).expect("a user"), to(second).expect("a user"));
    assert_eq!((one.external_id.as_str(), two.external_id.as_str()), (with, without));
    assert_eq!(one.platform_user_id, two.platform_user_id);
    // Whoever writes from it, and whoever looks for it, in either form.
    let result = suite
        .apply(
            &instance,
            &suite.numbers[0],
            Kind::Inbound(inbound("wamid.1", "551187654321", "")),
        )
        .await;
    assert_eq!(contact_of(&result).to_string(), one.platform_user_id);
    for form in [with, without] {
        assert_eq!(look_up(&people, form).await.expect("found").id, one.platform_user_id);
    }
    assert_eq!(count(&suite).await, 1);
    // A landline is another subscriber.
    sends(&suite, &instance, "+551132345678").await;
    assert_eq!(count(&suite).await, 2);
}

#[tokio::test]
async fn both_forms_in_one_batch_at_the_same_moment_are_one_contact() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let sends = ["+5215512345678", "+525512345678", "+5491123456789", "+541123456789"].map(|to| {
        let (mut client, request) = (client.clone(), order(&suite.numbers[0], to));
        async move { client.send_message(request).await.expect("sent") }
    });
    futures_util::future::join_all(sends).await;
    eventually(SOON, async || suite.ledger().await.len() == 4).await;
    // Flushes that overlap can make two; Meta's answers then show that they are one.
    let survivors = "SELECT count(*) FROM messaging.contact WHERE merged_into IS NULL";
    let counted: i64 = sqlx::query_scalar(survivors)
        .fetch_one(suite.database.admin())
        .await
        .expect("a count");
    assert_eq!(counted, 2);
}

#[tokio::test]
async fn what_meta_answers_is_learned_once_and_finds_the_user_from_then_on() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let ann = json!({"input": "+5511987654321", "wa_id": "551187654321", "user_id": "BR.1"});
    answers(&suite, ann.clone()).await;
    sends(&suite, &instance, "+5511987654321").await;
    eventually(SOON, async || look_up(&people, "BR.1").await.is_ok()).await;
    let contact = look_up(&people, "BR.1").await.expect("found");
    assert_eq!(contact.external_id, "+551187654321");
    assert_eq!(contact.phone_numbers, ["+551187654321", "+5511987654321"]);
    assert_eq!(
        (contact.wa_ids, contact.user_ids),
        (vec!["551187654321".to_owned()], vec!["BR.1".to_owned()])
    );
    let written: i64 =
        sqlx::query_scalar("SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relname = 'identity'")
            .fetch_one(suite.database.admin())
            .await
            .expect("a count");
    answers(&suite, ann).await;
    sends(&suite, &instance, "+5511987654321").await;
    // A user who is written to by their id alone is the same.
    answers(&suite, json!({"input": "BR.1", "user_id": "BR.1"})).await;
    sends(&suite, &instance, "BR.1").await;
    let again: i64 =
        sqlx::query_scalar("SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relname = 'identity'")
            .fetch_one(suite.database.admin())
            .await
            .expect("a count");
    assert_eq!(written, again);
    assert_eq!(count(&suite).await, 1);
}

#[tokio::test]
async fn a_user_without_a_phone_number_writes_and_is_answered_by_their_id() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let number = &suite.numbers[0];
    let hidden = InboundItem {
        parent_user_id: "US.ENT.118".to_owned(),
        username: "@ann".to_owned(),
        profile_name: "Ann".to_owned(),
        ..inbound("wamid.1", "", "US.1349")
    };
    let contact = contact_of(&suite.apply(&instance, number, Kind::Inbound(hidden)).await);
    let shown = get(&people, &contact.to_string()).await.expect("found");
    assert_eq!(
        (
            shown.external_id.as_str(),
            shown.username.as_str(),
            shown.profile_name.as_str()
        ),
        ("US.1349", "ann", "Ann")
    );
    assert_eq!(
        (shown.phone_numbers.len(), shown.parent_user_ids),
        (0, vec!["US.ENT.118".to_owned()])
    );
    answers(&suite, json!({"input": "US.1349", "user_id": "US.1349"})).await;
    let message = sends(&suite, &instance, "US.1349").await;
    eventually(SOON, async || suite.siblings.event(message.uuid()).is_some()).await;
    let edges = suite
        .siblings
        .event(message.uuid())
        .and_then(|record| record.event?.edges)
        .expect("edges");
    let to = edges.sent_to.expect("a user");
    assert_eq!(
        (to.external_id.as_str(), to.platform_user_id),
        ("US.1349", contact.to_string())
    );
    // Then the number shows.
    let shown = suite
        .apply(
            &instance,
            number,
            Kind::Inbound(inbound("wamid.2", "16505551234", "US.1349")),
        )
        .await;
    assert_eq!(contact_of(&shown), contact);
    let shown = look_up(&people, "+16505551234").await.expect("found");
    assert_eq!(
        (shown.id, shown.external_id.as_str()),
        (contact.to_string(), "+16505551234")
    );
    // What is sealed is not to be read.
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT profile_sealed FROM messaging.contact")
        .fetch_one(suite.database.admin())
        .await
        .expect("a name");
    assert!(!sealed.windows(3).any(|window| window == b"Ann"));
}

#[tokio::test]
async fn names_change_and_are_written_only_then() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let named = |wamid: &str, name: &str, username: &str| {
        Kind::Inbound(InboundItem {
            profile_name: name.to_owned(),
            username: username.to_owned(),
            ..inbound(wamid, "16505551234", "US.1")
        })
    };
    let kinds = vec![
        named("wamid.1", "Ann", "ann"),
        named("wamid.2", "Anna", "anna"),
        named("wamid.3", "Ann", "ann"),
    ];
    for kind in kinds {
        suite.apply(&instance, &suite.numbers[0], kind).await;
    }
    let contact = look_up(&people, "US.1").await.expect("found");
    assert_eq!(
        (contact.profile_name.as_str(), contact.username.as_str()),
        ("Ann", "ann")
    );
    // Another process, which has not seen any of it, writes nothing that is not new.
    let other = Instance::start(suite.env()).await;
    let before: (String,) = sqlx::query_as("SELECT xmin::text FROM messaging.contact")
        .fetch_one(suite.database.admin())
        .await
        .expect("a row");
    suite
        .apply(&other, &suite.numbers[0], named("wamid.4", "Ann", "@ann"))
        .await;
    let after: (String,) = sqlx::query_as("SELECT xmin::text FROM messaging.contact")
        .fetch_one(suite.database.admin())
        .await
        .expect("a row");
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_status_teaches_the_recipients_ids_and_makes_no_contact() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let number = &suite.numbers[0];
    let unknown = StatusItem {
        wamid: "wamid.foreign".to_owned(),
        status: "sent".to_owned(),
        recipient_wa_id: "16505559999".to_owned(),
        recipient_user_id: "US.9".to_owned(),
        ..StatusItem::default()
    };
    suite.status(&instance, number, unknown).await;
    answers(&suite, json!({"input": "+14155551234", "wa_id": "14155551234"})).await;
    sends(&suite, &instance, "+14155551234").await;
    let shown = StatusItem {
        wamid: "wamid.whatever".to_owned(),
        status: "delivered".to_owned(),
        recipient_wa_id: "14155551234".to_owned(),
        recipient_user_id: "US.1".to_owned(),
        recipient_parent_user_id: "US.ENT.1".to_owned(),
        ..StatusItem::default()
    };
    eventually(SOON, async || {
        suite.status(&instance, number, shown.clone()).await;
        look_up(&people, "US.ENT.1").await.is_ok()
    })
    .await;
    let contact = look_up(&people, "US.1").await.expect("found");
    assert_eq!(contact.external_id, "+14155551234");
    assert_eq!(
        look_up(&people, "US.9").await.expect_err("unknown").code(),
        Code::NotFound
    );
    assert_eq!(count(&suite).await, 1);
}

#[tokio::test]
async fn new_numbers_and_ids_take_the_old_ones_place() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let number = &suite.numbers[0];
    let known = Kind::Inbound(InboundItem {
        parent_user_id: "US.ENT.1".to_owned(),
        ..inbound("wamid.1", "16505551234", "US.1")
    });
    let contact = contact_of(&suite.apply(&instance, number, known).await);
    let system = json!({"from": "16505551234", "from_user_id": "US.1", "id": "wamid.2", "timestamp": AT + 10, "type": "system",
        "system": {"wa_id": "16505559999", "user_id": "US.2", "type": "user_changed_number"}});
    let update = json!({"user_id_update": [{"wa_id": "16505559999", "user_id": {"previous": "US.1", "current": "US.2"},
        "parent_user_id": {"previous": "US.ENT.1", "current": "US.ENT.2"}, "timestamp": AT + 10}]});
    // Either may come first, and each may come again.
    for (field, value) in [
        ("system", &system),
        ("user_id_update", &update),
        ("system", &system),
        ("user_id_update", &update),
    ] {
        let result = suite.apply(&instance, number, news(field, value)).await;
        assert_eq!((result.outcome(), result.reason.as_str()), (ItemOutcome::Applied, ""));
    }
    let shown = get(&people, &contact.to_string()).await.expect("found");
    assert_eq!(shown.external_id, "+16505559999");
    assert_eq!(
        (shown.phone_numbers, shown.wa_ids),
        (vec!["+16505559999".to_owned()], vec!["16505559999".to_owned()])
    );
    assert_eq!(
        (shown.user_ids, shown.parent_user_ids),
        (vec!["US.2".to_owned()], vec!["US.ENT.2".to_owned()])
    );
    for gone in ["+16505551234", "US.1", "US.ENT.1"] {
        assert_eq!(
            look_up(&people, gone).await.expect_err("gone").code(),
            Code::NotFound,
            "{gone}"
        );
    }
    // A message from before that comes late is the user's, and brings nothing back; the number's next owner is another user.
    let late = suite
        .apply(
            &instance,
            number,
            Kind::Inbound(inbound("wamid.3", "16505551234", "US.1")),
        )
        .await;
    assert_eq!(contact_of(&late), contact);
    assert_eq!(
        look_up(&people, "+16505551234").await.expect_err("gone").code(),
        Code::NotFound
    );
    let next = suite
        .apply(
            &instance,
            number,
            Kind::Inbound(inbound("wamid.4", "16505551234", "US.77")),
        )
        .await;
    assert_ne!(contact_of(&next), contact);
    // An older move, delivered once more, moves nobody.
    let older = json!({"user_id_update": [{"user_id": {"previous": "US.1", "current": "US.0"}, "timestamp": AT + 5}]});
    suite.apply(&instance, number, news("user_id_update", &older)).await;
    assert_eq!(
        look_up(&people, "US.0").await.expect_err("never").code(),
        Code::NotFound
    );
    // Of nobody that is known: nothing, and no error.
    let stranger = json!({"user_id_update": [{"user_id": {"previous": "US.90", "current": "US.91"}, "timestamp": AT}]});
    assert_eq!(
        suite
            .apply(&instance, number, news("user_id_update", &stranger))
            .await
            .outcome(),
        ItemOutcome::Applied
    );
    assert_eq!(count(&suite).await, 2);
}

#[tokio::test]
async fn news_that_cannot_be_read_are_refused_and_their_good_entries_heeded() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let number = &suite.numbers[0];
    suite
        .apply(
            &instance,
            number,
            Kind::Inbound(inbound("wamid.1", "16505551234", "US.1")),
        )
        .await;
    let half =
        json!({"user_id_update": [7, {"user_id": {"previous": "US.1", "current": "US.2"}, "timestamp": AT + 1}]});
    let kinds = vec![
        news("user_id_update", &half),
        news("user_id_update", &json!("text")),
        news(
            "user_preferences",
            &json!({"user_preferences": [{"wa_id": "x", "value": "stop", "timestamp": AT}]}),
        ),
        news("system", &json!({"timestamp": AT, "system": {}})),
        news("flows", &json!({})),
        Kind::Inbound(InboundItem {
            wa_id: "not digits".to_owned(),
            ..inbound("wamid.2", "", "US.3")
        }),
        Kind::Inbound(inbound("wamid.3", "", "")),
        Kind::Inbound(inbound("wamid.4", "", &"x".repeat(161))),
    ];
    let results = suite.apply_all(&instance, suite.application, number, kinds).await;
    let reasons: Vec<_> = results.iter().map(|result| result.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "MALFORMED_ITEM",
            "MALFORMED_ITEM",
            "MALFORMED_ITEM",
            "MALFORMED_ITEM",
            "FIELD_UNSUPPORTED",
            "MALFORMED_ITEM",
            "SENDER_UNKNOWN",
            "MALFORMED_ITEM"
        ]
    );
    assert!(results.iter().all(|result| result.outcome() == ItemOutcome::Refused));
    assert_eq!(
        look_up(&people, "US.2").await.expect("heeded").external_id,
        "+16505551234"
    );
}

#[tokio::test]
async fn each_application_has_contacts_of_its_own() {
    let suite = Suite::with_strangers(2).await;
    let (other, other_key) = suite.tenant(&suite.numbers[1]);
    let instance = suite.start().await;
    let (mine, theirs) = (instance.contacts(&suite.key).await, instance.contacts(&other_key).await);
    let named = |name: &str| {
        vec![Kind::Inbound(InboundItem {
            profile_name: name.to_owned(),
            ..inbound("wamid.1", "16505551234", "US.1")
        })]
    };
    let one = suite
        .apply_all(&instance, suite.application, &suite.numbers[0], named("Ann"))
        .await;
    let two = suite.apply_all(&instance, other, &suite.numbers[1], named("Bob")).await;
    let (one, two) = (contact_of(&one[0]), contact_of(&two[0]));
    assert_ne!(one, two);
    for (people, own, foreign, name) in [(&mine, one, two, "Ann"), (&theirs, two, one, "Bob")] {
        let found = look_up(people, "+16505551234").await.expect("found");
        assert_eq!((found.id, found.profile_name.as_str()), (own.to_string(), name));
        let absent = get(people, &ContactId::from_uuid(uuid::Uuid::now_v7()).to_string())
            .await
            .expect_err("absent");
        let foreign = get(people, &foreign.to_string()).await.expect_err("another's");
        assert_eq!((foreign.code(), foreign.message()), (absent.code(), absent.message()));
        assert_eq!(foreign.code(), Code::NotFound);
        let listed = people
            .clone()
            .list_contacts(ListContactsRequest::default())
            .await
            .expect("listed")
            .into_inner();
        assert_eq!(
            listed
                .contacts
                .iter()
                .map(|contact| contact.id.clone())
                .collect::<Vec<_>>(),
            [own.to_string()]
        );
    }
}

#[tokio::test]
async fn contacts_are_listed_newest_first_and_tokens_are_bound() {
    let suite = Suite::with_strangers(2).await;
    let (_, other_key) = suite.tenant(&suite.numbers[1]);
    let instance = suite.start().await;
    let mut people = instance.contacts(&suite.key).await;
    let kinds = (0..7)
        .map(|index| Kind::Inbound(inbound(&format!("wamid.{index}"), &recipient(index)[1..], "")))
        .collect();
    suite
        .apply_all(&instance, suite.application, &suite.numbers[0], kinds)
        .await;
    let (mut token, mut found) = (String::new(), Vec::new());
    loop {
        let page = ListContactsRequest {
            page_size: 3,
            page_token: token,
        };
        let page = people.list_contacts(page).await.expect("listed").into_inner();
        found.extend(page.contacts.into_iter().map(|contact| contact.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let mut sorted = found.clone();
    sorted.sort_unstable_by(|one, other| other.cmp(one));
    sorted.dedup();
    assert_eq!((found.len(), &found), (7, &sorted));
    let page = ListContactsRequest {
        page_size: 2,
        ..ListContactsRequest::default()
    };
    let token = people
        .list_contacts(page)
        .await
        .expect("listed")
        .into_inner()
        .next_page_token;
    let stolen = ListContactsRequest {
        page_token: token,
        ..ListContactsRequest::default()
    };
    let refused = instance
        .contacts(&other_key)
        .await
        .list_contacts(stolen)
        .await
        .expect_err("another's");
    assert_eq!(refused.code(), Code::InvalidArgument);
    for page_size in [-1, 1_001] {
        let page = ListContactsRequest {
            page_size,
            ..ListContactsRequest::default()
        };
        assert_eq!(
            people.list_contacts(page).await.expect_err("refused").code(),
            Code::InvalidArgument
        );
    }
    for bad in ["", "14155551234", "+1 415 555 1234", "pu_1", "Y2FwaV9ncm91cDox"] {
        assert_eq!(
            look_up(&people, bad).await.expect_err("refused").code(),
            Code::InvalidArgument,
            "{bad}"
        );
    }
    assert_eq!(
        get(&people, "pc_1").await.expect_err("refused").code(),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn a_recipient_that_cannot_be_one_is_refused_with_the_mistake_in_it() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let mistakes = [
        ("14155551234", "must begin with `+`"),
        ("+1 415 555 1234", "without spaces"),
        ("+1415555123", "as many digits"),
        ("+9991234567", "calling code"),
        ("120363041234567890@g.us", "groups are not sent"),
        ("hello", "E.164"),
    ];
    for (to, told) in mistakes {
        let refused = client
            .send_message(SendMessageRequest {
                ..order(&suite.numbers[0], to)
            })
            .await
            .expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument, "{to}");
        let details = tonic_types::StatusExt::get_details_bad_request(&refused).expect("a bad request");
        let violation = &details.field_violations[0];
        assert_eq!(violation.field, "to_external_id");
        assert!(violation.description.contains(told), "{to}: {}", violation.description);
        assert!(!violation.description.contains("415"), "what was written is not told");
    }
    assert_eq!(count(&suite).await, 0);
}

#[tokio::test]
async fn windows_open_at_the_contact_whatever_is_said() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let image = InboundItem {
        text: String::new(),
        ..inbound("wamid.1", "16505551234", "")
    };
    let revoked = InboundItem {
        opens_window: false,
        ..inbound("wamid.2", "16505559999", "")
    };
    let results = suite
        .apply_all(
            &instance,
            suite.application,
            &suite.numbers[0],
            vec![Kind::Inbound(image), Kind::Inbound(revoked)],
        )
        .await;
    let opened: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT contact_id FROM messaging.service_window")
        .fetch_all(suite.database.admin())
        .await
        .expect("rows");
    assert_eq!(opened, [contact_of(&results[0]).uuid()]);
}

#[tokio::test]
async fn a_late_acceptance_that_only_a_status_proves_teaches_its_recipient_too() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let number = &suite.numbers[0];
    let once = Match {
        count: Some(1),
        ..Match::default()
    };
    suite.meta.fault(once, Effect::ResponseLost).await.expect("added");
    let client = instance.client(&suite.key).await;
    let message = suite.store_order(&mut client.clone(), number, "+5511987654321").await;
    suite.reaches(&client, message, SubmissionState::Unknown).await;
    let accepted = suite.ledger().await.remove(0);
    let status = StatusItem {
        recipient_wa_id: "551187654321".to_owned(),
        ..status_of(&accepted, "sent")
    };
    suite.status(&instance, number, status).await;
    eventually(SOON, async || {
        let contact = look_up(&people, "+5511987654321").await.expect("found");
        contact.wa_ids == ["551187654321"]
    })
    .await;
}

#[tokio::test]
async fn events_of_users_carry_no_more_than_they_say() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let number = &suite.numbers[0];
    let by_number = suite
        .apply(&instance, number, Kind::Inbound(inbound("wamid.1", "16505551234", "")))
        .await;
    let by_id = suite
        .apply(&instance, number, Kind::Inbound(inbound("wamid.2", "", "US.1")))
        .await;
    let (older, younger) = (contact_of(&by_number), contact_of(&by_id));
    assert!(older < younger);
    suite
        .apply(
            &instance,
            number,
            Kind::Inbound(inbound("wamid.3", "16505551234", "US.1")),
        )
        .await;
    eventually(SOON, async || suite.siblings.of_type("user.merged").len() == 1).await;
    let record = suite.siblings.of_type("user.merged").remove(0);
    assert_eq!(record.application_id, suite.application.bytes());
    assert!(record.connection_id.is_empty() && record.origin_event_id.is_empty());
    let Some(Payload::UserMerged(merged)) = record.event.expect("an event").payload else {
        panic!("another payload");
    };
    assert_eq!(
        (merged.source_user_id, merged.target_user_id),
        (younger.to_string(), older.to_string())
    );
}
