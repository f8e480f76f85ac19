//! Limits, and how they are told.

use std::time::Duration;

use outeract_simulator::control::{ChangeNumber, ChangePortfolio, ChangeWaba, Inbound, NewWorld, Tier, Told};
use outeract_simulator::{Config, Switches};
use serde_json::json;

use crate::stage::{Stage, USER, code};

#[tokio::test]
async fn limits_answer_with_their_codes() {
    let world = NewWorld {
        throughput: 1_000,
        tier: Tier::Users250,
        ..NewWorld::default()
    };
    let stage = Stage::with(Config::default(), world).await;
    stage.open_window().await;
    let mut codes = Vec::new();
    for index in 0..50 {
        codes.push(code(&stage.send(USER, &format!("p{index}.1")).await));
    }
    assert_eq!(
        codes.iter().filter(|code| **code == 131_056).count(),
        5,
        "45 pass: {codes:?}"
    );
    // Two minutes pay for twenty of the forty-five messages, five for all.
    stage.control.advance(Duration::from_mins(2)).await.expect("advanced");
    assert_eq!(code(&stage.send(USER, "later.1").await), 131_056);
    stage.control.advance(Duration::from_mins(3)).await.expect("advanced");
    assert_eq!(code(&stage.send(USER, "later.1").await), 0);

    let only = |switches: Switches| stage.control.set_switches(switches);
    only(Switches {
        throughput: true,
        ..Switches::OFF
    })
    .await
    .expect("switched");
    let change = ChangeNumber {
        throughput: Some(3),
        ..ChangeNumber::default()
    };
    stage
        .control
        .change_number(&stage.number, &change)
        .await
        .expect("changed");
    stage.control.advance(Duration::from_secs(10)).await.expect("advanced");
    let mut codes = Vec::new();
    for index in 0..5 {
        codes.push(code(&stage.send(USER, &format!("t{index}.1")).await));
    }
    assert!(
        codes[..3].iter().all(|code| *code == 0) && codes.contains(&130_429),
        "{codes:?}"
    );

    only(Switches {
        tier: true,
        ..Switches::OFF
    })
    .await
    .expect("switched");
    for index in 0..250 {
        assert_eq!(code(&stage.send(&format!("+1650555{index:04}"), "u.1").await), 0);
    }
    assert_eq!(code(&stage.send("+16505559999", "u.1").await), 131_048);

    only(Switches {
        window: true,
        window_fails_later: true,
        ..Switches::OFF
    })
    .await
    .expect("switched");
    let (status, answer) = stage.send("+16505550000", "w.1").await;
    assert_eq!(status, 200);
    stage.idle().await;
    let items = stage.sink.items();
    let failed = items
        .iter()
        .find(|item| item["id"] == answer["messages"][0]["id"])
        .expect("status");
    assert_eq!(
        (&failed["status"], &failed["errors"][0]["code"]),
        (&json!("failed"), &json!(131_047))
    );
}

const DAY: Duration = Duration::from_hours(24);

fn user(index: usize) -> String {
    format!("+1650555{index:04}")
}

#[tokio::test]
async fn the_tier_counts_users_of_a_moving_day_and_leaves_replies_alone() {
    let world = NewWorld {
        wabas: 2,
        throughput: 1_000,
        ..NewWorld::default()
    };
    let stage = Stage::with(Config::default(), world).await;
    let hello = async |to: &str| {
        let template = json!({"name": "hello_world", "language": {"code": "en_US"}});
        let answer = stage.message_with("template", template, &json!({"to": to})).await;
        code(&answer)
    };
    let mut accepted = 0;
    for index in 0..300 {
        accepted += usize::from(hello(&user(index)).await == 0);
    }
    assert_eq!(accepted, 250);
    assert_eq!(hello(&user(299)).await, 131_048);
    assert_eq!(hello(&user(0)).await, 0, "one of the 250 is no further user");
    let limit = stage.control.portfolio(&stage.portfolio).await.expect("state");
    assert_eq!((limit.tier, limit.unique_users), (Tier::Users250, 250));
    stage.open_window().await;
    assert_eq!(code(&stage.send(USER, "reply.1").await), 0, "who wrote does not count");

    stage.control.advance(DAY / 2).await.expect("advanced");
    assert_eq!(hello(&user(1)).await, 0);
    stage.control.advance(DAY / 2).await.expect("advanced");
    let limit = stage.control.portfolio(&stage.portfolio).await.expect("state");
    assert_eq!(limit.unique_users, 1, "all but the one of noon are a day ago");

    stage
        .control
        .set_tier(&stage.portfolio, Tier::Users2K)
        .await
        .expect("changed");
    let summary = stage.control.summary().await.expect("summary");
    assert_eq!(summary.users, (251, 250));
}

#[tokio::test]
async fn what_the_pairs_rate_refuses_is_no_user_of_the_day() {
    let stage = Stage::new().await;
    let only = Switches {
        pair: true,
        tier: true,
        ..Switches::OFF
    };
    stage.control.set_switches(only).await.expect("switched");
    for index in 0..45 {
        assert_eq!(code(&stage.send(USER, &format!("a{index}.1")).await), 0);
    }
    stage
        .control
        .advance(Duration::from_secs(24 * 3_600 - 10))
        .await
        .expect("advanced");
    stage.control.advance(Duration::from_secs(9)).await.expect("advanced");
    for index in 0..46 {
        let refused = code(&stage.send(USER, &format!("b{index}.1")).await);
        assert_eq!(refused, if index < 45 { 0 } else { 131_056 });
    }
    let count = stage
        .control
        .portfolio(&stage.portfolio)
        .await
        .expect("state")
        .unique_users;
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_changed_tier_is_told_to_every_account() {
    let world = NewWorld {
        wabas: 2,
        ..NewWorld::default()
    };
    let stage = Stage::with(Config::default(), world).await;
    stage
        .control
        .set_tier(&stage.portfolio, Tier::Users10K)
        .await
        .expect("changed");
    let number = ChangePortfolio {
        tier: Some(Tier::Unlimited),
        told: Told::Number,
    };
    stage
        .control
        .change_portfolio(&stage.portfolio, &number)
        .await
        .expect("changed");
    stage.idle().await;
    let told = stage.sink.changes("business_capability_update");
    let limits: Vec<_> = told
        .iter()
        .map(|(_, _, value)| value["max_daily_conversations_per_business"].clone())
        .collect();
    assert_eq!(limits.iter().filter(|limit| **limit == "TIER_10K").count(), 2);
    assert_eq!(limits.iter().filter(|limit| **limit == -1).count(), 2);
    assert!(told.iter().all(|(_, time, _)| *time > 1_000_000_000));

    let (_, number) = stage
        .get(
            &stage.number,
            &[("fields", "whatsapp_business_manager_messaging_limit")],
        )
        .await;
    assert_eq!(number["whatsapp_business_manager_messaging_limit"], "TIER_UNLIMITED");
    let fields = "id,owner_business_info,whatsapp_business_manager_messaging_limit";
    let (_, waba) = stage.get(&stage.waba, &[("fields", fields)]).await;
    assert_eq!(waba["owner_business_info"]["id"], stage.portfolio.as_str());
    assert_eq!(waba["whatsapp_business_manager_messaging_limit"], "TIER_UNLIMITED");
    assert_eq!(stage.get(&stage.waba, &[("fields", "surprise")]).await.0, 400);

    let faster = ChangeNumber {
        throughput: Some(1_000),
        announce: true,
        ..ChangeNumber::default()
    };
    stage
        .control
        .change_number(&stage.number, &faster)
        .await
        .expect("changed");
    stage.idle().await;
    let told = stage.sink.changes("phone_number_quality_update");
    assert_eq!(told[0].2["event"], "THROUGHPUT_UPGRADE");
}

#[tokio::test]
async fn management_calls_are_counted_and_told() {
    let stage = Stage::new().await;
    let few = ChangeWaba {
        management_calls_per_hour: Some(4),
        ..ChangeWaba::default()
    };
    stage.control.change_waba(&stage.waba, &few).await.expect("changed");
    let call = async |path: String| {
        let request = stage
            .http
            .get(format!("{}/v25.0/{path}", stage.handle.url()))
            .query(&[("appsecret_proof", stage.proof.as_str())])
            .bearer_auth(&stage.token);
        let response = request.send().await.expect("answer");
        let header = response.headers().get("x-business-use-case-usage").cloned();
        let header = header.expect("header").to_str().expect("text").to_owned();
        let usage: serde_json::Value = serde_json::from_str(&header).expect("json");
        let usage = usage[&stage.waba][0].clone();
        assert_eq!(usage["type"], "whatsapp_business_management");
        (response.status().as_u16(), usage)
    };
    let paths = [
        format!("{}/phone_numbers", stage.waba),
        format!("{}/message_templates", stage.waba),
        stage.number.clone(),
        stage.waba.clone(),
    ];
    for (index, path) in paths.into_iter().enumerate() {
        let (status, usage) = call(path).await;
        assert_eq!(
            (status, usage["call_count"].as_u64()),
            (200, Some((index as u64 + 1) * 25))
        );
    }
    let (status, usage) = call(stage.waba.clone()).await;
    assert_eq!(status, 400);
    assert!((59..=60).contains(&usage["estimated_time_to_regain_access"].as_i64().expect("minutes")));
    assert_eq!(code(&stage.get(&stage.waba, &[]).await), 80_007);
    stage.open_window().await;
    assert_eq!(code(&stage.send(USER, "a.1").await), 0, "sending is another budget");
    stage.control.advance(Duration::from_hours(1)).await.expect("advanced");
    assert_eq!(call(stage.waba.clone()).await.0, 200);
}

#[tokio::test]
async fn what_comes_in_counts_against_the_throughput() {
    let world = NewWorld {
        throughput: 10,
        ..NewWorld::default()
    };
    let stage = Stage::with(Config::default(), world).await;
    let one = Inbound {
        phone_number_id: stage.number.clone(),
        from: USER.to_owned(),
        text: "hi".to_owned(),
        ..Inbound::default()
    };
    let ten = vec![one; 10];
    // The clock moves on while this runs: what is asked is only that the tenth of a second is not free.
    stage.control.inbound(&ten).await.expect("injected");
    assert_eq!(code(&stage.send(USER, "a.1").await), 130_429);
    stage.control.advance(Duration::from_secs(1)).await.expect("advanced");
    assert_eq!(code(&stage.send(USER, "a.1").await), 0);
}
