//! News of accounts and of their users, and messages of which only the frame is understood.

use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{AccountItem, InboundItem, Item, StatusItem};
use outeract_testkit::eventually;
use serde_json::{Value, json};
use tonic::Code;

use crate::bodies::{AT, change, entry, image, post, text};
use crate::suite::{LONG, Number, Suite};

const FIELDS: [&str; 8] = [
    "message_template_status_update",
    "message_template_quality_update",
    "message_template_components_update",
    "template_category_update",
    "business_capability_update",
    "phone_number_quality_update",
    "user_preferences",
    "user_id_update",
];

fn news(field: &str, value: &Value) -> Value {
    json!({"field": field, "value": value})
}

/// News that messaging was given, with their connections.
fn told(items: &[Item]) -> Vec<(Vec<u8>, &AccountItem)> {
    let account = |item: &'_ Item| matches!(item.kind, Some(Kind::Account(_)));
    let items = items.iter().filter(|item| account(item));
    items
        .filter_map(|item| match &item.kind {
            Some(Kind::Account(account)) => Some((item.connection_id.clone(), account)),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn news_of_an_account_reach_each_of_its_connections_as_they_came_and_count_once() {
    let (suite, instance) = Suite::with_instance().await;
    let (first, mut second, other) = (Number::new("7", "1"), Number::new("7", "2"), Number::new("8", "3"));
    second.application = first.application;
    instance
        .push(vec![first.active(), second.active(), other.active()])
        .await;
    let changes: Vec<Value> = FIELDS
        .iter()
        .map(|field| news(field, &json!({"of": field, "n": 1.50})))
        .collect();
    instance.stored(&post(&[entry("7", &changes)])).await;
    suite.settled().await;

    assert_eq!(suite.accounts().await, [8, 8, 0, 0, 0, 0]);
    // One event for the application, but for the two fields that are users' affairs.
    assert_eq!(suite.siblings.recorded().len(), FIELDS.len() - 2);
    let world = suite.siblings.world();
    let told = told(&world.applied);
    assert_eq!(told.len(), 16);
    for (index, field) in FIELDS.iter().enumerate() {
        let (one, two) = (&told[2 * index], &told[2 * index + 1]);
        assert_eq!((one.1.field.as_str(), two.1.field.as_str()), (*field, *field));
        assert_eq!(one.1.value_json, format!(r#"{{"n":1.5,"of":"{field}"}}"#).into_bytes());
        let mut connections = [one.0.clone(), two.0.clone()];
        connections.sort();
        let mut expected = [first.connection.bytes(), second.connection.bytes()];
        expected.sort();
        assert_eq!(connections, expected);
        assert!(one.1.receive_time.is_some());
    }
}

#[tokio::test]
async fn news_that_name_a_number_are_that_numbers_and_wait_for_its_connection() {
    let (suite, instance) = Suite::with_instance().await;
    let (first, second) = (Number::new("7", "1"), Number::new("7", "2"));
    instance.push(vec![first.active()]).await;
    let wish = |number: &str| {
        let value = json!({"metadata": {"phone_number_id": number}, "user_preferences": []});
        news("user_preferences", &value)
    };
    instance.stored(&post(&[entry("7", &[wish("1"), wish("2")])])).await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [2, 1, 0, 1, 0, 0]);
    assert_eq!(suite.listed(3).await[0].1, "NO_CONNECTION");
    instance.push(vec![second.active()]).await;
    eventually(LONG, async || suite.accounts().await[1] == 2).await;
    suite.check().await;
    let world = suite.siblings.world();
    let connections: Vec<_> = told(&world.applied)
        .into_iter()
        .map(|(connection, _)| connection)
        .collect();
    assert_eq!(connections, [first.connection.bytes(), second.connection.bytes()]);
}

#[tokio::test]
async fn an_item_is_applied_when_messaging_applied_it_for_each_connection() {
    let (suite, instance) = Suite::with_instance().await;
    let (first, mut second) = (Number::new("7", "1"), Number::new("7", "2"));
    second.application = first.application;
    instance.push(vec![first.active(), second.active()]).await;
    {
        let mut world = suite.siblings.world();
        let refusals = &mut world.account_refusals;
        refusals.insert(
            "user_id_update".to_owned(),
            (second.connection.bytes(), "MALFORMED_ITEM"),
        );
        refusals.insert("template_category_update".to_owned(), (Vec::new(), "FIELD_UNSUPPORTED"));
    }
    let changes = [
        news("user_id_update", &json!({"user_id_update": []})),
        news("template_category_update", &json!({})),
        news("user_preferences", &json!({"user_preferences": []})),
        news("user_preferences", &json!([])),
        news("something_new", &json!({})),
    ];
    instance
        .stored(&post(&[entry("7", &changes), entry("404", &changes[..1])]))
        .await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [6, 1, 0, 0, 3, 2]);
    let reasons: Vec<_> = suite.listed(4).await.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, ["FIELD_UNSUPPORTED", "FIELD_UNSUPPORTED", "NO_CONNECTION"]);
    let reasons: Vec<_> = suite.listed(5).await.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, ["MALFORMED_ITEM", "VALUE_UNREADABLE"]);
}

#[tokio::test]
async fn news_are_given_again_after_messaging_was_away_and_are_still_one_item() {
    let (suite, instance) = Suite::with_instance().await;
    instance.push(vec![Number::new("7", "1").active()]).await;
    suite.siblings.world().messaging_fails = Some(Code::Unavailable);
    let change = news("user_preferences", &json!({"user_preferences": []}));
    instance.stored(&post(&[entry("7", &[change])])).await;
    eventually(LONG, async || suite.siblings.world().failures > 0).await;
    assert_eq!(suite.accounts().await[0], 0);
    suite.siblings.world().messaging_fails = None;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [1, 1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn messaging_learns_who_wrote_whatever_they_wrote() {
    let (suite, instance) = Suite::with_instance().await;
    instance.push(vec![Number::new("7", "1").active()]).await;
    let contacts = json!([{"profile": {"name": "Ann", "username": "@ann"}, "wa_id": "16505551234", "user_id": "US.1", "parent_user_id": "US.ENT.1"}]);
    let button = json!({"from": "16505551234", "from_user_id": "US.1", "id": "wamid.BUTTON", "timestamp": AT, "type": "button", "button": {"text": "Stop promotions", "payload": "p"}});
    let revoked = json!({"from": "16505551234", "id": "wamid.REVOKE", "timestamp": AT, "type": "revoke", "revoke": {"original_message_id": "wamid.1"}});
    let hidden =
        json!({"from_user_id": "US.2", "id": "wamid.HIDDEN", "timestamp": AT, "type": "text", "text": {"body": "hi"}});
    let system = json!({"from": "16505551234", "id": "wamid.SYSTEM", "timestamp": AT, "type": "system", "system": {"wa_id": "16505559999", "type": "user_changed_number"}});
    let long = text("wamid.LONG", &"é".repeat(300));
    let mut messages = change(
        "1",
        vec![image("wamid.IMAGE"), button, revoked, hidden, system.clone(), long],
        vec![json!({
        "id": "wamid.OUT", "status": "sent", "timestamp": AT, "recipient_id": "16505551234", "recipient_user_id": "US.1", "parent_recipient_user_id": "US.ENT.1"})],
    );
    messages["value"]["contacts"] = contacts;
    instance.stored(&post(&[entry("7", &[messages])])).await;
    suite.settled().await;

    // The system message tells of the user's ids; everything else becomes an event, but for the status, whose message is not known.
    assert_eq!(suite.accounts().await, [7, 7, 0, 0, 0, 0]);
    let written = [
        "wamid.IMAGE",
        "wamid.BUTTON",
        "wamid.REVOKE",
        "wamid.HIDDEN",
        "wamid.LONG",
    ];
    assert_eq!(suite.siblings.recorded(), written);
    let world = suite.siblings.world();
    let inbound = |wamid: &str| -> InboundItem {
        let found = world.applied.iter().find_map(|item| match &item.kind {
            Some(Kind::Inbound(inbound)) if inbound.wamid == wamid => Some(inbound.clone()),
            _ => None,
        });
        found.expect(wamid)
    };
    let image = inbound("wamid.IMAGE");
    assert_eq!(
        (
            image.wa_id.as_str(),
            image.user_id.as_str(),
            image.parent_user_id.as_str(),
            image.username.as_str(),
            image.profile_name.as_str()
        ),
        ("16505551234", "US.1", "US.ENT.1", "@ann", "Ann")
    );
    assert!(image.opens_window && image.text.is_empty());
    let medium = image.media.expect("a medium");
    assert_eq!(
        (medium.media_id.as_str(), medium.mime_type.as_str()),
        ("5", "image/jpeg")
    );
    assert_eq!(inbound("wamid.BUTTON").text, "Stop promotions");
    assert!(!inbound("wamid.REVOKE").opens_window);
    let hidden = inbound("wamid.HIDDEN");
    assert_eq!(
        (hidden.wa_id.as_str(), hidden.user_id.as_str(), hidden.text.as_str()),
        ("", "US.2", "hi")
    );
    assert_eq!(inbound("wamid.LONG").text.chars().count(), 256);
    let statuses: Vec<&StatusItem> = world
        .applied
        .iter()
        .filter_map(|item| match &item.kind {
            Some(Kind::Status(status)) => Some(status),
            _ => None,
        })
        .collect();
    assert_eq!(
        (
            statuses[0].recipient_wa_id.as_str(),
            statuses[0].recipient_user_id.as_str(),
            statuses[0].recipient_parent_user_id.as_str()
        ),
        ("16505551234", "US.1", "US.ENT.1")
    );
    let told = told(&world.applied);
    assert_eq!((told.len(), told[0].1.field.as_str()), (1, "system"));
    let value: Value = serde_json::from_slice(&told[0].1.value_json).unwrap();
    assert_eq!(value, system);
}

#[tokio::test]
async fn each_application_hears_of_its_account_once_and_of_a_number_where_it_is_connected() {
    let (suite, instance) = Suite::with_instance().await;
    let (first, mut second, third) = (Number::new("7", "1"), Number::new("7", "2"), Number::new("7", "3"));
    second.application = first.application;
    instance
        .push(vec![first.active(), second.active(), third.active()])
        .await;
    let banned = json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "REINSTATE"}});
    let partner = json!({"event": "PARTNER_ADDED", "waba_info": {"waba_id": "7", "owner_business_id": 5}});
    let nobodys = json!({"display_phone_number": "+1 (000) 000", "event": "PIN_CHANGED"});
    let mut own = entry("7", &[news("account_update", &banned), news("security", &nobodys)]);
    own["time"] = json!(1_795_428_000);
    let mut partners = entry("900", &[news("account_update", &partner)]);
    partners["time"] = json!("1795428000");
    let body = post(&[own, partners]);
    instance.stored(&body).await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [3, 2, 0, 0, 1, 0]);
    assert_eq!(suite.listed(4).await[0].1, "NO_CONNECTION");
    // The same again changes nothing, and is known as the same.
    instance.stored(&body).await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [6, 2, 2, 0, 2, 0]);

    let world = suite.siblings.world();
    let told = |event_type: &str| -> Vec<_> {
        let of_type = world.events.iter().filter(|record| {
            record
                .event
                .as_ref()
                .is_some_and(|event| event.event_type == event_type)
        });
        let mut told: Vec<_> = of_type
            .map(|record| (record.application_id.clone(), record.connection_id.clone()))
            .collect();
        told.sort();
        told.dedup();
        told
    };
    let mut expected = vec![
        (first.application.bytes(), Vec::new()),
        (third.application.bytes(), third.connection.bytes()),
    ];
    expected.sort();
    assert_eq!(told("account.updated"), expected);
    assert_eq!(told("connection.account_updated"), expected);
    assert!(told("phone_number.security").is_empty());
    assert!(world.applied.is_empty(), "messaging is not asked about these");
}
