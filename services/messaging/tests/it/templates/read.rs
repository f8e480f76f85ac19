//! Reading and listing.

use std::time::Duration;

use outeract_clock::{SystemClock, SystemRandom};
use outeract_domain::{ApplicationId, ConnectionId, KeyId};
use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::messaging::v1::{GetTemplateRequest, TemplateCategory, TemplateStatus};
use outeract_rpc::KeyText;
use outeract_simulator::control::{ChangeTemplate, ChangeWaba, NewTemplate};
use serde_json::Value;

use super::*;

#[tokio::test]
async fn templates_are_read_when_an_account_is_connected_and_listed_in_pages() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.templates(&suite.key).await;
    suite.templates_known().await;

    let pages = suite.list(&mut client, 3).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
    let names: Vec<_> = pages.concat().iter().map(|template| template.name.clone()).collect();
    assert!(
        names.is_sorted() && names.contains(&"order_confirmation".to_owned()),
        "{names:?}"
    );
    let whole = suite.list(&mut client, 0).await;
    assert_eq!(whole.concat(), pages.concat());

    let connection_id = suite.numbers[0].connection.to_string();
    let get = GetTemplateRequest {
        connection_id: connection_id.clone(),
        name: "spring_offer".to_owned(),
        language_code: "en_US".to_owned(),
    };
    let template = client
        .get_template(get.clone())
        .await
        .expect("found")
        .into_inner()
        .template
        .expect("a template");
    assert_eq!(
        (
            template.status(),
            template.category(),
            template.meta_status.as_str(),
            template.named_parameters
        ),
        (TemplateStatus::Approved, TemplateCategory::Marketing, "APPROVED", false)
    );
    let components: Value = serde_json::from_str(&template.components_json).expect("JSON");
    assert_eq!(components.as_array().map(Vec::len), Some(4));
    assert!(template.sync_time.is_some() && !template.id.is_empty());

    let list = ListTemplatesRequest {
        connection_id,
        page_size: 3,
        ..ListTemplatesRequest::default()
    };
    let first = client.list_templates(list.clone()).await.expect("a page").into_inner();
    assert!(first.sync_time.is_some());
    let paused = ListTemplatesRequest {
        status: TemplateStatus::Paused.into(),
        ..list.clone()
    };
    let none = client
        .list_templates(paused.clone())
        .await
        .expect("a page")
        .into_inner();
    assert_eq!((none.templates.len(), none.next_page_token.as_str()), (0, ""));
    let other = ListTemplatesRequest {
        page_token: first.next_page_token,
        ..paused
    };
    let other = client.list_templates(other).await.expect_err("a token of another list");
    assert_eq!(refused(&other), (Code::InvalidArgument, ErrorReason::CursorInvalid));
    wrong_questions(&suite, &instance, &mut client, (list, get)).await;
}

async fn wrong_questions(
    suite: &Suite,
    instance: &crate::instance::Instance,
    client: &mut TemplateClient,
    (list, get): (ListTemplatesRequest, GetTemplateRequest),
) {
    let lists = [
        (
            ListTemplatesRequest {
                page_size: 1_001,
                ..list.clone()
            },
            "page_size",
        ),
        (
            ListTemplatesRequest {
                status: 99,
                ..list.clone()
            },
            "status",
        ),
        (
            ListTemplatesRequest {
                connection_id: "pc_1".to_owned(),
                ..list.clone()
            },
            "connection_id",
        ),
    ];
    for (request, path) in lists {
        let wrong = client.list_templates(request).await.expect_err(path);
        assert_eq!(fields(&wrong), [path]);
    }
    let nothing = GetTemplateRequest {
        name: String::new(),
        language_code: String::new(),
        ..get.clone()
    };
    let wrong = client.get_template(nothing).await.expect_err("nothing is named");
    assert_eq!(fields(&wrong), ["name", "language_code"]);
    for (name, language) in [("spring_offer", "en"), ("none", "en_US"), ("a\0", "en_US")] {
        let request = GetTemplateRequest {
            name: name.to_owned(),
            language_code: language.to_owned(),
            ..get.clone()
        };
        let absent = client.get_template(request).await.expect_err("not there");
        assert_eq!(refused(&absent), (Code::NotFound, ErrorReason::TemplateNotFound));
    }

    let key_id = KeyId::new(&SystemClock, &SystemRandom);
    let (key, _) = KeyText::generate("test", key_id, &SystemRandom);
    let stranger = ApplicationId::new(&SystemClock, &SystemRandom);
    let keys = &suite.siblings.state.keys;
    keys.lock().expect("keys").insert(key_id.uuid(), stranger.uuid());
    let mut theirs = instance.templates(&key).await;
    let absent = ListTemplatesRequest {
        connection_id: ConnectionId::new(&SystemClock, &SystemRandom).to_string(),
        ..list.clone()
    };
    for answer in [theirs.list_templates(list).await, client.list_templates(absent).await] {
        assert_eq!(
            refused(&answer.expect_err("not theirs")),
            (Code::NotFound, ErrorReason::NotFound)
        );
    }
    let theirs = suite.sync(&mut theirs).await.expect_err("not theirs");
    assert_eq!(refused(&theirs), (Code::NotFound, ErrorReason::NotFound));
}

#[tokio::test]
async fn two_replicas_read_an_account_once() {
    let suite = Suite::new().await;
    let lists = suite
        .lists(Effect::Latency {
            before_ms: 300,
            after_ms: 0,
            jitter_ms: 0,
        })
        .await;
    let (one, other) = tokio::join!(
        crate::instance::Instance::start(suite.env()),
        crate::instance::Instance::start(suite.env())
    );
    suite.templates_known().await;
    assert_eq!(suite.counted(lists).await, 1);

    suite.database.advance(MINUTE).await;
    let (mut one, mut other) = (one.templates(&suite.key).await, other.templates(&suite.key).await);
    let (first, second) = tokio::join!(suite.sync(&mut one), suite.sync(&mut other));
    let (read, early) = if first.is_ok() {
        (first, second)
    } else {
        (second, first)
    };
    assert_eq!(read.expect("read"), DEFAULTS as i32);
    let early = early.expect_err("once a minute");
    assert_eq!(refused(&early), (Code::ResourceExhausted, ErrorReason::RateLimited));
    let wait = early
        .get_details_retry_info()
        .and_then(|info| info.retry_delay)
        .expect("a time");
    assert!(wait <= Duration::from_mins(2), "{wait:?}");
    assert_eq!(suite.counted(lists).await, 2);
}

#[tokio::test]
async fn a_large_account_is_read_page_by_page() {
    let suite = Suite::new().await;
    for number in 0..230 {
        let new = NewTemplate {
            waba_id: suite.waba.clone(),
            name: format!("numbered_{number}"),
            quietly: true,
            ..NewTemplate::default()
        };
        suite.meta.create_template(&new).await.expect("made");
    }
    let lists = suite.count_lists().await;
    let instance = suite.start().await;
    let mut client = instance.templates(&suite.key).await;
    eventually(SOON, async || suite.template_count().await == 230 + DEFAULTS as i64).await;
    assert_eq!(suite.counted(lists).await, 3);
    let pages = suite.list(&mut client, 1_000).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [230 + DEFAULTS]);
}

#[tokio::test]
async fn what_changes_at_meta_changes_here_and_what_is_deleted_goes() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.templates(&suite.key).await;
    suite.templates_known().await;
    let new = NewTemplate {
        waba_id: suite.waba.clone(),
        name: "short_lived".to_owned(),
        quietly: true,
        ..NewTemplate::default()
    };
    let id = suite.meta.create_template(&new).await.expect("made").id;
    suite.database.advance(MINUTE).await;
    assert_eq!(suite.sync(&mut client).await.expect("read"), DEFAULTS as i32 + 1);

    let change = ChangeTemplate {
        status: Some("REJECTED".to_owned()),
        reason: Some("SCAM".to_owned()),
        quality: Some("RED".to_owned()),
        category: Some("MARKETING".to_owned()),
        quietly: true,
        ..ChangeTemplate::default()
    };
    suite.meta.change_template(&id, &change).await.expect("changed");
    suite.database.advance(MINUTE).await;
    suite.sync(&mut client).await.expect("read");
    let all = suite.list(&mut client, 0).await.concat();
    let template = all
        .iter()
        .find(|template| template.name == "short_lived")
        .expect("there");
    assert_eq!(
        (
            template.status(),
            template.category(),
            template.quality.as_str(),
            template.reason.as_str()
        ),
        (TemplateStatus::Rejected, TemplateCategory::Marketing, "RED", "SCAM")
    );

    suite.meta.delete_template(&id).await.expect("deleted");
    suite.database.advance(MINUTE).await;
    assert_eq!(suite.sync(&mut client).await.expect("read"), DEFAULTS as i32);
    // A second look comes by itself, a minute later.
    suite.database.advance(MINUTE).await;
    eventually(SOON, async || suite.template_count().await == DEFAULTS as i64).await;
}

#[tokio::test]
async fn accounts_are_read_again_every_hour() {
    let suite = Suite::new().await;
    let lists = suite.count_lists().await;
    let _instance = suite.start().await;
    suite.templates_known().await;
    suite.database.advance(time::Duration::minutes(50)).await;
    let before = suite.counted(lists).await;
    suite.database.advance(time::Duration::minutes(20)).await;
    eventually(SOON, async || suite.counted(lists).await == 2).await;
    assert_eq!(before, 1);
}

#[tokio::test]
async fn what_meta_says_to_a_reading_is_told() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.templates(&suite.key).await;
    suite.templates_known().await;
    let error = |code, http_status| Effect::Error {
        code,
        http_status: Some(http_status),
        details: None,
        subcode: None,
        is_transient: None,
    };
    let html = Effect::Respond {
        status: 502,
        content_type: None,
        body: "<html>".to_owned(),
        execute: false,
    };
    let cases = [
        (error(100, 400), Code::FailedPrecondition, ErrorReason::MetaRefused),
        (error(190, 401), Code::FailedPrecondition, ErrorReason::MetaRefused),
        (error(2, 503), Code::Unavailable, ErrorReason::MetaUnavailable),
        (html, Code::Unavailable, ErrorReason::MetaUnavailable),
        (Effect::ResetBefore, Code::Unavailable, ErrorReason::MetaUnavailable),
        (error(80_007, 400), Code::ResourceExhausted, ErrorReason::RateLimited),
    ];
    for (effect, code, reason) in cases {
        suite.database.advance(MINUTE).await;
        suite.lists(effect).await;
        let status = suite.sync(&mut client).await.expect_err("it fails");
        suite.meta.clear_faults().await.expect("cleared");
        assert_eq!(refused(&status), (code, reason));
        let told = status
            .get_details_error_info()
            .expect("info")
            .metadata
            .contains_key("meta_code");
        assert!(told || reason != ErrorReason::MetaRefused);
    }
    // Meta's limit holds for all that want to read.
    suite.database.advance(MINUTE).await;
    let early = suite.sync(&mut client).await.expect_err("Meta said to wait");
    assert_eq!(refused(&early), (Code::ResourceExhausted, ErrorReason::RateLimited));
    suite.database.advance(time::Duration::hours(2)).await;
    eventually(SOON, async || {
        suite
            .sync(&mut client)
            .await
            .is_ok_and(|count| count == DEFAULTS as i32)
    })
    .await;

    suite
        .change(&instance, &suite.numbers[0], |connection| {
            connection.state = ConnectionState::NeedsReauth.into();
        })
        .await;
    let inactive = suite.sync(&mut client).await.expect_err("not active");
    assert_eq!(
        refused(&inactive),
        (Code::FailedPrecondition, ErrorReason::ConnectionNotActive)
    );
}

#[tokio::test]
async fn an_account_that_has_used_up_its_calls_is_left_alone() {
    let suite = Suite::new().await;
    let change = ChangeWaba {
        management_calls_per_hour: Some(1),
        ..ChangeWaba::default()
    };
    suite.meta.change_waba(&suite.waba, &change).await.expect("changed");
    let lists = suite.count_lists().await;
    let instance = suite.start().await;
    let mut client = instance.templates(&suite.key).await;
    suite.templates_known().await;
    suite.database.advance(MINUTE).await;
    let limited = suite.sync(&mut client).await.expect_err("the calls are used up");
    assert_eq!(refused(&limited), (Code::ResourceExhausted, ErrorReason::RateLimited));
    let wait = limited
        .get_details_retry_info()
        .and_then(|info| info.retry_delay)
        .expect("a time");
    assert!(wait > Duration::from_mins(55), "{wait:?}");
    assert_eq!(suite.counted(lists).await, 1);
}

#[tokio::test]
async fn the_token_of_another_connection_of_the_account_serves_as_well() {
    let suite = Suite::with_numbers(2).await;
    suite.set_token(&suite.numbers[1], "EAA-not-a-token");
    let _instance = suite.start().await;
    suite.templates_known().await;
}
