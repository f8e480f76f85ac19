//! Items that were not applied: inspected, tried again, discarded.

use outeract_clock::{SystemClock, SystemRandom};
use outeract_domain::WebhookId;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_proto::webhook::admin::v1 as admin;
use outeract_proto::webhook::v1::webhook_service_client::WebhookServiceClient;
use outeract_proto::webhook::v1::{
    ContentMissing, DiscardItemsRequest, GetItemRequest, Item, ItemDecision, ItemName, ItemOutcome, ListItemsRequest,
    RetryItemsRequest,
};
use outeract_rpc::reason;
use outeract_testkit::eventually;
use serde_json::json;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::bodies::{change, entry, one_text, post, text};
use crate::suite::{Bearer, Instance, LONG, Number, Suite};

fn name(item: &Item) -> ItemName {
    ItemName {
        webhook_id: item.webhook_id.clone(),
        pointer: item.pointer.clone(),
    }
}

fn brief(decisions: &[ItemDecision]) -> Vec<(ItemOutcome, &str, bool)> {
    decisions
        .iter()
        .map(|decision| (decision.outcome(), decision.reason.as_str(), decision.done))
        .collect()
}

/// Of an item that is not listed.
const NOTHING: (ItemOutcome, &str, bool) = (ItemOutcome::Unspecified, "", false);

type Client = WebhookServiceClient<InterceptedService<Channel, Bearer>>;

/// Two quarantined items of an application, and one of another's in the same webhook. Returns the application, its client, and its items, the older one last.
async fn quarantined(suite: &Suite, instance: &Instance) -> (Number, Client, Vec<Item>) {
    let (mine, other) = (Number::new("7", "1"), Number::new("8", "2"));
    instance.push(vec![mine.active(), other.active()]).await;
    for wamid in ["wamid.A", "wamid.B", "wamid.C"] {
        suite.siblings.world().refused.insert(wamid.to_owned());
    }
    let two = vec![text("wamid.A", "first"), text("wamid.B", "second")];
    instance
        .stored(&post(&[
            entry("7", &[change("1", two, vec![])]),
            entry("8", &[change("2", vec![text("wamid.C", "theirs")], vec![])]),
        ]))
        .await;
    suite.settled().await;
    let scopes = ["webhooks:read", "webhooks:write"];
    let mut client = instance.webhooks(suite.key(Some(mine.application), &scopes)).await;
    let list = ListItemsRequest::default();
    let items = client.list_items(list).await.unwrap().into_inner().items;
    assert_eq!(items.len(), 2);
    (mine, client, items)
}

#[tokio::test]
async fn an_application_inspects_its_own_items_and_anothers_are_not_there() {
    let (suite, instance) = Suite::with_instance().await;
    let (_, mut client, items) = quarantined(&suite, &instance).await;
    let a = name(&items[1]);
    assert_eq!(a.pointer, "/entry/0/changes/0/value/messages/0");
    let get = |name: &ItemName| GetItemRequest {
        name: Some(name.clone()),
    };
    let found = client.get_item(get(&a)).await.unwrap().into_inner();
    let content: serde_json::Value = serde_json::from_str(&found.content).unwrap();
    assert_eq!(
        (&content["text"]["body"], found.content_missing()),
        (&json!("first"), ContentMissing::Unspecified)
    );
    assert_eq!(found.item.unwrap(), items[1]);

    // Another's is not there, whatever one does with it.
    let theirs = ItemName {
        pointer: "/entry/1/changes/0/value/messages/0".to_owned(),
        ..a.clone()
    };
    let status = client.get_item(get(&theirs)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );
    let absent = ItemName {
        webhook_id: WebhookId::new(&SystemClock, &SystemRandom).to_string(),
        pointer: String::new(),
    };
    let names = vec![theirs.clone(), absent];
    let retried = client
        .retry_items(RetryItemsRequest { names: names.clone() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(brief(&retried.results), [NOTHING, NOTHING]);
    let discarded = client
        .discard_items(DiscardItemsRequest { names })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(brief(&discarded.results), [NOTHING, NOTHING]);
    assert_eq!(suite.accounts().await, [3, 0, 0, 0, 0, 3]);
    assert_eq!(
        reason(&client.get_item(GetItemRequest::default()).await.unwrap_err()),
        Some(ErrorReason::InvalidField)
    );
}

#[tokio::test]
async fn an_application_retries_and_discards_its_own_items() {
    let (suite, instance) = Suite::with_instance().await;
    let (mine, mut client, items) = quarantined(&suite, &instance).await;
    let (b, a) = (name(&items[0]), name(&items[1]));
    // Still refused; then taken; then there no longer.
    let retry = |names: &[&ItemName]| RetryItemsRequest {
        names: names.iter().map(|name| (*name).clone()).collect(),
    };
    let retried = client.retry_items(retry(&[&b, &a])).await.unwrap().into_inner();
    let refused = (ItemOutcome::Quarantined, "CONNECTION_UNKNOWN", true);
    assert_eq!(brief(&retried.results), [refused, refused]);
    suite.siblings.world().refused.clear();
    let retried = client.retry_items(retry(&[&a])).await.unwrap().into_inner();
    assert_eq!(brief(&retried.results), [(ItemOutcome::Applied, "", true)]);
    assert_eq!(retried.results[0].name.as_ref(), Some(&a));
    let retried = client.retry_items(retry(&[&a])).await.unwrap().into_inner();
    assert_eq!(brief(&retried.results), [NOTHING]);
    assert_eq!(suite.accounts().await, [3, 1, 0, 0, 0, 2]);

    let discard = || DiscardItemsRequest { names: vec![b.clone()] };
    for done in [true, false] {
        let discarded = client.discard_items(discard()).await.unwrap().into_inner();
        assert_eq!(
            brief(&discarded.results),
            [(ItemOutcome::Discarded, "CONNECTION_UNKNOWN", done)]
        );
    }
    suite.check().await;
    assert_eq!(
        suite.accounts().await,
        [3, 1, 0, 0, 0, 1],
        "one is discarded, one is another's"
    );
    let listed = ListItemsRequest {
        outcome: ItemOutcome::Discarded.into(),
        ..ListItemsRequest::default()
    };
    assert_eq!(client.list_items(listed).await.unwrap().into_inner().items.len(), 1);
    // It is taken back.
    let retried = client.retry_items(retry(&[&b])).await.unwrap().into_inner();
    assert_eq!(brief(&retried.results), [(ItemOutcome::Applied, "", true)]);
    assert_eq!(suite.siblings.recorded(), ["wamid.A", "wamid.B"]);
    suite.check().await;

    let mut reader = instance
        .webhooks(suite.key(Some(mine.application), &["webhooks:read"]))
        .await;
    let status = reader.retry_items(retry(&[&a])).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::PermissionDenied, Some(ErrorReason::ScopeMissing))
    );
    assert_eq!(
        reader.discard_items(discard()).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    for names in [vec![], vec![a.clone(), a.clone()], vec![a; 101]] {
        let status = client.retry_items(RetryItemsRequest { names }).await.unwrap_err();
        assert_eq!(reason(&status), Some(ErrorReason::InvalidField));
    }
}

#[tokio::test]
async fn an_operator_decides_about_what_is_nobodys_and_leaves_a_trace() {
    let (suite, instance) = Suite::with_instance().await;
    instance.push(vec![Number::new("8", "2").active()]).await;
    instance.stored(b"{\"no json").await;
    let unrouted = post(&[
        entry("7", &[change("1", vec![text("wamid.P", "x")], vec![])]),
        entry("9", &[change("2", vec![text("wamid.M", "x")], vec![])]),
    ]);
    instance.stored(&unrouted).await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [3, 0, 0, 1, 0, 2]);
    let mut operator = instance.admin(suite.key(None, &[])).await;
    let listed = operator
        .list_items(admin::ListItemsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .items;
    let with = |reason: &str| name(listed.iter().find(|item| item.reason == reason).unwrap());
    let (broken, parked, mismatch) = (with("MALFORMED_JSON"), with("NO_CONNECTION"), with("ROUTE_MISMATCH"));

    let get = |name: &ItemName| admin::GetItemRequest {
        name: Some(name.clone()),
    };
    let found = operator.get_item(get(&broken)).await.unwrap().into_inner();
    assert_eq!(
        (found.content_missing(), found.application_id.as_str()),
        (ContentMissing::Unreadable, "")
    );
    let found = operator.get_item(get(&parked)).await.unwrap().into_inner();
    assert!(found.content.contains("wamid.P"));

    let retry = admin::RetryItemsRequest {
        names: vec![broken.clone(), parked.clone(), mismatch.clone()],
        why: "a test".to_owned(),
    };
    let retried = operator.retry_items(retry).await.unwrap().into_inner();
    assert_eq!(
        brief(&retried.results),
        [
            (ItemOutcome::Quarantined, "MALFORMED_JSON", true),
            (ItemOutcome::Parked, "NO_CONNECTION", false),
            (ItemOutcome::Quarantined, "ROUTE_MISMATCH", true),
        ]
    );
    let discard = |why: &str| admin::DiscardItemsRequest {
        names: vec![broken.clone(), parked.clone()],
        why: why.to_owned(),
    };
    assert_eq!(
        reason(&operator.discard_items(discard("")).await.unwrap_err()),
        Some(ErrorReason::InvalidField)
    );
    let discarded = operator.discard_items(discard("rubbish")).await.unwrap().into_inner();
    assert!(
        discarded
            .results
            .iter()
            .all(|one| one.done && one.outcome() == ItemOutcome::Discarded)
    );
    suite.check().await;
    assert_eq!(suite.accounts().await, [3, 0, 0, 0, 0, 1]);
    // What is discarded is not applied when its connection comes.
    instance.push(vec![Number::new("7", "1").active()]).await;
    instance.stored(&one_text("7", "1", "wamid.NEW")).await;
    eventually(LONG, async || suite.siblings.recorded() == ["wamid.NEW"]).await;
    suite.settled().await;

    let webhook = operator
        .get_webhook(admin::GetWebhookRequest {
            id: broken.webhook_id.clone(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        webhook
            .accounting
            .map(|counts| (counts.items, counts.quarantined, counts.discarded)),
        Some((1, 0, 1))
    );
    for (action, lines) in [("GetItem", 2), ("RetryItems", 1), ("DiscardItems", 1)] {
        let count: i64 =
            sqlx::query_scalar("select count(*) from webhook.audit where action = $1 and subject like '%wh_%'")
                .bind(action)
                .fetch_one(suite.db.admin())
                .await
                .unwrap();
        assert_eq!(count, lines, "{action}");
    }
}

#[tokio::test]
async fn a_sibling_that_is_away_leaves_items_as_they_are() {
    let (suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    instance.push(vec![number.active()]).await;
    suite.siblings.world().refused.insert("wamid.A".to_owned());
    instance.stored(&one_text("7", "1", "wamid.A")).await;
    suite.settled().await;
    let mut client = instance.webhooks(suite.key(Some(number.application), &["*"])).await;
    let items = client
        .list_items(ListItemsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .items;
    let retry = || RetryItemsRequest {
        names: vec![name(&items[0])],
    };
    suite.siblings.world().refused.clear();
    suite.siblings.world().tracking_fails = Some(Code::Unavailable);
    let status = client.retry_items(retry()).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Some(ErrorReason::DependencyUnavailable))
    );
    assert_eq!(suite.accounts().await, [1, 0, 0, 0, 0, 1]);
    {
        let mut world = suite.siblings.world();
        world.tracking_fails = None;
        // It records the event, and its answer is lost.
        world.tracking_forgets = 1;
    }
    assert_eq!(client.retry_items(retry()).await.unwrap_err().code(), Code::Unavailable);
    let retried = client.retry_items(retry()).await.unwrap().into_inner();
    assert_eq!(brief(&retried.results), [(ItemOutcome::Duplicate, "", true)]);
    assert_eq!(suite.accounts().await, [1, 0, 1, 0, 0, 0]);
    suite.check().await;
}

#[tokio::test]
async fn whatever_is_done_at_once_accounts_add_up() {
    const POSTS: usize = 24;
    let (suite, instance) = Suite::with_instance().await;
    let (mine, late) = (Number::new("7", "1"), Number::new("7", "2"));
    instance.push(vec![mine.active()]).await;
    for n in 0..POSTS {
        for kind in ["r", "q"] {
            suite.siblings.world().refused.insert(format!("wamid.{n}.{kind}"));
        }
        let messages = ["r", "q", "ok"]
            .map(|kind| text(&format!("wamid.{n}.{kind}"), "x"))
            .to_vec();
        let parked = change("2", vec![text(&format!("wamid.{n}.late"), "x")], vec![]);
        instance
            .stored(&post(&[entry("7", &[change("1", messages, vec![]), parked])]))
            .await;
    }
    suite.settled().await;
    let all = 4 * POSTS as i64;
    assert_eq!(suite.accounts().await, [all, all / 4, 0, all / 4, 0, all / 2]);
    suite.siblings.world().refused.retain(|wamid| wamid.ends_with('q'));
    let mut client = instance.webhooks(suite.key(Some(mine.application), &["*"])).await;
    let list = ListItemsRequest {
        page_size: 250,
        ..ListItemsRequest::default()
    };
    let names: Vec<ItemName> = client
        .list_items(list)
        .await
        .unwrap()
        .into_inner()
        .items
        .iter()
        .map(name)
        .collect();
    assert_eq!(names.len(), all as usize / 2);

    let mut operator = instance.admin(suite.key(None, &[])).await;
    let everything = || admin::StartReplayRequest {
        selection: Some(admin::ReplaySelection::default()),
        why: "a test".to_owned(),
    };
    let mut busy = JoinSet::new();
    for (index, some) in names.chunks(8).enumerate() {
        let (mut client, names) = (client.clone(), some.to_vec());
        busy.spawn(async move {
            if index % 3 == 0 {
                client
                    .discard_items(DiscardItemsRequest {
                        names: names[..4].to_vec(),
                    })
                    .await
                    .unwrap();
            }
            client.retry_items(RetryItemsRequest { names }).await.unwrap();
        });
    }
    for _ in 0..2 {
        operator.start_replay(everything()).await.unwrap();
    }
    instance.push(vec![late.active()]).await;
    for n in 0..10 {
        instance.stored(&one_text("7", "1", &format!("wamid.new.{n}"))).await;
    }
    busy.join_all().await;
    let running = "select count(*) from webhook.replay where state = 1";
    eventually(LONG, async || {
        suite.count(running).await == 0 && suite.accounts().await[3] == 0
    })
    .await;
    suite.settled().await;
    let [items, applied, duplicate, parked, unsupported, quarantined] = suite.accounts().await;
    let discarded = suite.count("select count(*) from webhook.item where outcome = 6").await;
    assert_eq!(items, all + 10);
    assert_eq!((parked, unsupported), (0, 0));
    assert_eq!(quarantined + discarded, all / 4, "what is refused still, is listed");
    assert_eq!(applied + duplicate, all * 3 / 4 + 10);
    let recorded = suite.siblings.recorded();
    assert_eq!(recorded.len() as i64, all * 3 / 4 + 10);
}
