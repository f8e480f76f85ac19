//! Sending.

use outeract_clock::{Clock as _, SystemClock};
use outeract_domain::EventId;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::{
    Priority, SendMessageRequest, SendTemplateMessageRequest, SubmissionState, TemplateContent, template_button,
};
use outeract_simulator::control::{ChangeTemplate, NewTemplate};

use super::given::{Short, button, short, spring_offer, texts, whole};
use super::*;
use crate::suite::{get, request};

#[tokio::test]
async fn a_template_message_is_filled_and_sent() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    // The first may be asked for while the account is read for the first time.
    let order = short(
        number,
        "order_confirmation",
        &[("body", 2, "#12345"), ("body", 1, "John")],
    );
    let answer = client
        .send_template_message(order.clone())
        .await
        .expect("sent")
        .into_inner();
    let status = answer.status.clone().expect("a status");
    assert_eq!((status.state(), status.success), (SubmissionState::Accepted, true));
    let again = client
        .send_template_message(order)
        .await
        .expect("replayed")
        .into_inner();
    assert_eq!((again.id.as_str(), again.replayed), (answer.id.as_str(), true));
    let Some(Kind::Template(told)) = get(&client, answer.id.parse().expect("an id"))
        .await
        .content
        .and_then(|content| content.kind)
    else {
        panic!("no template")
    };
    assert_eq!(told.body, texts(&["John", "#12345"]));

    let code = short(number, "verification_code", &[("body", 1, "123456")]);
    let update = short(
        number,
        "delivery_update",
        &[("header", 1, "7"), ("body", 1, "Ann"), ("body", 2, "Monday")],
    );
    for message in [code, update] {
        let sent = client.send_template_message(message).await.expect("sent").into_inner();
        assert!(sent.status.expect("a status").success);
    }
    let sent = client
        .send_message(whole(number, spring_offer()))
        .await
        .expect("sent")
        .into_inner();
    assert!(sent.status.expect("a status").success);
    let ledger = suite.ledger().await;
    let names: Vec<_> = ledger
        .into_iter()
        .filter_map(|accepted| accepted.template)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        [
            "order_confirmation",
            "verification_code",
            "delivery_update",
            "spring_offer"
        ]
    );
}

#[tokio::test]
async fn a_message_has_the_class_and_the_lifetime_of_its_template() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    suite.templates_known().await;
    let number = &suite.numbers[0];
    let code = TemplateContent {
        name: "verification_code".to_owned(),
        language_code: "en_US".to_owned(),
        one_time_code: "123456".to_owned(),
        ..TemplateContent::default()
    };
    let order = TemplateContent {
        name: "order_confirmation".to_owned(),
        language_code: "en_US".to_owned(),
        body: texts(&["John", "#1"]),
        ..TemplateContent::default()
    };
    let later = |template, priority: Priority| SendMessageRequest {
        priority: priority.into(),
        send_time: Some(prost_types::Timestamp {
            seconds: SystemClock.now().unix_timestamp() + 3_600,
            nanos: 0,
        }),
        ..whole(number, template)
    };
    let cases = [
        (later(order, Priority::Unspecified), Priority::Normal, 86_400.0),
        (later(code, Priority::Unspecified), Priority::Urgent, 600.0),
        (later(spring_offer(), Priority::Unspecified), Priority::Bulk, 86_400.0),
        (later(spring_offer(), Priority::Normal), Priority::Normal, 86_400.0),
    ];
    for (message, priority, lifetime) in cases {
        let stored = client.send_message(message).await.expect("stored").into_inner();
        let message: EventId = stored.id.parse().expect("an id");
        let terms: (i16, f64) = sqlx::query_as(
            "SELECT priority, extract(epoch FROM expires_at - ready_at)::double precision FROM messaging.queue WHERE message_id = $1",
        )
        .bind(message.uuid())
        .fetch_one(suite.database.admin())
        .await
        .expect("queued");
        assert_eq!(terms, (priority as i16, lifetime));
    }
}

#[tokio::test]
async fn what_does_not_fit_is_told_by_the_names_that_the_request_has_for_it() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let cases: [(&[Short<'_>], &[&str]); 6] = [
        (&[("body", 1, "John")], &["parameters"]),
        (
            &[("body", 1, "John"), ("body", 2, "#1"), ("body", 3, "a")],
            &["parameters[2].index"],
        ),
        (
            &[("footer", 1, "a"), ("body", 1, "John"), ("body", 2, "#1")],
            &["parameters[0].type"],
        ),
        (
            &[("body", 2, "a\nb"), ("body", 1, "")],
            &["parameters[1].text", "parameters[0].text"],
        ),
        (&[("body", 2, &"a".repeat(1_024)), ("body", 1, "John")], &["parameters"]),
        (
            &[("header", 1, "a"), ("body", 1, "John"), ("body", 2, "#1")],
            &["parameters[0].type"],
        ),
    ];
    for (parameters, paths) in cases {
        let wrong = client
            .send_template_message(short(number, "order_confirmation", parameters))
            .await;
        assert_eq!(fields(&wrong.expect_err("does not fit")), paths);
    }
    let unnamed = SendTemplateMessageRequest {
        language_code: String::new(),
        ..short(number, "", &[])
    };
    let wrong = client
        .send_template_message(unnamed)
        .await
        .expect_err("no template is named");
    assert_eq!(fields(&wrong), ["template_name", "language_code"]);
    let broken = SendTemplateMessageRequest {
        to_external_id: "1".to_owned(),
        idempotency_key: String::new(),
        ..short(number, "hello_world", &[])
    };
    let wrong = client
        .send_template_message(broken)
        .await
        .expect_err("two fields are broken");
    assert_eq!(fields(&wrong), ["idempotency_key", "to_external_id"]);
    assert!(suite.ledger().await.is_empty());
}

#[tokio::test]
async fn what_does_not_fit_in_a_whole_content_is_told_by_its_paths() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let much = TemplateContent {
        header: None,
        body: texts(&["Ann"]),
        buttons: vec![button(9, template_button::Kind::UrlSuffix("a".to_owned()))],
        ..spring_offer()
    };
    let wrong = client
        .send_message(whole(number, much))
        .await
        .expect_err("does not fit");
    assert_eq!(
        fields(&wrong),
        [
            "content.template.header",
            "content.template.body[1]",
            "content.template.buttons[0].index",
            "content.template.buttons",
            "content.template.buttons"
        ]
    );
    let code = TemplateContent {
        name: "verification_code".to_owned(),
        language_code: "en_US".to_owned(),
        one_time_code: "123456".to_owned(),
        ..TemplateContent::default()
    };
    let nameless = SendMessageRequest {
        to_external_id: "US.13491208655302741918".to_owned(),
        ..whole(number, code)
    };
    let wrong = client.send_message(nameless).await.expect_err("no number");
    assert_eq!(fields(&wrong), ["to_external_id"]);
    let over = TemplateContent {
        name: "flash_sale".to_owned(),
        body: texts(&["Ann", "SALE25"]),
        buttons: vec![
            button(0, template_button::Kind::CouponCode("SALE25".to_owned())),
            button(1, template_button::Kind::UrlSuffix("a".to_owned())),
        ],
        offer_expire_time: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        ..spring_offer()
    };
    let wrong = client
        .send_message(whole(number, over))
        .await
        .expect_err("the offer has ended");
    assert_eq!(fields(&wrong), ["content.template.offer_expire_time"]);
    let fallback = SendMessageRequest {
        fallback_template: Some(TemplateContent {
            body: texts(&["Ann"]),
            ..spring_offer()
        }),
        ..request(number, "+14155551234")
    };
    let wrong = client.send_message(fallback).await.expect_err("does not fit");
    assert_eq!(fields(&wrong), ["fallback_template.body[1]"]);
    assert!(suite.ledger().await.is_empty());
}

#[tokio::test]
async fn only_a_template_that_is_there_and_approved_is_sent() {
    let suite = Suite::new().await;
    let new = NewTemplate {
        waba_id: suite.waba.clone(),
        name: "awaited".to_owned(),
        status: "PENDING".to_owned(),
        quietly: true,
        ..NewTemplate::default()
    };
    let id = suite.meta.create_template(&new).await.expect("made").id;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let mut templates = instance.templates(&suite.key).await;
    let number = &suite.numbers[0];
    let pending = client
        .send_template_message(short(number, "awaited", &[]))
        .await
        .expect_err("not yet");
    assert_eq!(
        refused(&pending),
        (Code::FailedPrecondition, ErrorReason::TemplateNotApproved)
    );
    assert_eq!(
        pending.get_details_error_info().expect("info").metadata["status"],
        "PENDING"
    );
    let absent = client
        .send_template_message(short(number, "absent", &[]))
        .await
        .expect_err("no such template");
    assert_eq!(refused(&absent), (Code::NotFound, ErrorReason::TemplateNotFound));

    let change = ChangeTemplate {
        status: Some("APPROVED".to_owned()),
        quietly: true,
        ..ChangeTemplate::default()
    };
    suite.meta.change_template(&id, &change).await.expect("changed");
    suite.database.advance(MINUTE).await;
    suite.sync(&mut templates).await.expect("read");
    let sent = client
        .send_template_message(short(number, "awaited", &[]))
        .await
        .expect("sent")
        .into_inner();
    // Time has jumped, and its owner may have to take the number anew: the caller need not see the end.
    let message: EventId = sent.id.parse().expect("an id");
    suite.reaches(&client, message, SubmissionState::Accepted).await;
}

#[tokio::test]
async fn an_account_that_was_never_read_is_read_for_a_message() {
    let suite = Suite::new().await;
    suite
        .lists(Effect::Error {
            code: 2,
            http_status: Some(503),
            details: None,
            subcode: None,
            is_transient: None,
        })
        .await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let hello = short(number, "hello_world", &[]);
    let unread = client
        .send_template_message(hello.clone())
        .await
        .expect_err("Meta is away");
    assert_eq!(refused(&unread), (Code::Unavailable, ErrorReason::MetaUnavailable));
    assert!(
        unread
            .get_details_retry_info()
            .and_then(|info| info.retry_delay)
            .is_some()
    );
    suite.meta.clear_faults().await.expect("cleared");
    // Later than a minute after the beginning of the first reading, and before the next is due by itself.
    eventually(SOON, async || {
        let failures: i32 = sqlx::query_scalar("SELECT failures FROM messaging.template_sync")
            .fetch_one(suite.database.admin())
            .await
            .expect("a row");
        failures > 0
    })
    .await;
    sqlx::query("UPDATE messaging.template_sync SET not_before = '-infinity', due_at = 'infinity'")
        .execute(suite.database.admin())
        .await
        .expect("changed");
    let sent = client.send_template_message(hello).await.expect("sent").into_inner();
    assert!(sent.status.expect("a status").success);
    suite.templates_known().await;
}
