//! Lists of templates and news of them, as the simulator writes both.

#![expect(clippy::expect_used, reason = "what is not as expected fails the test")]
#![expect(dead_code, reason = "what several tests share is not used whole by each")]

mod support;

use std::time::Duration;

use outeract_egress::{Client as Http, Config as HttpConfig};
use outeract_graph::template::{Button, Change, News, Parts};
use outeract_graph::{CallError, Client, Token};
use outeract_seal::Secret;
use outeract_simulator::control::{ChangeWaba, NewWorld};
use outeract_simulator::{Config, Simulator};
use support::Sink;

#[tokio::test]
async fn templates_are_listed_page_by_page_and_their_news_is_understood() {
    let sink = Sink::start().await;
    let config = Config {
        webhook_url: Some(sink.url.clone()),
        ..Config::default()
    };
    let secret = Secret::from(config.app_secret.as_str());
    let meta = Simulator::start(config).await.expect("starts");
    let control = meta.client().expect("control");
    let new = NewWorld {
        subscribed: true,
        ..NewWorld::default()
    };
    let world = control.create_world(&new).await.expect("world");
    let http = Http::new(&HttpConfig::default()).expect("client");
    let client = Client::new(http, &meta.url(), "v25.0");
    let token = Token::with_app_secret(Secret::from(world.token.as_str()), &secret);
    let account = world.wabas[0].waba_id.clone();
    let waba = account.parse().expect("digits");
    let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let (page, usage) = client.list_templates(&token, &waba, after.as_deref(), 3).await;
        let page = page.expect("a page");
        assert_eq!(
            (page.unreadable, usage.app_percent, usage.regain_after),
            (0, 0, Duration::ZERO)
        );
        pages += 1;
        listed.extend(page.templates);
        after = page.after;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((listed.len(), pages), (7, 3));
    let update = listed
        .iter()
        .find(|template| template.name == "delivery_update")
        .expect("there");
    assert_eq!(
        (
            update.named,
            update.status.as_str(),
            update.quality.as_str(),
            update.reason.as_str()
        ),
        (Some(true), "APPROVED", "UNKNOWN", "")
    );
    let code = listed
        .iter()
        .find(|template| template.name == "verification_code")
        .expect("there");
    let parts = Parts::parse(code.components.as_bytes()).expect("parts");
    assert_eq!(parts.buttons, [Button::OneTimeCode]);

    control.set_template_status(&update.id, "PAUSED").await.expect("paused");
    assert!(control.idle(Duration::from_secs(20)).await.expect("idle"));
    let told = sink.posts().into_iter().flat_map(|(_, body)| {
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        body["entry"][0]["changes"].as_array().cloned().unwrap_or_default()
    });
    let told = told.filter(|change| change["field"] == "message_template_status_update");
    let news: Vec<_> = told
        .filter_map(|change| News::parse("message_template_status_update", change["value"].to_string().as_bytes()))
        .collect();
    let [news] = &news[..] else {
        panic!("one piece of news, not {}", news.len())
    };
    assert_eq!(
        (&news.id, news.name.as_str(), news.language.as_str()),
        (&update.id, "delivery_update", "en_US")
    );
    assert!(matches!(&news.change, Change::Status { event, .. } if event == "PAUSED"));

    let spent = ChangeWaba {
        management_calls_per_hour: Some(1),
        ..ChangeWaba::default()
    };
    control.change_waba(&account, &spent).await.expect("changed");
    let (refused, usage) = client.list_templates(&token, &waba, None, 3).await;
    let Err(CallError::Refused(error)) = refused else {
        panic!("refused")
    };
    assert_eq!((error.code, usage.account_percent >= 100), (80_007, true));
    assert!(usage.regain_after > Duration::from_mins(50), "{usage:?}");
}
