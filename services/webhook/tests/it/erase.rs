//! A user erased from stored webhooks.

use std::time::Duration;

use outeract_domain::ApplicationId;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_proto::webhook::admin::v1::{GetWebhookRequest, ReplaySelection, SetDecodingRequest, StartReplayRequest};
use outeract_proto::webhook::internal::v1::{EraseUserRequest, EraseUserResponse};
use outeract_rpc::reason;
use outeract_testkit::eventually;
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::bodies::{AT, change, entry, one_text, post, text};
use crate::suite::{Instance, LONG, Number, Suite};

const ANN: &str = "16505551234";

fn request(application: ApplicationId, numbers: &[&str], erasure: u128) -> EraseUserRequest {
    EraseUserRequest {
        application_id: application.bytes(),
        erasure_id: Uuid::from_u128(erasure).as_bytes().to_vec(),
        wa_ids: vec![ANN.to_owned()],
        user_ids: vec!["US.1".to_owned()],
        phone_number_ids: numbers.iter().map(|number| (*number).to_owned()).collect(),
        ..EraseUserRequest::default()
    }
}

async fn erase(instance: &Instance, request: &EraseUserRequest) -> EraseUserResponse {
    instance
        .for_messaging()
        .erase_user(request.clone())
        .await
        .unwrap()
        .into_inner()
}

async fn erased(instance: &Instance, request: &EraseUserRequest) -> EraseUserResponse {
    eventually(LONG, async || erase(instance, request).await.done).await;
    erase(instance, request).await
}

/// Every stored body, as an operator reads it, oldest first.
async fn bodies(suite: &Suite, instance: &Instance) -> Vec<String> {
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from webhook.post order by id")
        .fetch_all(suite.db.admin())
        .await
        .unwrap();
    let mut operator = instance.admin(suite.key(None, &[])).await;
    let mut bodies = Vec::new();
    for id in ids {
        let id = outeract_domain::WebhookId::from_uuid(id).to_string();
        let webhook = operator
            .get_webhook(GetWebhookRequest { id })
            .await
            .unwrap()
            .into_inner();
        bodies.push(String::from_utf8(webhook.body).unwrap());
    }
    bodies
}

fn bob(wamid: &str) -> Value {
    json!({"from": "4915112345678", "id": wamid, "timestamp": AT, "type": "text", "text": {"body": "bob"}})
}

/// Three webhooks of two users and two applications; of the first application one number is disconnected. Returns the first application's numbers, and the webhook that does not name Ann.
async fn stored(suite: &Suite, instance: &Instance) -> (Number, Number, String) {
    let (mine, ended, other) = (Number::new("7", "1"), Number::new("7", "3"), Number::new("8", "2"));
    let mut ended = ended;
    ended.application = mine.application;
    instance
        .push(vec![
            mine.active(),
            other.active(),
            ended.snapshot(1, outeract_proto::connection::v1::ConnectionState::Disconnected),
        ])
        .await;
    for wamid in ["wamid.ANN.q", "wamid.BOB.q", "wamid.OTHER.q"] {
        suite.siblings.world().refused.insert(wamid.to_owned());
    }
    let quarantined = vec![
        text("wamid.ANN.q", "secret"),
        bob("wamid.BOB.q"),
        text("wamid.ANN", "secret"),
    ];
    instance
        .stored(&post(&[
            entry(
                "7",
                &[
                    change("1", quarantined, vec![]),
                    change("3", vec![text("wamid.ANN.p", "secret"), bob("wamid.BOB.p")], vec![]),
                ],
            ),
            entry(
                "8",
                &[change(
                    "2",
                    vec![text("wamid.OTHER.q", "of another application")],
                    vec![],
                )],
            ),
        ]))
        .await;
    let news = json!({"field": "something_new", "value": {"people": [{"user_id": "US.1", "note": "secret"}, {"user_id": "US.2"}]}});
    instance.stored(&post(&[entry("7", &[news])])).await;
    let untouched = post(&[entry("7", &[change("1", vec![bob("wamid.BOB")], vec![])])]);
    let untouched = String::from_utf8(untouched).unwrap().replace(ANN, "4915112345678");
    instance.stored(untouched.as_bytes()).await;
    suite.settled().await;
    let before = suite.accounts().await;
    assert_eq!(before, [8, 2, 0, 2, 1, 3]);
    (mine, ended, untouched)
}

#[tokio::test]
async fn nothing_of_the_user_is_left_and_everything_of_others_is() {
    let (suite, instance) = Suite::with_instance().await;
    let (mine, ended, untouched) = stored(&suite, &instance).await;
    // A number that is another application's is not looked at, whatever is asked.
    let request = request(mine.application, &["1", "3", "2"], 1);
    let first = erase(&instance, &request).await;
    assert_eq!((first.done, first.erased, first.scanned), (false, 0, 0));
    let proof = erased(&instance, &request).await;
    // Two contacts, three messages and one of the people; two items that were listed.
    assert_eq!((proof.scanned, proof.erased), (3, 8));
    assert_eq!(erase(&instance, &request).await, proof, "asking again changes nothing");

    let bodies = bodies(&suite, &instance).await;
    assert_eq!(bodies[2], untouched, "byte for byte");
    assert!(
        !bodies[0].contains("secret") && !bodies[1].contains("secret") && !bodies[1].contains("US.1"),
        "{bodies:?}"
    );
    let left: Value = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!(
        left["entry"][1]["changes"][0]["value"]["messages"][0]["text"]["body"],
        "of another application"
    );
    assert_eq!(
        left["entry"][0]["changes"][0]["value"]["messages"][1]["text"]["body"],
        "bob"
    );
    assert!(left["entry"][0]["changes"][0]["value"]["messages"][0].is_null());

    // What was applied stays accounted; what was not is discarded.
    suite.check().await;
    assert_eq!(suite.accounts().await, [8, 2, 0, 1, 1, 2]);
    let discarded = suite.listed(6).await;
    let at = |pointer: &str| (format!("/entry/0/changes/{pointer}"), "ERASED".to_owned());
    assert_eq!(discarded, [at("0/value/messages/0"), at("1/value/messages/0")]);
    assert_eq!(
        suite
            .count("select count(*) from webhook.erasure where identities is not null")
            .await,
        0
    );
    nobody_is_brought_back(&suite, &instance, &mine, &ended).await;
}

/// Not by a connection that comes, and not by a replay.
async fn nobody_is_brought_back(suite: &Suite, instance: &Instance, mine: &Number, ended: &Number) {
    suite.siblings.world().refused.clear();
    let told = suite.siblings.world().applied.len();
    instance
        .push(vec![
            ended.snapshot(2, outeract_proto::connection::v1::ConnectionState::Active),
        ])
        .await;
    let mut operator = instance.admin(suite.key(None, &[])).await;
    let selection = ReplaySelection {
        outcomes: vec![1, 4, 5, 6],
        ..ReplaySelection::default()
    };
    operator
        .start_replay(StartReplayRequest {
            selection: Some(selection),
            why: "a test".to_owned(),
        })
        .await
        .unwrap();
    eventually(LONG, async || {
        suite.count("select count(*) from webhook.replay where state = 1").await == 0 && suite.accounts().await[3] == 0
    })
    .await;
    suite.check().await;
    assert_eq!(suite.accounts().await[5], 0, "the other two were taken");
    let ann = suite.siblings.world().applied[told..]
        .iter()
        .filter(|item| item.application_id == mine.application.bytes())
        .filter(|item| matches!(&item.kind, Some(outeract_proto::messaging::internal::v1::item::Kind::Inbound(inbound)) if inbound.wa_id == ANN))
        .count();
    assert_eq!(ann, 0);
}

#[tokio::test]
async fn what_is_not_decoded_yet_is_waited_for_and_what_comes_later_stays() {
    let (mut suite, instance) = Suite::with_instance().await;
    let mine = Number::new("7", "1");
    instance.push(vec![mine.active()]).await;
    let mut operator = instance.admin(suite.key(None, &[])).await;
    let pause = |paused| SetDecodingRequest {
        paused,
        why: "a test".to_owned(),
    };
    operator.set_decoding(pause(true)).await.unwrap();
    instance.stored(&one_text("7", "1", "wamid.BEFORE")).await;
    let request = request(mine.application, &["1"], 2);
    erase(&instance, &request).await;
    instance.stored(&one_text("7", "1", "wamid.AFTER")).await;
    // Long enough for the erasure to look for work twice.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(erase(&instance, &request).await.scanned, 0);
    // A death in between changes nothing.
    instance.kill().await;
    let instance = suite.start().await;
    let mut operator = instance.admin(suite.key(None, &[])).await;
    operator.set_decoding(pause(false)).await.unwrap();
    let proof = erased(&instance, &request).await;
    assert!(proof.erased > 0, "{proof:?}");
    suite.settled().await;
    assert_eq!(suite.siblings.recorded().len(), 2, "both became events first");
    let bodies = bodies(&suite, &instance).await;
    assert!(!bodies[0].contains(ANN) && bodies[1].contains(ANN), "{bodies:?}");
}

#[tokio::test]
async fn only_messaging_erases_and_bad_requests_name_their_field() {
    let (suite, instance) = Suite::with_instance().await;
    let mine = Number::new("7", "1");
    let good = request(mine.application, &["1"], 3);
    let status = instance.internal().erase_user(good.clone()).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::PermissionDenied, Some(ErrorReason::ScopeMissing))
    );
    let bad = [
        EraseUserRequest {
            application_id: vec![1],
            ..good.clone()
        },
        EraseUserRequest {
            erasure_id: Vec::new(),
            ..good.clone()
        },
        EraseUserRequest {
            wa_ids: vec!["1".to_owned()],
            ..good.clone()
        },
        EraseUserRequest {
            phone_number_ids: Vec::new(),
            ..good.clone()
        },
    ];
    for request in bad {
        let status = instance.for_messaging().erase_user(request).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::InvalidArgument, Some(ErrorReason::InvalidField))
        );
    }
    assert_eq!(suite.count("select count(*) from webhook.erasure").await, 0);
    // Nothing is stored: it is done with nothing.
    assert_eq!(
        erased(&instance, &good).await,
        EraseUserResponse {
            done: true,
            erased: 0,
            scanned: 0
        }
    );
    let readable = "select count(*) from webhook.erasure where position(convert_to('16505551234', 'UTF8') in coalesce(identities, ''::bytea)) > 0";
    let second = request(mine.application, &["1"], 4);
    erase(&instance, &second).await;
    assert_eq!(suite.count(readable).await, 0, "identities are sealed");
}
