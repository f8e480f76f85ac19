//! Outgoing webhooks: what is asked for, what arrives, and what it is signed with.

use std::collections::HashSet;

use outeract_proto::tracking::v1::{
    CreateSubscriptionRequest, DeleteSubscriptionRequest, DeliveryFailure, DeliveryOutcome, GetDeliveryRequest,
    GetSubscriptionRequest, ListDeliveriesRequest, ListSubscriptionsRequest, PauseSubscriptionRequest,
    ResumeSubscriptionRequest, RotateSecretRequest, Subscription, SubscriptionState, TestSubscriptionRequest,
    UpdateSubscriptionRequest, WebhookDelivery,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_testkit::eventually;
use tonic::Code;

use crate::receiver::{Answer, Receiver};
use crate::suite::{Hooks, Instance, LONG, Suite, ids, refusal};

pub(crate) const LOCAL: (&str, &str) = ("TRACKING_WEBHOOK_ALLOW_PRIVATE", "127.0.0.0/8");
pub(crate) const SECRET: &str = "a secret of the subscriber's own, long enough";

pub(crate) async fn started() -> (Suite, Instance) {
    let mut suite = Suite::new().await;
    let instance = suite.start(&[LOCAL]).await;
    (suite, instance)
}

pub(crate) fn wanted(url: &str) -> CreateSubscriptionRequest {
    CreateSubscriptionRequest {
        name: "orders".to_owned(),
        target_url: url.to_owned(),
        event_patterns: vec!["message.*".to_owned()],
        secret: SECRET.to_owned(),
    }
}

pub(crate) async fn create(hooks: &mut Hooks, url: &str) -> Subscription {
    let created = hooks.create_subscription(wanted(url)).await.unwrap().into_inner();
    created.subscription.unwrap()
}

pub(crate) async fn get(hooks: &mut Hooks, id: &str) -> Subscription {
    let request = GetSubscriptionRequest { id: id.to_owned() };
    hooks
        .get_subscription(request)
        .await
        .unwrap()
        .into_inner()
        .subscription
        .unwrap()
}

pub(crate) async fn deliveries(hooks: &mut Hooks, id: &str, outcome: DeliveryOutcome) -> Vec<WebhookDelivery> {
    let request = ListDeliveriesRequest {
        subscription_id: id.to_owned(),
        outcome: outcome.into(),
        ..ListDeliveriesRequest::default()
    };
    hooks.list_deliveries(request).await.unwrap().into_inner().deliveries
}

/// When a process last said that it lives.
pub(crate) async fn heartbeat(suite: &Suite) -> Option<time::OffsetDateTime> {
    sqlx::query_scalar("SELECT max(seen_at) FROM tracking.worker")
        .fetch_one(suite.db.admin())
        .await
        .unwrap()
}

#[tokio::test]
async fn events_arrive_signed_in_log_order_and_are_noted() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(200)).await;
    // What was before the subscription is not delivered.
    instance.record(vec![app.inbound(0)]).await;
    let subscription = create(&mut hooks, &receiver.url()).await;
    assert_eq!(subscription.state(), SubscriptionState::Active);
    let records: Vec<_> = (1..=20).map(|n| app.inbound(n)).collect();
    let expected = ids(&records);
    instance.record(records).await;
    eventually(LONG, async || receiver.received().len() == 20).await;
    // The first one is alone, for the target is not known yet.
    assert_eq!(receiver.events()[0], expected[0]);
    // Up to eight are under way at a time: none is begun before what goes eight or more before it has arrived.
    let arrived = receiver.events();
    assert_eq!(arrived.iter().collect::<HashSet<_>>().len(), expected.len());
    for (at, id) in arrived.iter().enumerate() {
        let place = expected.iter().position(|one| one == id).expect("recorded");
        assert!(place <= at + 7, "begun too early: {place} at {at}");
    }
    for received in receiver.received() {
        let json = received.json();
        assert_eq!(json["id"], received.id);
        assert_eq!(json["subscription_id"], subscription.id);
        assert_eq!(json["app_id"], app.id.to_string());
        assert_eq!(json["payload"]["message"]["role"], "user");
        assert_eq!(json["edges"]["sent_by"]["external_id"], "+14155559999");
        assert_eq!(received.signatures, [received.expected(SECRET)]);
    }
    eventually(LONG, async || get(&mut hooks.clone(), &subscription.id).await.lag == 0).await;
    let noted = deliveries(&mut hooks, &subscription.id, DeliveryOutcome::Unspecified).await;
    assert_eq!(noted.len(), 20);
    assert!(
        noted
            .iter()
            .all(|delivery| delivery.outcome() == DeliveryOutcome::Succeeded)
    );
    let request = GetDeliveryRequest {
        subscription_id: subscription.id.clone(),
        id: receiver.received()[0].id.clone(),
    };
    let delivery = hooks
        .get_delivery(request)
        .await
        .unwrap()
        .into_inner()
        .delivery
        .unwrap();
    assert_eq!(
        (delivery.attempt_count, delivery.event_id.as_str()),
        (1, expected[0].as_str())
    );
    assert_eq!(delivery.attempts[0].status_code, 200);
    assert_eq!(delivery.attempts[0].response_excerpt, "fancy");
}

#[tokio::test]
async fn patterns_choose_and_a_changed_subscription_goes_by_the_new_ones() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    let (old, new) = (
        Receiver::new(Answer::Status(200)).await,
        Receiver::new(Answer::Status(204)).await,
    );
    let request = CreateSubscriptionRequest {
        event_patterns: vec!["message.outbound".to_owned()],
        ..wanted(&old.url())
    };
    let created = hooks.create_subscription(request).await.unwrap().into_inner();
    let id = created.subscription.unwrap().id;
    let message = crate::suite::new_message();
    instance
        .record(vec![app.inbound(1), app.outbound(message), app.accepted(message)])
        .await;
    eventually(LONG, async || get(&mut hooks.clone(), &id).await.lag == 0).await;
    assert_eq!(old.events(), [message.to_string()]);
    let request = UpdateSubscriptionRequest {
        id: id.clone(),
        target_url: new.url(),
        event_patterns: vec!["message.inbound".to_owned()],
        ..UpdateSubscriptionRequest::default()
    };
    let updated = hooks
        .update_subscription(request)
        .await
        .unwrap()
        .into_inner()
        .subscription
        .unwrap();
    assert_eq!((updated.name.as_str(), updated.target_url), ("orders", new.url()));
    let test = hooks
        .test_subscription(TestSubscriptionRequest { id: id.clone() })
        .await
        .unwrap()
        .into_inner();
    assert!(test.success);
    assert_eq!(new.received()[0].json()["event_type"], "webhook.test");
    // What comes before the lane has learned of the change goes by what was.
    let mut n = 2;
    eventually(LONG, async || {
        n += 1;
        instance.record(vec![app.inbound(n)]).await;
        new.received().len() > 1
    })
    .await;
    assert_eq!(new.received()[1].json()["event_type"], "message.inbound");
    assert_eq!(old.received().len(), 1);
}

#[tokio::test]
async fn a_paused_subscription_keeps_its_place() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(200)).await;
    let id = create(&mut hooks, &receiver.url()).await.id;
    let pause = PauseSubscriptionRequest { id: id.clone() };
    let paused = hooks
        .pause_subscription(pause)
        .await
        .unwrap()
        .into_inner()
        .subscription
        .unwrap();
    assert_eq!(paused.state(), SubscriptionState::Paused);
    // The heartbeat after the next one finds that the one before has seen it.
    for _ in 0..2 {
        let before = heartbeat(&suite).await;
        eventually(LONG, async || heartbeat(&suite).await > before).await;
    }
    let records: Vec<_> = (1..=3).map(|n| app.inbound(n)).collect();
    instance.record(records).await;
    assert_eq!(get(&mut hooks, &id).await.lag, 3);
    assert!(receiver.received().is_empty());
    let resume = ResumeSubscriptionRequest { id: id.clone() };
    hooks.resume_subscription(resume).await.unwrap();
    eventually(LONG, async || receiver.received().len() == 3).await;
    hooks
        .delete_subscription(DeleteSubscriptionRequest { id: id.clone() })
        .await
        .unwrap();
    assert_eq!(
        refusal(hooks.get_subscription(GetSubscriptionRequest { id }).await),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );
}

#[tokio::test]
async fn while_a_secret_is_rotated_both_sign_and_afterwards_the_new_one_alone() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(200)).await;
    let id = create(&mut hooks, &receiver.url()).await.id;
    let request = RotateSecretRequest {
        id: id.clone(),
        secret: String::new(),
    };
    let rotated = hooks.rotate_secret(request).await.unwrap().into_inner();
    assert!(rotated.secret.starts_with("whsec_"));
    assert!(rotated.subscription.unwrap().previous_secret_expire_time.is_some());
    let test = TestSubscriptionRequest { id: id.clone() };
    hooks.test_subscription(test.clone()).await.unwrap();
    let both = receiver.received()[0].clone();
    assert_eq!(both.signatures, [both.expected(&rotated.secret), both.expected(SECRET)]);
    suite.db.advance(time::Duration::hours(25)).await;
    hooks.test_subscription(test).await.unwrap();
    let one = receiver.received()[1].clone();
    assert_eq!(one.signatures, [one.expected(&rotated.secret)]);
    assert!(get(&mut hooks, &id).await.previous_secret_expire_time.is_none());
}

#[tokio::test]
async fn what_may_not_be_called_is_refused_when_it_is_named_and_when_it_is_called() {
    let mut suite = Suite::new().await;
    let strict = suite.start(&[]).await;
    let app = suite.app();
    let mut hooks = strict.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(200)).await;
    let port = receiver.address.port();
    for url in [
        receiver.url(),
        format!("https://127.0.0.1:{port}/"),
        "https://127.0.0.1/".to_owned(),
        "https://localhost/".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://[::ffff:127.0.0.1]/".to_owned(),
        "https://user:secret@example.com/".to_owned(),
        "https://absent.invalid/".to_owned(),
        String::new(),
    ] {
        let status = hooks.create_subscription(wanted(&url)).await.unwrap_err();
        assert_eq!(
            refusal(Err::<(), _>(status)),
            (Code::InvalidArgument, Some(ErrorReason::InvalidField)),
            "{url}"
        );
    }
    // Created where it was allowed, called where it is not.
    let lenient = suite.start(&[LOCAL]).await;
    let id = create(&mut lenient.hooks(&app).await, &receiver.url()).await.id;
    let test = hooks
        .test_subscription(TestSubscriptionRequest { id })
        .await
        .unwrap()
        .into_inner();
    assert!(!test.success);
    assert_eq!(test.attempt.unwrap().failure(), DeliveryFailure::AddressRefused);
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_redirect_and_a_body_without_end_lead_nowhere() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    let metadata = Receiver::new(Answer::Status(200)).await;
    let receiver = Receiver::new(Answer::Redirect(metadata.address)).await;
    let id = create(&mut hooks, &receiver.url()).await.id;
    let test = TestSubscriptionRequest { id };
    let redirected = hooks.test_subscription(test.clone()).await.unwrap().into_inner();
    assert!(!redirected.success);
    assert_eq!(redirected.attempt.unwrap().status_code, 307);
    assert_eq!(metadata.connections(), 0);
    receiver.answer(Answer::Endless);
    let endless = hooks.test_subscription(test).await.unwrap().into_inner();
    assert!(endless.success);
    assert_eq!(endless.attempt.unwrap().response_excerpt.len(), 1_024);
}

#[tokio::test]
async fn every_broken_field_is_named_and_nothing_is_stored() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    let request = CreateSubscriptionRequest {
        name: String::new(),
        target_url: "ftp://x".to_owned(),
        event_patterns: vec!["message.*".to_owned(), "Message".to_owned()],
        secret: "short".to_owned(),
    };
    let status = hooks.create_subscription(request).await.unwrap_err();
    let details = tonic_types::StatusExt::get_details_bad_request(&status).unwrap();
    let fields: Vec<_> = details
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(fields, ["name", "event_patterns[1]", "secret", "target_url"]);
    let listed = hooks
        .list_subscriptions(ListSubscriptionsRequest::default())
        .await
        .unwrap();
    assert!(listed.into_inner().subscriptions.is_empty());
}

#[tokio::test]
async fn no_application_sees_anothers_subscriptions_or_events() {
    let (suite, instance) = started().await;
    let (ours, theirs) = (suite.app(), suite.app());
    let mut hooks = instance.hooks(&ours).await;
    let receiver = Receiver::new(Answer::Status(200)).await;
    let id = create(&mut hooks, &receiver.url()).await.id;
    let mut others = instance.hooks(&theirs).await;
    let listed = others
        .list_subscriptions(ListSubscriptionsRequest::default())
        .await
        .unwrap();
    assert!(listed.into_inner().subscriptions.is_empty());
    let absent = (Code::NotFound, Some(ErrorReason::NotFound));
    assert_eq!(
        refusal(others.get_subscription(GetSubscriptionRequest { id: id.clone() }).await),
        absent
    );
    assert_eq!(
        refusal(
            others
                .test_subscription(TestSubscriptionRequest { id: id.clone() })
                .await
        ),
        absent
    );
    assert_eq!(
        refusal(
            others
                .delete_subscription(DeleteSubscriptionRequest { id: id.clone() })
                .await
        ),
        absent
    );
    let listed = ListDeliveriesRequest {
        subscription_id: id,
        ..ListDeliveriesRequest::default()
    };
    assert_eq!(refusal(others.list_deliveries(listed).await), absent);
    let mine = vec![ours.inbound(1)];
    let expected = ids(&mine);
    instance.record(vec![theirs.inbound(1)]).await;
    instance.record(mine).await;
    eventually(LONG, async || !receiver.received().is_empty()).await;
    assert_eq!(receiver.events(), expected);
}
