//! What webhooks and refusals tell, and how fast other processes know.

use std::sync::Arc;
use std::time::Duration;

use outeract_buckets::{Buckets, BucketsConfig};
use outeract_clock::{SharedRandom, SystemClock, SystemRandom};
use outeract_egress as egress;
use outeract_graph::Client;
use outeract_rpc::{Channel, ServiceCredential};
use outeract_runtime::{OnExit, Stop, Tasks};
use outeract_testkit::{TestDatabase, eventually, redis_prefix, redis_url};
use sqlx::PgPool;

use super::*;
use crate::config::Timing;
use crate::dispatch::Credentials;
use crate::projection::Projection;
use crate::store::template_sync::{self, Listed};
use crate::templates::keep::keep;
use crate::templates::{HearError, Reader, Registry, Sendable, Templates, sendable};
use crate::vault;

const WABA: &str = "102290129340398";
const SOON: Duration = Duration::from_secs(30);

/// One process's room, with its loop.
fn process(db: &PgPool) -> (Templates, Stop) {
    let stop = Stop::new();
    let tasks = Tasks::new(stop.clone());
    let random: SharedRandom = Arc::new(SystemRandom);
    let credential = ServiceCredential::new("messaging", &"s".repeat(40)).expect("a credential");
    let reader = Reader {
        db: db.clone(),
        projection: Projection::new(db.clone(), vault::tests::vault()),
        credentials: Credentials::new(Channel::new("http://127.0.0.1:9", credential).expect("a URL")),
        graph: Client::new(
            egress::Client::new(&egress::Config::default()).expect("a client"),
            "http://127.0.0.1:9",
            "v25.0",
        ),
        buckets: Buckets::connect(&BucketsConfig {
            url: redis_url(),
            prefix: redis_prefix(),
            max_replicas: 1,
        })
        .expect("buckets"),
        clock: Arc::new(SystemClock),
        random,
        stop: stop.clone(),
    };
    let templates = Templates::new(reader, tasks.clone());
    let timing = Timing {
        refresh: Duration::from_millis(50),
        ..Timing::default()
    };
    tasks.spawn("templates", OnExit::Continue, keep(templates.clone(), timing));
    (templates, stop)
}

/// An account with these templates, read a moment ago.
async fn account(db: &PgPool, names: &[&str]) {
    let listed: Vec<_> = names
        .iter()
        .map(|name| Listed {
            name: (*name).to_owned(),
            language: "en_US".to_owned(),
            meta_id: format!("id-{name}"),
            status: 1,
            meta_status: "APPROVED".to_owned(),
            category: 2,
            quality: "GREEN".to_owned(),
            reason: String::new(),
            named: false,
            components: r#"[{"type":"BODY","text":"Hi"}]"#.to_owned(),
        })
        .collect();
    let mut conn = db.acquire().await.expect("a connection");
    let reading = template_sync::begin(&mut conn, WABA, uuid::Uuid::now_v7())
        .await
        .expect("no error")
        .expect("begun");
    template_sync::take_over(&mut conn, &reading, &listed)
        .await
        .expect("no error")
        .expect("stored");
    let keys: Vec<_> = listed
        .into_iter()
        .map(|listed| (listed.name, listed.language))
        .collect();
    assert!(
        template_sync::finish(&mut conn, &reading, &keys, 3_600.0, 0.0)
            .await
            .expect("no error")
    );
}

async fn status(registry: &Registry, name: &str) -> Option<TemplateStatus> {
    let known = registry.get(WABA, name, "en_US").await.expect("no error");
    known.map(|definition| definition.status())
}

fn news(name: &str, more: &Value) -> Vec<u8> {
    let mut value = json!({"message_template_id": format!("id-{name}"), "message_template_name": name, "message_template_language": "en_US"});
    let more = more.as_object().expect("an object").clone();
    value.as_object_mut().expect("an object").extend(more);
    value.to_string().into_bytes()
}

#[tokio::test]
async fn a_webhook_changes_a_template_at_once_and_other_processes_follow() {
    let database = TestDatabase::create(&["messaging"]).await;
    let db = database.pool("messaging").await;
    account(&db, &["a", "b"]).await;
    let ((here, stop), (there, other_stop)) = (process(&db), process(&db));
    let mut followed = there.registry().changes();
    for registry in [here.registry(), there.registry()] {
        assert_eq!(status(registry, "a").await, Some(TemplateStatus::Approved));
        assert_eq!(status(registry, "none").await, None);
    }

    let field = "message_template_status_update";
    let paused = news("a", &json!({"event": "PAUSED", "reason": "NONE"}));
    for _ in 0..2 {
        here.on_webhook(WABA, field, &paused).await.expect("heard");
    }
    assert_eq!(status(here.registry(), "a").await, Some(TemplateStatus::Paused));
    eventually(SOON, async || {
        status(there.registry(), "a").await == Some(TemplateStatus::Paused)
    })
    .await;
    let changed = tokio::time::timeout(SOON, followed.recv())
        .await
        .expect("in time")
        .expect("told");
    assert_eq!(&*changed, WABA);
    let definition = there.registry().get(WABA, "a", "en_US").await.expect("no error");
    assert!(matches!(
        sendable(definition.as_deref()),
        Sendable::Park {
            reason: "TEMPLATE_PAUSED",
            ..
        }
    ));
    assert_eq!(status(there.registry(), "b").await, Some(TemplateStatus::Approved));

    // What happened to a status is no status.
    for event in ["FLAGGED", "LOCKED", ""] {
        let happened = news("b", &json!({"event": event}));
        here.on_webhook(WABA, field, &happened).await.expect("heard");
        assert_eq!(
            status(here.registry(), "b").await,
            Some(TemplateStatus::Approved),
            "{event}"
        );
    }
    let unknown = news("b", &json!({"event": "SOMETHING_NEW"}));
    here.on_webhook(WABA, field, &unknown).await.expect("heard");
    assert_eq!(status(here.registry(), "b").await, Some(TemplateStatus::Other));

    let category = news(
        "b",
        &json!({"previous_category": "UTILITY", "new_category": "MARKETING"}),
    );
    here.on_webhook(WABA, "template_category_update", &category)
        .await
        .expect("heard");
    let definition = here
        .registry()
        .get(WABA, "b", "en_US")
        .await
        .expect("no error")
        .expect("there");
    assert_eq!(definition.category(), TemplateCategory::Marketing);
    for (field, value) in [(field, &b"{"[..]), (field, b"{}"), ("account_update", &paused)] {
        let unread = here.on_webhook(WABA, field, value).await.expect_err("unreadable");
        assert!(matches!(unread, HearError::Unreadable), "{field}");
    }
    stop.begin();
    other_stop.begin();
}

#[tokio::test]
async fn a_refusal_holds_the_template_back_and_has_the_account_read() {
    let database = TestDatabase::create(&["messaging"]).await;
    let db = database.pool("messaging").await;
    account(&db, &["a", "b"]).await;
    let (templates, stop) = process(&db);
    for _ in 0..1_000 {
        templates.on_refusal(132_015, WABA, "a", "en_US");
        templates.on_refusal(131_026, WABA, "b", "en_US");
    }
    eventually(SOON, async || {
        status(templates.registry(), "a").await == Some(TemplateStatus::Paused)
    })
    .await;
    assert_eq!(status(templates.registry(), "b").await, Some(TemplateStatus::Approved));
    eventually(SOON, async || {
        let wanted: bool = sqlx::query_scalar(
            "SELECT wanted_at > started_at AND due_at < messaging.now_() + interval '11 seconds' FROM messaging.template_sync",
        )
        .fetch_one(database.admin())
        .await
        .expect("a row");
        wanted
    })
    .await;
    stop.begin();
}
