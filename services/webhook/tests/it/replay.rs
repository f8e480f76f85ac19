//! Stored webhooks through the decoder again.

use std::time::Duration;

use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_proto::webhook::admin::v1::admin_service_client::AdminServiceClient;
use outeract_proto::webhook::admin::v1::{
    CancelReplayRequest, GetReplayRequest, ListReplaysRequest, Replay, ReplayCounts, ReplaySelection, ReplayState,
    SetDecodingRequest, StartReplayRequest,
};
use outeract_proto::webhook::v1::ItemOutcome;
use outeract_rpc::reason;
use outeract_testkit::eventually;
use serde_json::json;
use tonic::Code;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::bodies::{callback, change, entry, one_text, post, status, text};
use crate::suite::{Bearer, Number, Suite};

type Operator = AdminServiceClient<InterceptedService<Channel, Bearer>>;

/// Longer than the lease of a process that was killed.
const TAKEOVER: Duration = Duration::from_secs(30);

pub(crate) async fn start(operator: &mut Operator, selection: ReplaySelection) -> Replay {
    let request = StartReplayRequest {
        selection: Some(selection),
        why: "a test".to_owned(),
    };
    operator
        .start_replay(request)
        .await
        .unwrap()
        .into_inner()
        .replay
        .unwrap()
}

pub(crate) async fn get(operator: &mut Operator, id: &str) -> Replay {
    let request = GetReplayRequest { id: id.to_owned() };
    operator.get_replay(request).await.unwrap().into_inner().replay.unwrap()
}

/// The replay, when it is over.
pub(crate) async fn ended(suite: &Suite, operator: &mut Operator, id: &str) -> Replay {
    eventually(TAKEOVER, async || {
        suite.count("select count(*) from webhook.replay where state = 1").await == 0
    })
    .await;
    let replay = get(operator, id).await;
    assert!(replay.end_time.is_some());
    replay
}

pub(crate) fn counts(replay: &Replay) -> [i64; 6] {
    let ReplayCounts {
        items,
        applied,
        duplicate,
        unsupported,
        quarantined,
        kept,
    } = replay.items.unwrap();
    [items, applied, duplicate, unsupported, quarantined, kept]
}

#[tokio::test]
async fn what_is_understood_now_is_applied_and_the_rest_is_met_as_it_is() {
    let (suite, instance) = Suite::with_instance().await;
    instance.push(vec![Number::new("7", "1").active()]).await;
    {
        let mut world = suite.siblings.world();
        world.refused.insert("wamid.REFUSED".to_owned());
        world
            .account_refusals
            .insert("template_category_update".to_owned(), (Vec::new(), "FIELD_UNSUPPORTED"));
        world.account_refusals.insert(
            "business_capability_update".to_owned(),
            (Vec::new(), "FIELD_UNSUPPORTED"),
        );
    }
    let news = |field: &str| json!({"field": field, "value": {"a": 1}});
    let parent = callback(5);
    let messages = vec![text("wamid.1", "eins"), text("wamid.REFUSED", "x"), json!({"id": 7})];
    let statuses = vec![status("wamid.OUT", "sent", &parent), status("wamid.X", "read", "")];
    instance
        .stored(&post(&[entry(
            "7",
            &[
                change("1", messages, statuses),
                news("template_category_update"),
                news("business_capability_update"),
                news("phone_number_quality_update"),
                change("404", vec![text("wamid.PARKED", "x")], vec![]),
            ],
        )]))
        .await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [9, 4, 0, 1, 2, 2]);
    let told = suite.siblings.world().applied.len();

    // Another version: it understands one field, and takes the message.
    {
        let mut world = suite.siblings.world();
        world.refused.clear();
        world.account_refusals.remove("template_category_update");
    }
    let mut operator = instance.admin(suite.key(None, &[])).await;
    let replay = start(&mut operator, ReplaySelection::default()).await;
    assert_eq!(
        (replay.state(), replay.webhooks, replay.why.as_str()),
        (ReplayState::Running, 0, "a test")
    );
    let replay = ended(&suite, &mut operator, &replay.id).await;
    assert_eq!((replay.state(), replay.webhooks), (ReplayState::Done, 1));
    assert!(replay.reached_time.is_some() && replay.started_by.starts_with("key_"));
    // Applied: the message and the field. Duplicates: a text, two statuses, the news that were heeded. What is parked is not taken.
    assert_eq!(counts(&replay), [8, 2, 4, 1, 1, 0]);
    assert_eq!(suite.accounts().await, [9, 6, 0, 1, 1, 1]);
    suite.check().await;
    // News have no wamid: first those heeded at once, then those of the field understood since.
    assert_eq!(
        suite.siblings.recorded(),
        ["wamid.1", "wamid.OUT", "", "wamid.REFUSED", ""]
    );
    {
        let world = suite.siblings.world();
        let heeded = world.applied[told..].iter().filter(|item| {
            matches!(&item.kind, Some(outeract_proto::messaging::internal::v1::item::Kind::Account(news)) if news.field == "phone_number_quality_update")
        });
        assert_eq!(heeded.count(), 0, "news that were heeded are not heeded again");
    }

    // The same once more: nothing is left to apply, and nothing is applied twice.
    let replay = start(&mut operator, ReplaySelection::default()).await;
    let replay = ended(&suite, &mut operator, &replay.id).await;
    assert_eq!(counts(&replay), [8, 0, 6, 1, 1, 0]);
    assert_eq!(suite.accounts().await, [9, 6, 0, 1, 1, 1]);
    assert_eq!(
        suite
            .count("select count(*) from webhook.audit where action = 'StartReplay'")
            .await,
        2
    );
}

#[tokio::test]
async fn a_selection_takes_what_it_names_and_nothing_else() {
    let (suite, instance) = Suite::with_instance().await;
    instance
        .push(vec![Number::new("7", "1").active(), Number::new("7", "2").active()])
        .await;
    for n in 0..3 {
        for number in ["1", "2"] {
            suite.siblings.world().refused.insert(format!("wamid.{number}.{n}"));
            instance
                .stored(&one_text("7", number, &format!("wamid.{number}.{n}")))
                .await;
        }
    }
    suite.settled().await;
    assert_eq!(suite.accounts().await, [6, 0, 0, 0, 0, 6]);
    suite.siblings.world().refused.clear();
    let mut operator = instance.admin(suite.key(None, &[])).await;
    let quarantined = vec![ItemOutcome::Quarantined.into()];
    let webhooks: Vec<uuid::Uuid> = sqlx::query_scalar("select id from webhook.post order by id")
        .fetch_all(suite.db.admin())
        .await
        .unwrap();
    let name = |id: &uuid::Uuid| outeract_domain::WebhookId::from_uuid(*id).to_string();
    let cases = [
        (
            ReplaySelection {
                outcomes: vec![ItemOutcome::Unsupported.into()],
                ..ReplaySelection::default()
            },
            0,
        ),
        (
            ReplaySelection {
                fields: vec!["account_update".to_owned()],
                ..ReplaySelection::default()
            },
            0,
        ),
        (
            ReplaySelection {
                receive_time_to: Some(prost_types::Timestamp {
                    seconds: 1_000_000_000,
                    nanos: 0,
                }),
                ..ReplaySelection::default()
            },
            0,
        ),
        (
            ReplaySelection {
                webhook_ids: vec![name(&webhooks[0])],
                ..ReplaySelection::default()
            },
            1,
        ),
        (
            ReplaySelection {
                outcomes: quarantined.clone(),
                phone_number_ids: vec!["2".to_owned()],
                ..ReplaySelection::default()
            },
            3,
        ),
        (
            ReplaySelection {
                outcomes: quarantined,
                fields: vec!["messages".to_owned()],
                ..ReplaySelection::default()
            },
            2,
        ),
        (
            ReplaySelection {
                outcomes: vec![ItemOutcome::Applied.into()],
                ..ReplaySelection::default()
            },
            0,
        ),
    ];
    let mut applied = 0;
    for (selection, more) in cases {
        let replay = start(&mut operator, selection.clone()).await;
        assert_eq!(replay.selection.as_ref().unwrap().webhook_ids, selection.webhook_ids);
        let replay = ended(&suite, &mut operator, &replay.id).await;
        assert_eq!(counts(&replay)[1], more, "{selection:?}");
        applied += more;
        assert_eq!(suite.accounts().await[1], applied);
    }
    suite.check().await;
    let last = start(
        &mut operator,
        ReplaySelection {
            outcomes: vec![1],
            ..ReplaySelection::default()
        },
    )
    .await;
    let last = ended(&suite, &mut operator, &last.id).await;
    assert_eq!(counts(&last), [6, 0, 6, 0, 0, 0]);
}

#[tokio::test]
async fn what_came_for_one_application_is_never_given_to_another() {
    let (suite, instance) = Suite::with_instance().await;
    let (before, after) = (Number::new("7", "1"), Number::new("7", "1"));
    instance.push(vec![before.active()]).await;
    suite.siblings.world().refused.insert("wamid.REFUSED".to_owned());
    for wamid in ["wamid.APPLIED", "wamid.REFUSED"] {
        instance.stored(&one_text("7", "1", wamid)).await;
    }
    suite.settled().await;
    instance
        .push(vec![before.snapshot(2, ConnectionState::Disconnected), after.active()])
        .await;
    suite.siblings.world().refused.clear();
    let told = suite.siblings.world().applied.len();
    let mut operator = instance.admin(suite.key(None, &[])).await;
    let replay = start(&mut operator, ReplaySelection::default()).await;
    let replay = ended(&suite, &mut operator, &replay.id).await;
    assert_eq!(counts(&replay), [2, 0, 0, 0, 0, 2]);
    assert_eq!(suite.accounts().await, [2, 1, 0, 0, 0, 1]);
    assert_eq!(suite.siblings.world().applied.len(), told, "nobody was told anything");

    // It comes back to the first: what was listed for it is applied. What was not is its own only if nobody else can have had it.
    instance
        .push(vec![
            after.snapshot(2, ConnectionState::Disconnected),
            before.snapshot(3, ConnectionState::Active),
        ])
        .await;
    let replay = start(&mut operator, ReplaySelection::default()).await;
    let replay = ended(&suite, &mut operator, &replay.id).await;
    assert_eq!(counts(&replay), [2, 1, 0, 0, 0, 1]);
    assert_eq!(suite.accounts().await, [2, 2, 0, 0, 0, 0]);
}

#[tokio::test]
async fn replays_wait_for_their_turn_and_can_be_ended_and_are_listed() {
    let (suite, instance) = Suite::with_instance().await;
    let mut operator = instance.admin(suite.key(None, &[])).await;
    let pause = |paused| SetDecodingRequest {
        paused,
        why: "a test".to_owned(),
    };
    operator.set_decoding(pause(true)).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(start(&mut operator, ReplaySelection::default()).await.id);
    }
    let cancel = |id: &str| CancelReplayRequest {
        id: id.to_owned(),
        why: "a test".to_owned(),
    };
    for _ in 0..2 {
        let canceled = operator
            .cancel_replay(cancel(&ids[1]))
            .await
            .unwrap()
            .into_inner()
            .replay
            .unwrap();
        assert_eq!(canceled.state(), ReplayState::Canceled);
    }
    let list = async |operator: &mut Operator, size, token: &str| {
        let request = ListReplaysRequest {
            page_size: size,
            page_token: token.to_owned(),
        };
        operator.list_replays(request).await.unwrap().into_inner()
    };
    let page = list(&mut operator, 2, "").await;
    let rest = list(&mut operator, 2, &page.next_page_token).await;
    let listed: Vec<String> = page
        .replays
        .into_iter()
        .chain(rest.replays)
        .map(|replay| replay.id)
        .collect();
    assert_eq!(listed, ids.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(rest.next_page_token, "");
    operator.set_decoding(pause(false)).await.unwrap();
    assert_eq!(ended(&suite, &mut operator, &ids[2]).await.state(), ReplayState::Done);
    assert_eq!(get(&mut operator, &ids[1]).await.state(), ReplayState::Canceled);

    let absent = "whr_01h455vb4pex5vsknk084sn02q";
    let status = operator
        .get_replay(GetReplayRequest { id: absent.to_owned() })
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );
    assert_eq!(
        operator.cancel_replay(cancel(absent)).await.unwrap_err().code(),
        Code::NotFound
    );
    assert_eq!(
        operator.cancel_replay(cancel("wh_")).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let bad = StartReplayRequest {
        selection: Some(ReplaySelection {
            outcomes: vec![ItemOutcome::Parked.into()],
            ..ReplaySelection::default()
        }),
        why: "a test".to_owned(),
    };
    assert_eq!(
        reason(&operator.start_replay(bad).await.unwrap_err()),
        Some(ErrorReason::InvalidField)
    );
    let silent = StartReplayRequest {
        selection: Some(ReplaySelection::default()),
        why: " ".to_owned(),
    };
    assert_eq!(
        reason(&operator.start_replay(silent).await.unwrap_err()),
        Some(ErrorReason::InvalidField)
    );
    assert_eq!(suite.count("select count(*) from webhook.replay").await, 3);
}
