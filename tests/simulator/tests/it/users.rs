//! Users without numbers, users whose numbers differ, users whose ids change.

use outeract_simulator::Config;
use outeract_simulator::control::{ChangeUser, ChangeUserId, Inbound, LedgerQuery, NewWorld};
use serde_json::{Value, json};

use crate::stage::{Stage, USER, code};

const ID: &str = "US.13491208655302741918";

async fn say(stage: &Stage, from: &str, user_id: Option<&str>) {
    let message = Inbound {
        phone_number_id: stage.number.clone(),
        from: from.to_owned(),
        text: "hi".to_owned(),
        user_id: user_id.map(str::to_owned),
        ..Inbound::default()
    };
    stage.control.inbound(&[message]).await.expect("injected");
}

fn hello() -> Value {
    json!({"body": "hello"})
}

#[tokio::test]
async fn a_user_with_a_username_alone_is_reached_by_the_id() {
    let stage = Stage::new().await;
    let named = ChangeUser {
        user: ID.to_owned(),
        username: Some("@ann".to_owned()),
        ..ChangeUser::default()
    };
    stage.control.change_user(&named).await.expect("declared");
    say(&stage, "", Some(ID)).await;
    stage.idle().await;
    let (_, _, value) = &stage.sink.changes("messages")[0];
    assert_eq!(value["messages"][0]["from_user_id"], ID);
    assert!(value["messages"][0].get("from").is_none());
    assert_eq!(value["contacts"][0]["profile"]["username"], "@ann");
    assert!(value["contacts"][0].get("wa_id").is_none());

    let answer = stage.message_with("text", hello(), &json!({"recipient": ID})).await;
    assert_eq!(answer.0, 200, "{answer:?}");
    let contact = &answer.1["contacts"][0];
    assert_eq!((&contact["input"], &contact["user_id"]), (&json!(ID), &json!(ID)));
    assert!(contact.get("wa_id").is_none());
    for status in stage.statuses(&answer).await {
        assert!(status.get("recipient_id").is_none());
        assert_eq!(status["recipient_user_id"], ID);
    }
    let ledger = stage.control.ledger(&LedgerQuery::default()).await.expect("ledger");
    assert_eq!((ledger[0].user.as_str(), ledger[0].wa_id.as_str()), (ID, ""));
}

#[tokio::test]
async fn number_and_id_are_one_user_with_one_window() {
    let stage = Stage::new().await;
    say(&stage, USER, None).await;
    let seen = stage.control.user(&stage.number, USER).await.expect("seen");
    assert!(seen.window_open && seen.parent_user_id.is_none());
    let to_id = json!({"recipient": seen.user_id});
    let by_id = stage.message_with("text", hello(), &to_id).await;
    assert_eq!(by_id.1["contacts"][0]["wa_id"], &USER[1..]);
    let to_both = json!({"to": "+16505559999", "recipient": seen.user_id});
    assert_eq!(
        code(&stage.message_with("text", hello(), &to_both).await),
        131_047,
        "the number wins"
    );
    let to_both = json!({"to": USER, "recipient": seen.user_id});
    let both = stage.message_with("text", hello(), &to_both).await;
    assert_eq!(both.0, 200);
    assert!(both.1["contacts"][0].get("user_id").is_none());
    let of_user = LedgerQuery {
        user: Some(USER[1..].to_owned()),
        ..LedgerQuery::default()
    };
    assert_eq!(stage.control.ledger(&of_user).await.expect("ledger").len(), 2);

    let other = stage.control.create_world(&NewWorld::default()).await.expect("world");
    let number = &other.wabas[0].numbers[0].phone_number_id;
    let theirs = stage.control.user(number, USER).await.expect("seen");
    let foreign = stage
        .message_with("text", hello(), &json!({"recipient": theirs.user_id}))
        .await;
    assert_eq!(code(&foreign), 131_026);
}

#[tokio::test]
async fn a_parent_id_works_where_portfolios_are_enrolled() {
    let world = NewWorld {
        parent_user_ids: true,
        ..NewWorld::default()
    };
    let stage = Stage::with(Config::default(), world).await;
    say(&stage, USER, None).await;
    let seen = stage.control.user(&stage.number, USER).await.expect("seen");
    let parent = seen.parent_user_id.expect("parent");
    let answer = stage.message_with("text", hello(), &json!({"recipient": parent})).await;
    assert_eq!(answer.0, 200, "{answer:?}");
    let statuses = stage.statuses(&answer).await;
    assert_eq!(statuses[0]["recipient_parent_user_id"], parent.as_str());
    let inbound = &stage.sink.items()[0];
    assert_eq!(inbound["from_parent_user_id"], parent.as_str());
}

#[tokio::test]
async fn a_changed_id_is_told_and_replaces_the_old_one() {
    let stage = Stage::new().await;
    say(&stage, USER, None).await;
    let before = stage.control.user(&stage.number, USER).await.expect("seen").user_id;
    let change = ChangeUserId {
        phone_number_id: stage.number.clone(),
        user: USER.to_owned(),
        user_id: ID.to_owned(),
        quietly: false,
    };
    stage.control.change_user_id(&change).await.expect("changed");
    stage.idle().await;
    let (_, _, value) = &stage.sink.changes("user_id_update")[0];
    let item = &value["user_id_update"][0];
    assert_eq!(item["user_id"], json!({"previous": before, "current": ID}));
    assert_eq!(item["wa_id"], &USER[1..]);
    assert_eq!(
        code(&stage.message_with("text", hello(), &json!({"recipient": before})).await),
        131_026
    );
    assert_eq!(
        code(&stage.message_with("text", hello(), &json!({"recipient": ID})).await),
        0
    );
}

#[tokio::test]
async fn whatsapp_may_know_a_number_by_another() {
    let stage = Stage::new().await;
    let brazilian = ChangeUser {
        user: "+5531912345678".to_owned(),
        wa_id: Some("553112345678".to_owned()),
        ..ChangeUser::default()
    };
    stage.control.change_user(&brazilian).await.expect("declared");
    say(&stage, "553112345678", None).await;
    let answer = stage.send("+5531912345678", "a.1").await;
    assert_eq!(answer.0, 200, "one user, one window");
    let contact = &answer.1["contacts"][0];
    assert_eq!(
        (&contact["input"], &contact["wa_id"]),
        (&json!("+5531912345678"), &json!("553112345678"))
    );
    assert_eq!(stage.statuses(&answer).await[0]["recipient_id"], "553112345678");
}

#[tokio::test]
async fn who_cannot_be_reached_is_told_at_once_or_later() {
    let stage = Stage::new().await;
    stage.open_window().await;
    let gone = |fails_later: bool| ChangeUser {
        user: USER.to_owned(),
        unreachable: Some(true),
        fails_later: Some(fails_later),
        ..ChangeUser::default()
    };
    stage.control.change_user(&gone(false)).await.expect("declared");
    assert_eq!(code(&stage.send(USER, "a.1").await), 131_026);
    stage.control.change_user(&gone(true)).await.expect("declared");
    let answer = stage.send(USER, "a.2").await;
    let statuses = stage.statuses(&answer).await;
    assert_eq!(statuses.len(), 1);
    assert_eq!(
        (&statuses[0]["status"], &statuses[0]["errors"][0]["code"]),
        (&json!("failed"), &json!(131_026))
    );
    assert!(statuses[0].get("recipient_user_id").is_none());
}

#[tokio::test]
async fn a_hidden_number_is_not_shown() {
    let stage = Stage::new().await;
    let hidden = ChangeUser {
        user: USER.to_owned(),
        hidden: Some(true),
        ..ChangeUser::default()
    };
    stage.control.change_user(&hidden).await.expect("declared");
    say(&stage, USER, None).await;
    stage.idle().await;
    let inbound = &stage.sink.items()[0];
    assert!(inbound.get("from").is_none() && inbound["from_user_id"].is_string());
    let answer = stage
        .message_with("text", hello(), &json!({"recipient": inbound["from_user_id"]}))
        .await;
    assert_eq!(answer.0, 200, "{answer:?}");
    assert_eq!(
        code(&stage.send(USER, "a.1").await),
        0,
        "whoever knows the number can dial it"
    );
}
