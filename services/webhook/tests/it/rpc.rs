use std::time::Duration;

use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_proto::webhook::admin::v1 as admin;
use outeract_proto::webhook::admin::v1::{GetWebhookRequest, SetDecodingRequest};
use outeract_proto::webhook::internal::v1::PushConnectionsRequest;
use outeract_proto::webhook::v1::{Item, ItemOutcome, ListItemsRequest};
use outeract_rpc::reason;
use outeract_testkit::eventually;
use tokio::time::Instant;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::bodies::{change, entry, one_text, post, text, unknown};
use crate::suite::{LONG, Number, Suite};

fn request(outcome: ItemOutcome, page_size: i32, page_token: &str) -> ListItemsRequest {
    ListItemsRequest {
        outcome: outcome.into(),
        page_size,
        page_token: page_token.to_owned(),
    }
}

fn operator_request(outcome: ItemOutcome, page_size: i32, page_token: &str) -> admin::ListItemsRequest {
    admin::ListItemsRequest {
        outcome: outcome.into(),
        page_size,
        page_token: page_token.to_owned(),
    }
}

fn places(items: &[Item]) -> Vec<(String, String)> {
    items
        .iter()
        .map(|item| (item.webhook_id.clone(), item.pointer.clone()))
        .collect()
}

#[tokio::test]
async fn an_application_sees_its_own_items_only_and_an_operator_all() {
    let (suite, instance) = Suite::with_instance().await;
    let (mine, other) = (Number::new("7", "1"), Number::new("8", "2"));
    instance.push(vec![mine.active(), other.active()]).await;
    for n in 0..3 {
        let images = || {
            vec![
                unknown("wamid.A"),
                serde_json::json!({"id": n}),
                text("wamid.B", "applied"),
            ]
        };
        instance
            .stored(&post(&[
                entry("7", &[change("1", images(), vec![])]),
                entry("8", &[change("2", images(), vec![])]),
                entry("9", &[change("3", vec![text("wamid.C", "parked")], vec![])]),
            ]))
            .await;
    }
    suite.settled().await;

    let mut client = instance
        .webhooks(suite.key(Some(mine.application), &["webhooks:read"]))
        .await;
    let all = client
        .list_items(request(ItemOutcome::Unspecified, 0, ""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(all.next_page_token, "");
    assert_eq!(all.items.len(), 6);
    for item in &all.items {
        assert!(
            item.webhook_id.starts_with("wh_") && item.pointer.starts_with("/entry/0/"),
            "{item:?}"
        );
        assert_eq!(
            (item.field.as_str(), item.connection_id.as_str()),
            ("messages", mine.connection.to_string().as_str())
        );
        assert!(item.receive_time.is_some());
    }
    let times: Vec<_> = all
        .items
        .iter()
        .map(|item| item.receive_time.map(|at| (at.seconds, at.nanos)))
        .collect();
    assert!(
        times.is_sorted_by(|left, right| left >= right),
        "newest first: {times:?}"
    );

    // Pages give the same items, each once.
    let mut paged = Vec::new();
    let mut token = String::new();
    loop {
        let page = client
            .list_items(request(ItemOutcome::Unspecified, 4, &token))
            .await
            .unwrap()
            .into_inner();
        paged.extend(page.items);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(places(&paged), places(&all.items));
    let unsupported = client
        .list_items(request(ItemOutcome::Unsupported, 250, ""))
        .await
        .unwrap()
        .into_inner()
        .items;
    assert_eq!(unsupported.len(), 3);
    assert!(unsupported.iter().all(|item| item.reason == "MESSAGE_TYPE_UNSUPPORTED"));

    let mut operator = instance.admin(suite.key(None, &[])).await;
    let seen = operator
        .list_items(operator_request(ItemOutcome::Unspecified, 250, ""))
        .await
        .unwrap()
        .into_inner()
        .items;
    assert_eq!(seen.len(), 15);
    let parked = operator
        .list_items(operator_request(ItemOutcome::Parked, 2, ""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((parked.items.len(), parked.next_page_token.is_empty()), (2, false));
    assert_eq!(
        suite
            .count("select count(*) from webhook.audit where action = 'ListItems'")
            .await,
        2
    );
}

#[tokio::test]
async fn bad_requests_name_their_field() {
    let (suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    instance.push(vec![number.active()]).await;
    instance
        .stored(&post(&[entry(
            "7",
            &[change("1", vec![unknown("wamid.A"), unknown("wamid.B")], vec![])],
        )]))
        .await;
    suite.settled().await;
    let mut client = instance
        .webhooks(suite.key(Some(number.application), &["webhooks:read"]))
        .await;
    let token = client
        .list_items(request(ItemOutcome::Unspecified, 1, ""))
        .await
        .unwrap()
        .into_inner()
        .next_page_token;

    let bad = [
        (request(ItemOutcome::Applied, 0, ""), "outcome"),
        (
            ListItemsRequest {
                outcome: 99,
                ..ListItemsRequest::default()
            },
            "outcome",
        ),
        (request(ItemOutcome::Unspecified, -1, ""), "page_size"),
        (request(ItemOutcome::Unspecified, 251, ""), "page_size"),
    ];
    for (request, path) in bad {
        let status = client.list_items(request).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::InvalidArgument, Some(ErrorReason::InvalidField))
        );
        assert_eq!(
            status.get_details_bad_request().unwrap().field_violations[0].field,
            path
        );
    }
    let mut another = instance
        .webhooks(suite.key(Some(Number::new("8", "2").application), &["webhooks:read"]))
        .await;
    let refused = [
        client
            .list_items(request(ItemOutcome::Unspecified, 1, "nonsense"))
            .await
            .unwrap_err(),
        client
            .list_items(request(ItemOutcome::Quarantined, 1, &token))
            .await
            .unwrap_err(),
        another
            .list_items(request(ItemOutcome::Unspecified, 1, &token))
            .await
            .unwrap_err(),
    ];
    for status in refused {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::InvalidArgument, Some(ErrorReason::CursorInvalid))
        );
    }

    let mut unscoped = instance
        .webhooks(suite.key(Some(number.application), &["events:read"]))
        .await;
    let status = unscoped
        .list_items(request(ItemOutcome::Unspecified, 0, ""))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::PermissionDenied, Some(ErrorReason::ScopeMissing))
    );
    let mut impostor = instance.admin(suite.key(Some(number.application), &["*"])).await;
    let status = impostor.get_webhook(GetWebhookRequest::default()).await.unwrap_err();
    assert!(
        matches!(
            status.code(),
            Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented
        ),
        "{status:?}"
    );
}

#[tokio::test]
async fn an_operator_reads_a_webhook_byte_for_byte_and_leaves_a_trace() {
    let (suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    instance.push(vec![number.active()]).await;
    let body = br#"{ "object":"whatsapp_business_account", "entry":[ {"id":"7","changes":[17]} ] }"#;
    instance.stored(body).await;
    suite.settled().await;
    let mut operator = instance.admin(suite.key(None, &[])).await;
    let listed = operator
        .list_items(operator_request(ItemOutcome::Quarantined, 0, ""))
        .await
        .unwrap()
        .into_inner()
        .items;
    let id = listed[0].webhook_id.clone();
    let webhook = operator
        .get_webhook(GetWebhookRequest { id: id.clone() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((webhook.id.as_str(), webhook.body.as_slice()), (id.as_str(), &body[..]));
    assert_eq!(webhook.receive_time, listed[0].receive_time);
    let accounting = webhook.accounting.unwrap();
    assert_eq!(
        (accounting.items, accounting.quarantined, accounting.applied),
        (1, 1, 0)
    );
    assert_eq!(suite.count("select count(*) from webhook.audit where action = 'GetWebhook' and subject like 'wh_%' and detail = 'read'").await, 1);

    let status = operator
        .get_webhook(GetWebhookRequest {
            id: "wh_01h455vb4pex5vsknk084sn02q".to_owned(),
        })
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );
    for bad in ["", "evt_01h455vb4pex5vsknk084sn02q", "wh_"] {
        let status = operator
            .get_webhook(GetWebhookRequest { id: bad.to_owned() })
            .await
            .unwrap_err();
        assert_eq!(reason(&status), Some(ErrorReason::InvalidField), "{bad}");
    }
}

#[tokio::test]
async fn an_operator_stops_decoding_on_every_replica_and_webhooks_are_stored_all_the_same() {
    let (mut suite, instance) = Suite::with_instance().await;
    let replica = suite.start().await;
    let number = Number::new("7", "1");
    instance.push(vec![number.active()]).await;
    let mut operator = instance.admin(suite.key(None, &[])).await;
    for why in ["", "  ", &"x".repeat(201)] {
        let status = operator
            .set_decoding(SetDecodingRequest {
                paused: true,
                why: why.to_owned(),
            })
            .await
            .unwrap_err();
        assert_eq!(reason(&status), Some(ErrorReason::InvalidField));
    }
    operator
        .set_decoding(SetDecodingRequest {
            paused: true,
            why: "incident".to_owned(),
        })
        .await
        .unwrap();
    // It takes effect within two seconds on the other replica; nothing tells when it has.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for n in 0..5 {
        instance.stored(&one_text("7", "1", &format!("wamid.{n}"))).await;
        replica.stored(&one_text("7", "1", &format!("wamid.r{n}"))).await;
    }
    instance.push(vec![number.snapshot(2, ConnectionState::Active)]).await;
    let reported = suite.siblings.world().reports.len();
    eventually(LONG, async || {
        suite
            .siblings
            .world()
            .reports
            .iter()
            .skip(reported)
            .filter(|oldest| oldest.is_some())
            .count()
            >= 2
    })
    .await;
    assert_eq!(suite.accounts().await[0], 0);

    operator
        .set_decoding(SetDecodingRequest {
            paused: false,
            why: "over".to_owned(),
        })
        .await
        .unwrap();
    let resumed = Instant::now();
    suite.settled().await;
    assert!(resumed.elapsed() < Duration::from_secs(4), "{:?}", resumed.elapsed());
    assert_eq!(suite.accounts().await, [10, 10, 0, 0, 0, 0]);
    assert_eq!(
        suite
            .count("select count(*) from webhook.audit where action = 'SetDecoding'")
            .await,
        2
    );
}

#[tokio::test]
async fn only_connection_pushes_and_bad_snapshots_change_nothing() {
    let (suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    let mut bad = number.active();
    bad.phone_number_id = "1/2".to_owned();
    let status = instance
        .internal()
        .push_connections(PushConnectionsRequest {
            connections: vec![number.active(), bad],
        })
        .await
        .unwrap_err();
    assert_eq!(
        status.get_details_bad_request().unwrap().field_violations[0].field,
        "connections[1].phone_number_id"
    );
    assert_eq!(suite.count("select count(*) from webhook.route").await, 0);
    instance.push(vec![number.active()]).await;
    assert_eq!(suite.count("select count(*) from webhook.route").await, 1);
    let shown =
        "select count(*) from webhook.route where position(convert_to('15550783881', 'UTF8') in display_number) > 0";
    assert_eq!(suite.count(shown).await, 0, "phone numbers are sealed");
}
