//! The exact quota of a portfolio over several numbers, accounts and processes, while Redis forgets.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use outeract_domain::EventId;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::{
    MessageContent, SendMessageRequest, SendWait, SubmissionState, TemplateContent, ValidateMessageRequest,
};
use outeract_simulator::Accepted;
use outeract_simulator::control::NewTemplate;
use outeract_testkit::eventually;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::batch::store_all;
use crate::instance::{Client, Instance};
use crate::suite::{Number, SOON, Suite, get, id, message_of, order, recipient, request};

/// Unique users in 24 hours, and what Meta calls that.
const LIMIT: usize = 1_000;
const NAMED: &str = "TIER_1K";
/// What it is raised to in the end.
const RAISED: usize = 1_500;
/// Users outside the window; every tenth is written to from two numbers.
const NEW: usize = 5_000;
/// Replies inside it.
const REPLIES: usize = 1_000;
/// Each owns a number.
const PROCESSES: usize = 8;
/// Messages of one call.
const AT_ONCE: usize = 100;
/// How often Redis forgets.
const FLUSHES: Duration = Duration::from_millis(500);
/// A marketing template.
const PROMOTION: &str = "promotion";

impl Suite {
    /// The connections belong to one portfolio with this limit; half of them to another account of it.
    pub(crate) async fn one_portfolio(&self, instance: &Instance, limit: &str) {
        for (index, number) in self.numbers.iter().enumerate() {
            self.change(instance, number, |connection| {
                "1701".clone_into(&mut connection.portfolio_id);
                limit.clone_into(&mut connection.messaging_limit);
                connection.messaging_limit_time = Some(prost_types::Timestamp {
                    seconds: OffsetDateTime::now_utc().unix_timestamp(),
                    nanos: 0,
                });
                if index % 2 == 1 {
                    "102290129340399".clone_into(&mut connection.waba_id);
                }
            })
            .await;
        }
    }

    /// The portfolio's other account, which Meta does not know, has the first one's templates.
    pub(crate) async fn templates_of_both(&self) {
        self.templates_known().await;
        for copied in [
            "INSERT INTO messaging.template SELECT (jsonb_populate_record(t, '{\"waba_id\": \"102290129340399\"}')).* FROM messaging.template t",
            "INSERT INTO messaging.template_sync (waba_id, due_at, synced_at) VALUES ('102290129340399', 'infinity', now()) ON CONFLICT (waba_id) DO UPDATE SET synced_at = now()",
        ] {
            sqlx::query(copied)
                .execute(self.database.admin())
                .await
                .expect("copied");
        }
    }

    /// Orders to new users, every tenth of them two, from different numbers through different processes; and replies. Gives the messages of both.
    async fn store_orders_and_replies(&self, clients: &[Client]) -> (Vec<EventId>, Vec<EventId>) {
        let orders = (0..NEW + NEW / 10).map(|index| {
            let (number, user) = if index < NEW {
                (index, index)
            } else {
                (index + 1, (index - NEW) * 10)
            };
            template(&self.numbers[number % PROCESSES], &new_user(user))
        });
        let replies = (0..REPLIES).map(|index| request(&self.numbers[index % PROCESSES], &recipient(index)));
        let (orders, replies): (Vec<_>, Vec<_>) = (orders.collect(), replies.collect());
        // One call at a time of each process.
        let store = async |messages: &[SendMessageRequest]| {
            let calls = messages.chunks(AT_ONCE).zip(clients.iter().cycle());
            let calls = calls.map(|(some, client)| store_all(client, some.to_vec()));
            let ids: Vec<_> = stream::iter(calls).buffer_unordered(clients.len()).collect().await;
            ids.concat()
        };
        tokio::join!(store(&orders), store(&replies))
    }

    /// Waits until everything was either sent or waits for a place.
    async fn all_sent_or_waiting(&self) {
        eventually(SOON, async || {
            let undecided: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM messaging.queue WHERE phone_number_id <> '' AND (state, reason) IS DISTINCT FROM (1, 'QUOTA_EXHAUSTED')",
            )
            .fetch_one(self.database.admin())
            .await
            .expect("a count");
            undecided == 0
        })
        .await;
    }

    /// One of the messages waits for a place, and says until when.
    async fn says_when_it_goes(&self, client: &Client, stored: &[EventId], ledger: &[Accepted]) {
        let sent: HashSet<_> = ledger.iter().map(message_of).collect();
        let waiting = stored.iter().find(|message| !sent.contains(&message.uuid()));
        let waiting = get(client, *waiting.expect("one that waits")).await;
        assert_eq!(
            (waiting.state(), waiting.obstacles[0].reason.as_str()),
            (SubmissionState::Queued, "QUOTA_EXHAUSTED")
        );
        let retry =
            waiting.obstacles[0].retry_time.expect("a time").seconds - OffsetDateTime::now_utc().unix_timestamp();
        assert!((23 * 3_600..=24 * 3_600 + 62).contains(&retry), "{retry}");
    }

    /// Redis forgets what it knows for these tests.
    async fn flush_redis(&self) {
        let (url, prefix) = (self.redis_url(), format!("{}*", self.redis_prefix()));
        let address = url
            .split("//")
            .nth(1)
            .and_then(|rest| rest.split('/').next())
            .expect("an address");
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("Redis");
        let script = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end return 'done'";
        let mut call = "*4\r\n".to_owned();
        for part in ["EVAL", script, "0", &prefix] {
            write!(call, "${}\r\n{part}\r\n", part.len()).expect("a string takes it");
        }
        stream.write_all(call.as_bytes()).await.expect("written");
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"$4\r\ndone\r\n");
    }
}

pub(crate) fn new_user(index: usize) -> String {
    format!("+1415556{index:04}")
}

pub(crate) fn template(number: &Number, to: &str) -> SendMessageRequest {
    SendMessageRequest {
        wait: SendWait::Stored.into(),
        ..order(number, to)
    }
}

fn marketing(number: &Number, to: &str) -> SendMessageRequest {
    let promotion = TemplateContent {
        name: PROMOTION.to_owned(),
        language_code: "en_US".to_owned(),
        ..TemplateContent::default()
    };
    SendMessageRequest {
        content: Some(MessageContent {
            kind: Some(Kind::Template(promotion)),
        }),
        wait: SendWait::Stored.into(),
        ..request(number, to)
    }
}

#[tokio::test]
async fn exactly_as_many_new_users_as_meta_allows_are_written_to_and_replies_go_on() {
    let suite = Suite::with_numbers(PROCESSES).await;
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(suite.start_patient().await);
    }
    suite.templates_of_both().await;
    suite.one_portfolio(&processes[0], NAMED).await;
    let mut clients: Vec<Client> = Vec::new();
    for process in &processes {
        clients.push(process.client(&suite.key).await);
    }

    // Redis forgets as long as anything is undecided.
    let (decided, mut over) = tokio::sync::oneshot::channel::<()>();
    let flushes = async {
        let mut times = 0;
        loop {
            suite.flush_redis().await;
            times += 1;
            tokio::select! {
                _ = &mut over => return times,
                () = tokio::time::sleep(FLUSHES) => {}
            }
        }
    };
    let sends = async {
        let (stored, replies) = suite.store_orders_and_replies(&clients).await;
        for reply in &replies {
            suite.reaches(&clients[0], *reply, SubmissionState::Accepted).await;
        }
        suite.all_sent_or_waiting().await;
        let _ = decided.send(());
        stored
    };
    let (stored, flushed): (Vec<EventId>, usize) = tokio::join!(sends, flushes);
    let ledger = suite.ledger().await;
    let replied = ledger.iter().filter(|accepted| accepted.r#type == "text").count();
    let written = new_users(&ledger);
    println!(
        "{written} of {NEW} new users were written to, {replied} of {REPLIES} replies were sent, Redis forgot {flushed} times"
    );
    assert_eq!((written, replied), (LIMIT, REPLIES));
    suite.says_when_it_goes(&clients[0], &stored, &ledger).await;

    // Meta raises the limit: exactly so many more go.
    suite.one_portfolio(&processes[0], &RAISED.to_string()).await;
    eventually(SOON, async || new_users(&suite.ledger().await) >= RAISED).await;
    suite.all_sent_or_waiting().await;
    assert_eq!(new_users(&suite.ledger().await), RAISED);
    let counted: i64 =
        sqlx::query_scalar("SELECT sum(members)::bigint FROM messaging.quota_minute WHERE portfolio_id = '1701'")
            .fetch_one(suite.database.admin())
            .await
            .expect("a sum");
    assert_eq!(counted, RAISED as i64);
}

/// How many users outside the window were written to.
fn new_users(ledger: &[Accepted]) -> usize {
    let orders = ledger.iter().filter(|accepted| accepted.r#type == "template");
    orders
        .map(|accepted| accepted.to.as_str())
        .collect::<HashSet<_>>()
        .len()
}

#[tokio::test]
async fn a_place_that_was_not_used_is_free_again() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    suite.one_portfolio(&instance, "1").await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let refused = outeract_simulator::Match {
        to: Some(new_user(1)),
        ..outeract_simulator::Match::default()
    };
    let fault = outeract_simulator::Effect::Error {
        code: 131_026,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    suite.meta.fault(refused, fault).await.expect("added");
    let first = client
        .send_message(template(number, &new_user(1)))
        .await
        .expect("stored")
        .into_inner();
    suite.reaches(&client, id(&first), SubmissionState::Failed).await;
    let second = client
        .send_message(template(number, &new_user(2)))
        .await
        .expect("stored")
        .into_inner();
    suite.reaches(&client, id(&second), SubmissionState::Accepted).await;
    // Accepted, and then not delivered.
    let accepted = suite.ledger().await.pop().expect("accepted");
    let failed = outeract_proto::messaging::internal::v1::StatusItem {
        error_code: 131_026,
        ..crate::suite::status_of(&accepted, "failed")
    };
    suite.status(&instance, number, failed).await;
    let third = client
        .send_message(template(number, &new_user(3)))
        .await
        .expect("stored")
        .into_inner();
    suite.reaches(&client, id(&third), SubmissionState::Accepted).await;
}

#[tokio::test]
async fn validation_foresees_what_window_and_quota_will_say() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    suite.one_portfolio(&instance, "1").await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let first = client
        .send_message(template(number, &new_user(1)))
        .await
        .expect("stored")
        .into_inner();
    suite.reaches(&client, id(&first), SubmissionState::Accepted).await;
    let mut found = async |message: SendMessageRequest| {
        let asked = ValidateMessageRequest { message: Some(message) };
        let answer = client.validate_message(asked).await.expect("read").into_inner();
        assert!(answer.obstacles.len() < 2 && answer.field_violations.is_empty());
        let obstacle = answer.obstacles.into_iter().next();
        let told = obstacle.map(|obstacle| (obstacle.reason, obstacle.refuses, obstacle.retry_time.is_some()));
        (answer.storable, told)
    };
    let reason = |reason: &str, refuses, timed| Some((reason.to_owned(), refuses, timed));
    assert_eq!(found(template(number, &new_user(1))).await, (true, None), "has a place");
    assert_eq!(
        found(template(number, &new_user(2))).await,
        (true, reason("QUOTA_EXHAUSTED", false, true))
    );
    assert_eq!(
        found(template(number, &recipient(1))).await,
        (true, None),
        "inside the window"
    );
    let sandboxed = SendMessageRequest {
        sandbox: true,
        ..template(number, &new_user(2))
    };
    assert_eq!(found(sandboxed).await, (true, None));
    assert_eq!(found(request(number, &recipient(1))).await, (true, None));
    let outside = request(number, &new_user(1));
    assert_eq!(
        found(outside.clone()).await,
        (false, reason("OUTSIDE_MESSAGING_WINDOW", true, false))
    );
    let later = SendMessageRequest {
        send_time: Some(prost_types::Timestamp {
            seconds: OffsetDateTime::now_utc().unix_timestamp() + 3_600,
            nanos: 0,
        }),
        ..outside
    };
    // Who knows what the window is then.
    assert_eq!(found(later).await, (true, reason("SCHEDULED", false, true)));
}

#[tokio::test]
async fn an_opt_out_stops_a_campaign_that_is_queued_already() {
    let suite = Suite::new().await;
    let promotion = NewTemplate {
        waba_id: suite.waba.clone(),
        name: PROMOTION.to_owned(),
        category: "MARKETING".to_owned(),
        quietly: true,
        ..NewTemplate::default()
    };
    suite.meta.create_template(&promotion).await.expect("made");
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.templates_known().await;
    suite
        .change(&instance, number, |connection| connection.paused = true)
        .await;
    let mut campaign = Vec::new();
    for user in 1..=4 {
        let stored = client.send_message(marketing(number, &recipient(user))).await;
        campaign.push(id(&stored.expect("stored").into_inner()));
    }
    // Two say no while it waits: to this connection, and to the whole application.
    for (user, connection) in [(2, number.connection.uuid()), (3, uuid::Uuid::nil())] {
        let done = sqlx::query(
            "INSERT INTO messaging.suppression (application_id, contact_id, connection_id, source, at) SELECT application_id, contact_id, $2, 1, now() FROM messaging.identity WHERE value = $1",
        )
        .bind(recipient(user))
        .bind(connection)
        .execute(suite.database.admin())
        .await
        .expect("stored");
        assert_eq!(done.rows_affected(), 1);
    }
    suite
        .change(&instance, number, |connection| connection.paused = false)
        .await;
    for (message, sent) in campaign.iter().zip([true, false, false, true]) {
        if sent {
            suite.reaches(&client, *message, SubmissionState::Accepted).await;
        } else {
            let stopped = suite.reaches(&client, *message, SubmissionState::Failed).await;
            assert_eq!(stopped.error.expect("a reason").reason, "RECIPIENT_OPTED_OUT");
            assert_eq!(stopped.attempt, 0);
        }
    }
    assert_eq!(suite.ledger().await.len(), 2);
    let refused = client
        .send_message(marketing(number, &recipient(2)))
        .await
        .expect_err("refused");
    assert_eq!(
        outeract_rpc::reason(&refused),
        Some(outeract_proto::r#type::v1::ErrorReason::RecipientOptedOut)
    );
}
