//! What Meta says of a portfolio's limit, on its way to where it counts.

use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{AccountItem, ItemOutcome, ItemResult};
use outeract_testkit::eventually;
use time::{Duration, OffsetDateTime};

use crate::instance::Instance;
use crate::suite::{Number, SOON, Suite, recipient};

fn timestamp(at: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.unix_timestamp(),
        nanos: at.nanosecond().cast_signed(),
    }
}

impl Suite {
    async fn limit(&self, portfolio: &str) -> Option<Option<i32>> {
        sqlx::query_scalar("SELECT unique_users FROM messaging.portfolio WHERE id = $1")
            .bind(portfolio)
            .fetch_optional(self.database.admin())
            .await
            .expect("a row or none")
    }

    async fn account(
        &self,
        instance: &Instance,
        number: &Number,
        field: &str,
        value: &str,
        at: OffsetDateTime,
    ) -> ItemResult {
        let item = AccountItem {
            field: field.to_owned(),
            value_json: value.as_bytes().to_vec(),
            receive_time: Some(timestamp(at)),
        };
        self.apply(instance, number, Kind::Account(item)).await
    }
}

const CAPABILITY: &str = "business_capability_update";

#[tokio::test]
async fn the_latest_of_snapshots_and_webhooks_is_a_portfolios_limit() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let (number, other) = (&suite.numbers[0], &suite.numbers[1]);
    let now = OffsetDateTime::now_utc();
    let waba = suite.waba.as_str();
    let webhook = async |value: &str, at| suite.account(&instance, number, CAPABILITY, value, at).await.outcome();

    // While nobody knows the portfolio, the account stands for it.
    let applied = webhook(r#"{"max_daily_conversations_per_business": "TIER_1K"}"#, now).await;
    assert_eq!(applied, ItemOutcome::Applied);
    assert_eq!(suite.limit(waba).await, Some(Some(1_000)));

    // It becomes known by one connection, then by the other: what was known of the account goes over.
    suite
        .change(&instance, number, |connection| {
            "1701".clone_into(&mut connection.portfolio_id);
        })
        .await;
    assert_eq!(suite.limit("1701").await, Some(Some(1_000)));
    assert_eq!(suite.limit(waba).await, None);
    let told = |limit: &'static str, at| {
        move |connection: &mut outeract_proto::connection::internal::v1::ConnectionSnapshot| {
            "1701".clone_into(&mut connection.portfolio_id);
            connection.messaging_limit = limit.to_owned();
            connection.messaging_limit_time = Some(timestamp(at));
        }
    };
    suite
        .change(&instance, other, told("TIER_2K", now + Duration::MINUTE))
        .await;
    assert_eq!(suite.limit("1701").await, Some(Some(2_000)));
    suite
        .change(&instance, other, told("TIER_250", now - Duration::MINUTE))
        .await;
    assert_eq!(suite.limit("1701").await, Some(Some(2_000)), "said earlier");
    suite
        .change(&instance, other, told("TIER_LOTS", now + Duration::HOUR))
        .await;
    assert_eq!(suite.limit("1701").await, Some(Some(2_000)), "a word that says nothing");

    webhook(
        r#"{"max_daily_conversations_per_business": 10000}"#,
        now + 2 * Duration::MINUTE,
    )
    .await;
    assert_eq!(suite.limit("1701").await, Some(Some(10_000)));
    webhook(r#"{"max_daily_conversations_per_business": 2000}"#, now).await;
    assert_eq!(suite.limit("1701").await, Some(Some(10_000)), "delivered late");
    let quality = r#"{"event": "THROUGHPUT_UPGRADE", "max_daily_conversations_per_business": "TIER_UNLIMITED"}"#;
    suite
        .account(
            &instance,
            number,
            "phone_number_quality_update",
            quality,
            now + 3 * Duration::MINUTE,
        )
        .await;
    assert_eq!(suite.limit("1701").await, Some(None));
    for broken in ["", "[]", "{"] {
        assert_eq!(webhook(broken, now).await, ItemOutcome::Refused, "{broken}");
    }
    assert_eq!(webhook("{}", now).await, ItemOutcome::Applied);
    assert_eq!(suite.limit("1701").await, Some(None));
}

#[tokio::test]
async fn what_waits_for_a_place_goes_on_when_the_limit_is_raised() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite
        .account(
            &instance,
            number,
            CAPABILITY,
            r#"{"max_daily_conversations_per_business": 250}"#,
            OffsetDateTime::now_utc(),
        )
        .await;
    suite
        .change(&instance, number, |connection| connection.paused = true)
        .await;
    let message = suite.store(&mut client, number, &recipient(1)).await;
    let done = sqlx::query(
        "UPDATE messaging.queue SET ready_at = messaging.now_() + interval '20 hours', reason = 'QUOTA_EXHAUSTED' WHERE message_id = $1",
    )
    .bind(message.uuid())
    .execute(suite.database.admin())
    .await
    .expect("set");
    assert_eq!(done.rows_affected(), 1);
    // A process that starts finds out what it waits for, and until when.
    instance.stop().await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    suite
        .change(&instance, number, |connection| connection.paused = false)
        .await;
    let waiting = crate::suite::get(&client, message).await;
    let error = waiting.error.expect("a reason");
    assert_eq!((error.reason.as_str(), error.retryable), ("QUOTA_EXHAUSTED", true));
    assert!(waiting.next_attempt_time.is_some());
    assert!(suite.ledger().await.is_empty());

    let raise = r#"{"max_daily_conversations_per_business": "TIER_2K"}"#;
    suite
        .account(&instance, number, CAPABILITY, raise, OffsetDateTime::now_utc())
        .await;
    eventually(SOON, async || suite.ledger().await.len() == 1).await;
}
