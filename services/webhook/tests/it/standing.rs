//! News of accounts reach the connection service.

use outeract_testkit::eventually;
use serde_json::{Value, json};
use tonic::Code;

use crate::bodies::{change, entry, post, text};
use crate::suite::{LONG, Number, Suite};

const AT: i64 = 1_795_428_000;

fn news(field: &str, value: &Value) -> Value {
    json!({"field": field, "value": value})
}

fn at(mut entry: Value) -> Value {
    entry["time"] = json!(AT);
    entry
}

fn banned() -> Value {
    news(
        "account_update",
        &json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}}),
    )
}

fn removed() -> Value {
    let value = json!({"event": "PARTNER_REMOVED", "phone_number": "15550783881", "waba_info": {"waba_id": "7", "partner_app_id": 5}});
    news("account_update", &value)
}

#[tokio::test]
async fn connection_hears_of_a_ban_before_its_event_is_recorded_and_of_the_end_of_a_link_after_it() {
    let (suite, instance) = Suite::with_instance().await;
    instance.push(vec![Number::new("7", "1").active()]).await;
    let other = news("message_template_quality_update", &json!({"new_quality_score": "RED"}));
    let restricted = news(
        "account_update",
        &json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": AT + 60}]}),
    );
    let body = post(&[
        at(entry("7", &[banned(), restricted, other])),
        at(entry("900", &[removed()])),
    ]);
    instance.stored(&body).await;
    suite.settled().await;
    assert_eq!(suite.accounts().await[0], 4);
    let world = suite.siblings.world();
    let told: Vec<_> = world
        .reported
        .iter()
        .map(|(news, events)| (news.event.as_str(), news.waba_id.as_str(), *events))
        .collect();
    assert_eq!(
        told,
        [
            ("DISABLED_UPDATE", "7", 0),
            ("ACCOUNT_RESTRICTION", "7", 0),
            ("PARTNER_REMOVED", "7", world.events.len())
        ]
    );
    let [ban, restriction, link] = [0, 1, 2].map(|index| &world.reported[index].0);
    assert_eq!(ban.ban_state, "DISABLE");
    assert_eq!(ban.occur_time.as_ref().map(|at| at.seconds), Some(AT));
    let kind = &restriction.restrictions[0];
    assert_eq!(kind.r#type, "RESTRICTED_BIZ_INITIATED_MESSAGING");
    assert_eq!(kind.expire_time.as_ref().map(|at| at.seconds), Some(AT + 60));
    assert_eq!(
        (link.phone_number.as_str(), link.partner_app_id.as_str()),
        ("15550783881", "5")
    );
}

#[tokio::test]
async fn news_wait_for_connection_and_messages_ask_it_nothing() {
    let (suite, instance) = Suite::with_instance().await;
    instance.push(vec![Number::new("7", "1").active()]).await;
    suite.siblings.world().connection_fails = Some(Code::Unavailable);
    let message = change("1", vec![text("wamid.A", "hi")], Vec::new());
    instance.stored(&post(&[entry("7", &[message])])).await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [1, 1, 0, 0, 0, 0]);
    assert_eq!(suite.siblings.world().failures, 0);

    instance.stored(&post(&[at(entry("7", &[banned()]))])).await;
    eventually(LONG, async || suite.siblings.world().failures > 1).await;
    assert_eq!(suite.siblings.recorded().len(), 1, "no event before connection knows");
    suite.siblings.world().connection_fails = None;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [2, 2, 0, 0, 0, 0]);
    assert_eq!(suite.siblings.world().reported.len(), 1);
}

#[tokio::test]
async fn an_item_that_connection_cannot_take_is_quarantined_alone() {
    let (suite, instance) = Suite::with_instance().await;
    instance.push(vec![Number::new("7", "1").active()]).await;
    suite.siblings.world().connection_fails = Some(Code::InvalidArgument);
    let message = change("1", vec![text("wamid.A", "hi")], Vec::new());
    instance.stored(&post(&[at(entry("7", &[banned(), message]))])).await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [2, 1, 0, 0, 0, 1]);
    assert_eq!(suite.listed(5).await[0].1, "REPORT_REFUSED");
}

#[tokio::test]
async fn connection_hears_of_accounts_that_are_not_known_here() {
    let (suite, instance) = Suite::with_instance().await;
    instance.stored(&post(&[at(entry("8", &[banned()]))])).await;
    suite.settled().await;
    assert_eq!(suite.listed(4).await[0].1, "NO_CONNECTION");
    assert_eq!(suite.siblings.world().reported[0].0.waba_id, "8");
}
