//! What Meta does to accounts, and how it is told.

use std::time::Duration;

use outeract_simulator::control::AccountChange;
use serde_json::json;

use crate::stage::{Stage, USER, code};

#[tokio::test]
async fn a_banned_account_sends_nothing_and_each_change_is_told() {
    let stage = Stage::new().await;
    stage.open_window().await;
    let change = async |change: AccountChange| {
        let changed = stage.control.change_account(&stage.waba, &change).await;
        changed.expect("changed");
    };
    change(AccountChange::BanScheduled).await;
    assert_eq!(code(&stage.send(USER, "a.1").await), 0, "not yet");
    change(AccountChange::Banned).await;
    assert_eq!(code(&stage.send(USER, "b.1").await), 131_031);
    change(AccountChange::Reinstated).await;
    assert_eq!(code(&stage.send(USER, "c.1").await), 0);

    let business = vec!["RESTRICTED_BIZ_INITIATED_MESSAGING".to_owned()];
    change(AccountChange::Restricted {
        restrictions: business.clone(),
        seconds: Some(60),
    })
    .await;
    assert_eq!(code(&stage.send(USER, "d.1").await), 0, "an answer within the window");
    assert_eq!(code(&stage.send_template("hello_world", json!([])).await), 0);
    change(AccountChange::Restricted {
        restrictions: vec!["RESTRICTED_CUSTOMER_INITIATED_MESSAGING".to_owned()],
        seconds: Some(60),
    })
    .await;
    assert_eq!(code(&stage.send(USER, "e.1").await), 368);
    stage.control.advance(Duration::from_secs(61)).await.expect("advanced");
    assert_eq!(code(&stage.send(USER, "f.1").await), 0, "it has ended");

    let number = stage.number.clone();
    change(AccountChange::UsernameChanged {
        phone_number_id: number.clone(),
        username: "shop".to_owned(),
        status: "approved".to_owned(),
    })
    .await;
    change(AccountChange::Quality {
        phone_number_id: number,
        event: "FLAGGED".to_owned(),
        limit: "TIER_2K".to_owned(),
    })
    .await;
    change(AccountChange::Linked {
        event: "PARTNER_REMOVED".to_owned(),
    })
    .await;
    // Nothing more is told to an app that was removed.
    change(AccountChange::Banned).await;
    stage.idle().await;

    let told = stage.sink.changes("account_update");
    let words: Vec<_> = told
        .iter()
        .map(|(_, _, value)| {
            let ban = value["ban_info"]["waba_ban_state"].as_str();
            ban.or(value["event"].as_str()).unwrap_or_default().to_owned()
        })
        .collect();
    let restriction = "ACCOUNT_RESTRICTION";
    let expected = [
        "SCHEDULE_FOR_DISABLE",
        "DISABLE",
        "REINSTATE",
        restriction,
        restriction,
        "PARTNER_REMOVED",
    ];
    assert_eq!(words, expected);
    assert!(told[3].2["restriction_info"][0]["expiration"].is_i64());
    let removed = told.last().expect("told");
    assert_ne!(removed.0, stage.waba, "a partner's event has the partner's id");
    assert_eq!(removed.2["waba_info"]["waba_id"], stage.waba);
    assert_eq!(stage.sink.changes("business_username_update")[0].2["username"], "shop");
    assert_eq!(
        stage.sink.changes("phone_number_quality_update")[0].2["current_limit"],
        "TIER_2K"
    );
}

#[tokio::test]
async fn a_number_of_another_account_is_not_changed() {
    let stage = Stage::new().await;
    let change = AccountChange::NameDecided {
        phone_number_id: "404".to_owned(),
        decision: "APPROVED".to_owned(),
    };
    assert!(stage.control.change_account(&stage.waba, &change).await.is_err());
}
