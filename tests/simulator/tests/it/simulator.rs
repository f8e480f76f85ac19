use std::time::Duration;

use outeract_simulator::control::{ChangeToken, LedgerQuery, NewWorld, RawItem, RawPost};
use outeract_simulator::{Config, Effect, Match, Simulator, Switches};
use serde_json::{Value, json};

use crate::stage::{Stage, USER, code, text};

#[tokio::test]
async fn one_messages_life() {
    let stage = Stage::new().await;
    assert_eq!(
        code(&stage.send(USER, "evt_1.1").await),
        131_047,
        "the window is closed at first"
    );
    stage.open_window().await;
    let (status, answer) = stage.send(USER, "evt_1.1").await;
    assert_eq!(status, 200);
    assert_eq!(answer["contacts"][0]["wa_id"], "16505551234");
    let wamid = answer["messages"][0]["id"].as_str().expect("id").to_owned();
    stage.idle().await;

    let items = stage.sink.items();
    let inbound = items.iter().find(|item| item["type"] == "text").expect("inbound");
    assert_eq!(inbound["text"]["body"], "hi");
    let mut statuses: Vec<_> = items.iter().filter(|item| item["id"] == wamid.as_str()).collect();
    statuses.sort_by_key(|item| item["status"].as_str().map(str::to_owned));
    let words: Vec<_> = statuses.iter().filter_map(|item| item["status"].as_str()).collect();
    assert_eq!(words, ["delivered", "read", "sent"]);
    assert!(
        statuses
            .iter()
            .all(|item| item["biz_opaque_callback_data"] == "evt_1.1")
    );

    let ledger = stage.control.ledger(&LedgerQuery::default()).await.expect("ledger");
    assert_eq!(ledger.len(), 1);
    assert_eq!(
        (ledger[0].wamid.as_str(), ledger[0].callback.as_deref()),
        (wamid.as_str(), Some("evt_1.1"))
    );
    assert_eq!(ledger[0].delivered_statuses, ["sent", "delivered", "read"]);
}

#[tokio::test]
async fn tokens_proofs_and_permissions_are_checked() {
    let stage = Stage::new().await;
    let path = format!("{}/v25.0/{}/phone_numbers", stage.handle.url(), stage.waba);
    let get = async |token: &str, proof: Option<&str>| {
        let mut request = stage.http.get(&path).bearer_auth(token);
        if let Some(proof) = proof {
            request = request.query(&[("appsecret_proof", proof)]);
        }
        let response = request.send().await.expect("answer");
        let status = response.status().as_u16();
        let body: Value = response.json().await.expect("json");
        (
            status,
            body["error"]["code"].as_i64().unwrap_or(0),
            body["error"]["error_subcode"].as_i64().unwrap_or(0),
        )
    };
    assert_eq!(get(&stage.token, Some(&stage.proof)).await, (200, 0, 0));
    assert_eq!(get(&stage.token, None).await, (400, 100, 0));
    assert_eq!(get(&stage.token, Some("00")).await, (400, 100, 0));
    assert_eq!(get("EAAother", Some(&stage.proof)).await, (401, 190, 0));
    let bare = stage.http.get(&path).send().await.expect("answer");
    assert_eq!(bare.json::<Value>().await.expect("json")["error"]["code"], 104);

    let other = stage.control.create_world(&NewWorld::default()).await.expect("world");
    let foreign = format!("{}/phone_numbers", other.wabas[0].waba_id);
    let (status, answer) = stage.call(reqwest::Method::GET, &foreign, &[], None).await;
    assert_eq!(
        (status, &answer["error"]["code"], &answer["error"]["error_subcode"]),
        (400, &json!(100), &json!(33))
    );

    let change = ChangeToken {
        token: stage.token.clone(),
        revoked: Some(true),
        expires_in_seconds: None,
    };
    stage.control.change_token(&change).await.expect("changed");
    assert_eq!(get(&stage.token, Some(&stage.proof)).await, (401, 190, 463));

    let scopes = Some(vec!["whatsapp_business_management".to_owned()]);
    let stage = Stage::with(
        Config::default(),
        NewWorld {
            scopes,
            ..NewWorld::default()
        },
    )
    .await;
    assert_eq!(code(&stage.send(USER, "a.1").await), 10);
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let stage = Stage::new().await;
    stage.control.set_switches(Switches::OFF).await.expect("off");
    let once = || Match {
        count: Some(1),
        ..Match::default()
    };
    let fail = async |effect: Effect, callback: &str| {
        stage.control.fault(once(), effect).await.expect("rule");
        let url = format!(
            "{}/v25.0/{}/messages?appsecret_proof={}",
            stage.handle.url(),
            stage.number,
            stage.proof
        );
        let request = stage
            .http
            .post(url)
            .bearer_auth(&stage.token)
            .json(&text(USER, callback));
        match request.send().await {
            Err(_) => "no answer".to_owned(),
            Ok(response) => {
                let status = response.status().as_u16();
                response
                    .text()
                    .await
                    .map_or_else(|_| format!("{status} cut"), |body| format!("{status} {body}"))
            }
        }
    };
    assert_eq!(fail(Effect::ResetBefore, "a.1").await, "no answer");
    assert_eq!(fail(Effect::ResponseLost, "b.1").await, "no answer");
    assert_eq!(fail(Effect::ResetAfter, "c.1").await, "no answer");
    assert_eq!(fail(Effect::Truncated, "d.1").await, "200 cut");
    assert!(fail(Effect::NonJson, "e.1").await.starts_with("200 <!DOCTYPE"));
    assert!(fail(Effect::NoId, "f.1").await.ends_with(r#""messages":[]}"#));
    let refused =
        serde_json::from_value(json!({"kind": "error", "code": 131_016, "is_transient": true})).expect("effect");
    assert!(fail(refused, "g.1").await.contains(r#""code":131016"#));
    let gateway = json!({"kind": "respond", "status": 502, "content_type": "text/html", "body": "bad gateway"});
    assert_eq!(
        fail(serde_json::from_value(gateway).expect("effect"), "h.1").await,
        "502 bad gateway"
    );
    let accepted: Vec<_> = stage.control.whole_ledger().await.expect("ledger");
    let callbacks: Vec<_> = accepted.iter().filter_map(|entry| entry.callback.as_deref()).collect();
    assert_eq!(callbacks, ["b.1", "c.1", "d.1", "e.1", "f.1"]);

    stage.control.fault(once(), Effect::EarlyStatus).await.expect("rule");
    let (_, answer) = stage.send(USER, "early.1").await;
    let id = &answer["messages"][0]["id"];
    assert!(
        stage.sink.items().iter().any(|item| &item["id"] == id),
        "the status came before the answer"
    );

    stage
        .control
        .fault(once(), Effect::DuplicateWebhooks { times: 3 })
        .await
        .expect("rule");
    let (_, answer) = stage.send(USER, "twice.1").await;
    stage.idle().await;
    let id = &answer["messages"][0]["id"];
    assert_eq!(stage.sink.items().iter().filter(|item| &item["id"] == id).count(), 9);

    stage.control.fault(once(), Effect::DropCallback).await.expect("rule");
    let withheld = Effect::WithholdStatuses {
        statuses: vec!["sent".to_owned(), "read".to_owned()],
    };
    stage.control.fault(once(), withheld).await.expect("rule");
    let (_, answer) = stage.send(USER, "quiet.1").await;
    stage.idle().await;
    let items = stage.sink.items();
    let of: Vec<_> = items
        .iter()
        .filter(|item| item["id"] == answer["messages"][0]["id"])
        .collect();
    assert_eq!(of.len(), 1);
    assert_eq!(
        (&of[0]["status"], of[0].get("biz_opaque_callback_data")),
        (&json!("delivered"), None)
    );

    stage.send(USER, "again.1").await;
    stage.send(USER, "again.2").await;
    let summary = stage.control.summary().await.expect("summary");
    assert_eq!(summary.duplicates.get("again"), Some(&2));
    assert_eq!(summary.duplicates.len(), 1);
}

#[tokio::test]
async fn webhooks_are_batched_held_back_and_retried() {
    let world = NewWorld {
        numbers_per_waba: 100,
        ..NewWorld::default()
    };
    let stage = Stage::with(Config::default(), world).await;
    stage.control.set_switches(Switches::OFF).await.expect("off");
    stage.control.pause_webhooks(true).await.expect("paused");
    for index in 0..40 {
        stage.send(USER, &format!("m{index}.1")).await;
    }
    stage.sink.refuse(3);
    assert!(!stage.control.idle(Duration::from_millis(50)).await.expect("answer"));
    stage.control.pause_webhooks(false).await.expect("resumed");
    stage.idle().await;
    assert_eq!(stage.sink.items().len(), 120);
    let stats = stage.control.stats().await.expect("stats");
    assert_eq!((stats.posts_failed, stats.waiting), (3, 0));
    assert!(stats.posts < 60, "{stats:?}");
    let summary = stage.control.summary().await.expect("summary");
    assert_eq!(
        (summary.delivered["sent"], summary.delivered["read"], summary.lost),
        (40, 40, 0)
    );
}

#[tokio::test]
async fn raw_items_and_posts_reach_the_callback() {
    let stage = Stage::new().await;
    let item = RawItem {
        phone_number_id: stage.number.clone(),
        list: "messages".to_owned(),
        item: json!({"type": "sticker", "id": "wamid.X", "from": "1", "emoji": "ä😀"}),
    };
    stage.control.items(&[item]).await.expect("sent");
    stage.idle().await;
    assert_eq!(stage.sink.items()[0]["emoji"], "ä😀");
    assert!(stage.sink.bodies()[0].is_ascii());

    let post = async |signature: Option<&str>| {
        let post = RawPost {
            body: Some("{\"a\": 1}".to_owned()),
            signature: signature.map(str::to_owned),
            ..RawPost::default()
        };
        stage.control.post(&post).await.expect("posted").status
    };
    assert_eq!(post(None).await, Some(200));
    assert_eq!(post(Some("none")).await, Some(401));
    assert_eq!(post(Some("sha256=00")).await, Some(401));
}

#[tokio::test]
async fn accounts_and_subscriptions_answer_like_metas() {
    let config = Config::default();
    let app = config.app_id.clone();
    let app_token = format!("{app}|{}", config.app_secret);
    let world = NewWorld {
        numbers_per_waba: 30,
        ..NewWorld::default()
    };
    let stage = Stage::with(config.clone(), world).await;
    let path = format!("{}/phone_numbers", stage.waba);
    let (_, page) = stage
        .call(
            reqwest::Method::GET,
            &path,
            &[("fields", "id,display_phone_number,status")],
            None,
        )
        .await;
    assert_eq!(page["data"].as_array().expect("data").len(), 25);
    assert_eq!(page["data"][0]["status"], "CONNECTED");
    let after = page["paging"]["cursors"]["after"].as_str().expect("cursor");
    let (_, page) = stage.call(reqwest::Method::GET, &path, &[("after", after)], None).await;
    assert_eq!(page["data"].as_array().expect("data").len(), 5);
    assert_eq!(page["paging"].get("next"), None);

    let path = format!("{}/subscribed_apps", stage.waba);
    let (_, apps) = stage.call(reqwest::Method::GET, &path, &[], None).await;
    assert_eq!(apps["data"][0]["whatsapp_business_api_data"]["id"], app.as_str());
    stage.call(reqwest::Method::DELETE, &path, &[], None).await;
    stage.open_window().await;
    stage.idle().await;
    assert_eq!(
        stage.sink.items().len(),
        0,
        "an account that is not subscribed has no webhooks"
    );
    let (_, done) = stage.call(reqwest::Method::POST, &path, &[], None).await;
    assert_eq!(done["success"], true);

    let graph = |path: &str| format!("{}/v25.0/{path}", stage.handle.url());
    let query = [
        ("input_token", stage.token.as_str()),
        ("access_token", app_token.as_str()),
    ];
    let response = stage
        .http
        .get(graph("debug_token"))
        .query(&query)
        .send()
        .await
        .expect("answer");
    let debug: Value = response.json().await.expect("json");
    assert_eq!(debug["data"]["is_valid"], true);
    assert_eq!(
        debug["data"]["granular_scopes"][0]["target_ids"][0],
        stage.waba.as_str()
    );

    let subscribe = async |token: &str| {
        let form = [
            ("object", "whatsapp_business_account"),
            ("callback_url", stage.sink.url.as_str()),
            ("verify_token", token),
            ("fields", "messages,account_update"),
        ];
        let request = stage
            .http
            .post(graph(&format!("{app}/subscriptions")))
            .bearer_auth(&app_token)
            .form(&form);
        request
            .send()
            .await
            .expect("answer")
            .json::<Value>()
            .await
            .expect("json")
    };
    assert_eq!(subscribe("wrong").await["error"]["code"], 2200);
    assert_eq!(subscribe(&config.verify_token).await["success"], true);
    let request = stage
        .http
        .get(graph(&format!("{app}/subscriptions")))
        .bearer_auth(&app_token);
    let list: Value = request.send().await.expect("answer").json().await.expect("json");
    assert_eq!(list["data"][0]["fields"][1]["name"], "account_update");

    let exchange = [
        ("grant_type", "client_credentials"),
        ("client_id", app.as_str()),
        ("client_secret", config.app_secret.as_str()),
    ];
    let url = format!("{}/oauth/access_token", stage.handle.url());
    let token: Value = stage
        .http
        .get(url)
        .query(&exchange)
        .send()
        .await
        .expect("answer")
        .json()
        .await
        .expect("json");
    assert!(token["access_token"].as_str().expect("token").starts_with(&app));
}

#[tokio::test]
async fn the_floor_answers_anything_with_a_new_id() {
    let handle = Simulator::start(Config::default()).await.expect("starts");
    let http = reqwest::Client::builder().no_proxy().build().expect("client");
    let url = format!("{}/bare/v25.0/1/messages", handle.url());
    let first: Value = http
        .post(&url)
        .body("x")
        .send()
        .await
        .expect("answer")
        .json()
        .await
        .expect("json");
    let second: Value = http
        .post(&url)
        .body("x")
        .send()
        .await
        .expect("answer")
        .json()
        .await
        .expect("json");
    assert_ne!(first["messages"][0]["id"], second["messages"][0]["id"]);
    handle.stop().await;
}
