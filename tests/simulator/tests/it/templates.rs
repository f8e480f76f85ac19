//! Templates: reading them, sending them, and what happens to them.

use std::collections::BTreeSet;

use outeract_simulator::control::{
    ChangeTemplate, ChangeUser, ChangeWaba, Inbound, LedgerQuery, NewTemplate, NewWorld, Preference,
};
use serde_json::{Value, json};

use crate::stage::{Stage, USER, code, details};

fn text(texts: &[&str]) -> Value {
    let parameters: Vec<_> = texts.iter().map(|text| json!({"type": "text", "text": text})).collect();
    json!([{"type": "body", "parameters": parameters}])
}

/// What the marketing template needs.
fn offer() -> Value {
    json!([
        {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://example.com/a.jpg"}}]},
        {"type": "body", "parameters": [{"type": "text", "text": "Ann"}, {"type": "text", "text": "20%"}]},
        {"type": "button", "sub_type": "url", "index": "1", "parameters": [{"type": "text", "text": "spring"}]},
        {"type": "button", "sub_type": "copy_code", "index": "3", "parameters":
            [{"type": "coupon_code", "coupon_code": "SPRING20"}]},
    ])
}

#[tokio::test]
async fn templates_are_listed_page_by_page() {
    let stage = Stage::new().await;
    let path = format!("{}/message_templates", stage.waba);
    let mut names = BTreeSet::new();
    let mut after = None;
    loop {
        let mut query = vec![("limit", "3"), ("fields", "name,status,quality_score")];
        if let Some(after) = after.as_deref() {
            query.push(("after", after));
        }
        let (status, page) = stage.get(&path, &query).await;
        assert_eq!(status, 200, "{page}");
        for template in page["data"].as_array().expect("data") {
            assert_eq!(template["quality_score"]["score"], "UNKNOWN");
            assert!(template["id"].is_string() && template.get("components").is_none());
            assert!(names.insert(template["name"].as_str().expect("name").to_owned()));
        }
        if page["paging"].get("next").is_none() {
            break;
        }
        after = page["paging"]["cursors"]["after"].as_str().map(str::to_owned);
    }
    let expected = [
        "delivery_update",
        "flash_sale",
        "hello_world",
        "new_arrivals",
        "order_confirmation",
        "spring_offer",
        "verification_code",
    ];
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), expected);

    let (_, whole) = stage.get(&path, &[("name", "delivery_update")]).await;
    let template = &whole["data"][0];
    assert_eq!(template["parameter_format"], "NAMED");
    assert_eq!(template["components"][0]["type"], "HEADER");
    let id = template["id"].as_str().expect("id");
    assert_eq!(stage.get(id, &[("fields", "name")]).await.1["name"], "delivery_update");
    let count = async |filter: &[(&str, &str)]| {
        let (_, page) = stage.get(&path, filter).await;
        page["data"].as_array().expect("data").len()
    };
    assert_eq!(count(&[("category", "MARKETING")]).await, 3);
    assert_eq!(count(&[("status", "PAUSED")]).await, 0);
    assert_eq!(count(&[("language", "de")]).await, 0);
    assert_eq!(code(&stage.get(&path, &[("after", "x")]).await), 100);
    assert_eq!(code(&stage.get(&path, &[("fields", "x")]).await), 100);

    let other = stage.control.create_world(&NewWorld::default()).await.expect("world");
    let foreign = format!("{}/message_templates", other.wabas[0].waba_id);
    assert_eq!(code(&stage.get(&foreign, &[]).await), 100);
}

#[tokio::test]
async fn a_template_is_sent_outside_the_window_and_priced_by_its_category() {
    let stage = Stage::new().await;
    let answer = stage
        .send_template("order_confirmation", text(&["John", "#12345"]))
        .await;
    assert_eq!(answer.0, 200, "{answer:?}");
    assert_eq!(answer.1["messages"][0]["message_status"], "accepted");
    let statuses = stage.statuses(&answer).await;
    let sent = statuses.iter().find(|status| status["status"] == "sent").expect("sent");
    assert_eq!(
        (&sent["pricing"]["category"], &sent["pricing"]["billable"]),
        (&json!("utility"), &json!(true))
    );
    let ledger = stage.control.ledger(&LedgerQuery::default()).await.expect("ledger");
    assert!(ledger[0].outside_window);
    assert_eq!(code(&stage.send_template("spring_offer", offer()).await), 0);

    let one = stage.send_template("order_confirmation", text(&["John"])).await;
    assert_eq!(code(&one), 132_000);
    assert!(details(&one).starts_with("body:"), "{one:?}");
    assert_eq!(code(&stage.send_template("order", json!([])).await), 132_001);
    let german = json!({"name": "hello_world", "language": {"code": "en"}});
    let (status, answer) = stage.message("template", german).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (404, &json!(132_001)),
        "there is no fallback"
    );
}

#[tokio::test]
async fn what_happens_to_a_template_is_told() {
    let stage = Stage::new().await;
    let new = NewTemplate {
        waba_id: stage.waba.clone(),
        name: "news".to_owned(),
        status: "PENDING".to_owned(),
        ..NewTemplate::default()
    };
    let id = stage.control.create_template(&new).await.expect("created").id;
    assert!(
        stage.control.create_template(&new).await.is_err(),
        "one of a name in a language"
    );
    let send = async || code(&stage.send_template("news", json!([])).await);
    assert_eq!(send().await, 132_001);
    for (status, expected) in [
        ("APPROVED", 0),
        ("PAUSED", 132_015),
        ("DISABLED", 132_016),
        ("REJECTED", 132_001),
        ("APPROVED", 0),
    ] {
        stage.control.set_template_status(&id, status).await.expect("changed");
        assert_eq!(send().await, expected, "{status}");
    }
    let change = ChangeTemplate {
        quality: Some("RED".to_owned()),
        components: Some(json!([{"type": "BODY", "text": "Hello {{1}}!"}, {"type": "FOOTER", "text": "Bye"}])),
        category_to_come: Some("MARKETING".to_owned()),
        category: Some("MARKETING".to_owned()),
        ..ChangeTemplate::default()
    };
    stage.control.change_template(&id, &change).await.expect("changed");
    assert_eq!(send().await, 132_000, "it has a place now");
    stage.control.delete_template(&id).await.expect("deleted");
    assert_eq!(send().await, 132_001);
    stage.idle().await;

    let told = |field: &str| -> Vec<Value> {
        let changes = stage.sink.changes(field);
        assert!(changes.iter().all(|(waba, time, _)| *waba == stage.waba && *time > 0));
        changes.into_iter().map(|(_, _, value)| value).collect()
    };
    let statuses = told("message_template_status_update");
    let number: u64 = id.parse().expect("digits");
    let mut events: Vec<_> = statuses.iter().filter_map(|value| value["event"].as_str()).collect();
    events.sort_unstable();
    assert_eq!(
        events,
        [
            "APPROVED", "APPROVED", "DELETED", "DISABLED", "PAUSED", "PENDING", "REJECTED"
        ]
    );
    assert!(
        statuses
            .iter()
            .all(|value| value["message_template_id"] == number && value["message_template_name"] == "news")
    );
    let quality = told("message_template_quality_update");
    assert_eq!(
        (&quality[0]["previous_quality_score"], &quality[0]["new_quality_score"]),
        (&json!("UNKNOWN"), &json!("RED"))
    );
    let components = told("message_template_components_update");
    assert_eq!(components[0]["message_template_element"], "Hello {{1}}!");
    let mut categories = told("template_category_update");
    categories.sort_by_key(|value| value.get("correct_category").is_some());
    assert_eq!(categories[0]["previous_category"], "UTILITY");
    assert_eq!(categories[1]["correct_category"], "MARKETING");
}

#[tokio::test]
async fn messages_of_a_paced_template_are_held() {
    let stage = Stage::new().await;
    let id = stage.template("hello_world").await;
    let pace = async |paced: bool| {
        let change = ChangeTemplate {
            paced: Some(paced),
            ..ChangeTemplate::default()
        };
        stage.control.change_template(&id, &change).await.expect("changed");
    };
    pace(true).await;
    let held = stage.send_template("hello_world", json!([])).await;
    assert_eq!(held.1["messages"][0]["message_status"], "held_for_quality_assessment");
    assert_eq!(stage.statuses(&held).await.len(), 0);
    pace(false).await;
    assert_eq!(stage.statuses(&held).await.len(), 3);

    pace(true).await;
    let lost = stage.send_template("hello_world", json!([])).await;
    stage.control.set_template_status(&id, "PAUSED").await.expect("changed");
    let statuses = stage.statuses(&lost).await;
    assert_eq!(
        (&statuses[0]["status"], &statuses[0]["errors"][0]["code"]),
        (&json!("failed"), &json!(132_015))
    );
}

#[tokio::test]
async fn marketing_reaches_only_who_takes_it() {
    let stage = Stage::new().await;
    let offers = async || code(&stage.send_template("spring_offer", offer()).await);
    let orders = async || code(&stage.send_template("order_confirmation", text(&["a", "b"])).await);
    let user = |change: ChangeUser| ChangeUser {
        user: USER.to_owned(),
        ..change
    };
    let declare = async |change: ChangeUser| stage.control.change_user(&user(change)).await.expect("declared");
    declare(ChangeUser {
        in_experiment: Some(true),
        ..ChangeUser::default()
    })
    .await;
    assert_eq!((offers().await, orders().await), (130_472, 0));
    stage.open_window().await;
    assert_eq!(offers().await, 0, "an open window lets it through");
    declare(ChangeUser {
        marketing_capped: Some(true),
        ..ChangeUser::default()
    })
    .await;
    assert_eq!((offers().await, orders().await), (131_049, 0));

    let prefer = async |value: &str| {
        let preference = Preference {
            phone_number_id: stage.number.clone(),
            user: USER.to_owned(),
            value: value.to_owned(),
            quietly: false,
        };
        stage.control.prefer(&preference).await.expect("preferred");
    };
    prefer("stop").await;
    assert_eq!((offers().await, orders().await), (131_050, 0));
    declare(ChangeUser {
        marketing_capped: Some(false),
        ..ChangeUser::default()
    })
    .await;
    prefer("resume").await;
    assert_eq!(offers().await, 0);
    stage.idle().await;
    let told = stage.sink.changes("user_preferences");
    let mut values: Vec<_> = told
        .iter()
        .map(|(_, _, value)| &value["user_preferences"][0])
        .map(|item| {
            (
                item["value"].as_str(),
                item["wa_id"].as_str(),
                item["timestamp"].is_i64(),
            )
        })
        .collect();
    values.sort_unstable();
    let wa_id = Some(&USER[1..]);
    assert_eq!(values, [(Some("resume"), wa_id, true), (Some("stop"), wa_id, true)]);
    assert_eq!(told[0].2["metadata"]["phone_number_id"], stage.number.as_str());

    let off = ChangeWaba {
        marketing_disabled: Some(true),
        ..ChangeWaba::default()
    };
    stage.control.change_waba(&stage.waba, &off).await.expect("changed");
    assert_eq!((offers().await, orders().await), (131_063, 0));
}

#[tokio::test]
async fn a_code_needs_a_number() {
    let stage = Stage::new().await;
    let injected = Inbound {
        phone_number_id: stage.number.clone(),
        user_id: Some("US.13491208655302741918".to_owned()),
        text: "hi".to_owned(),
        ..Inbound::default()
    };
    stage.control.inbound(&[injected]).await.expect("injected");
    let template = json!({"name": "verification_code", "language": {"code": "en_US"}, "components": [
        {"type": "body", "parameters": [{"type": "text", "text": "123456"}]},
        {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "123456"}]},
    ]});
    let to_id = json!({"recipient": "US.13491208655302741918"});
    let answer = stage.message_with("template", template.clone(), &to_id).await;
    assert_eq!(code(&answer), 131_062);
    assert_eq!(code(&stage.message("template", template).await), 0);
}
