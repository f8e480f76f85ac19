//! The gate against a real Postgres. Redis has no part in it.

use std::collections::HashSet;

use futures_util::future::join_all;
use outeract_clock::{Clock as _, SystemClock};
use outeract_domain::{ApplicationId, ConnectionId};
use outeract_proto::connection::v1::ConnectionState;
use outeract_testkit::TestDatabase;
use sqlx::PgPool;
use time::{Duration as Span, OffsetDateTime};

use super::judge::Step;
use super::*;
use crate::problem::{OUTSIDE_MESSAGING_WINDOW, QUOTA_EXHAUSTED, RECIPIENT_OPTED_OUT};

struct World {
    database: TestDatabase,
    pool: PgPool,
}

const APPLICATION: Uuid = Uuid::from_u128(0xa99);
const CONNECTION: Uuid = Uuid::from_u128(0xc0);
const NUMBER: &str = "106540352242922";
const PORTFOLIO: &str = "1701";

/// A message that is only for inside the window.
const TEXT: Terms = Terms {
    needs_window: true,
    template: None,
    sandbox: false,
};
const COUNTED: Verdict = Verdict::Go(Pass {
    fallback: false,
    counted: true,
});
const FREE: Verdict = Verdict::Go(Pass {
    fallback: false,
    counted: false,
});
const FALLBACK: Verdict = Verdict::Go(Pass {
    fallback: true,
    counted: true,
});
const OUTSIDE: Verdict = Verdict::Fail {
    reason: OUTSIDE_MESSAGING_WINDOW,
};
const OPTED_OUT: Verdict = Verdict::Fail {
    reason: RECIPIENT_OPTED_OUT,
};

fn template(name: &str) -> Terms {
    Terms {
        needs_window: false,
        template: Some(TemplateName {
            name: name.to_owned(),
            language: "en_US".to_owned(),
        }),
        sandbox: false,
    }
}

/// A template of the category UTILITY.
fn utility() -> Terms {
    template("order")
}

fn marketing() -> Terms {
    template("offer")
}

/// Text with a template for outside the window.
fn with_fallback(terms: Terms) -> Terms {
    Terms {
        needs_window: true,
        ..terms
    }
}

fn sandboxed(terms: Terms) -> Terms {
    Terms { sandbox: true, ..terms }
}

impl World {
    async fn new() -> Self {
        let database = TestDatabase::create(&["messaging"]).await;
        let pool = database.pool("messaging").await;
        let world = Self { database, pool };
        world
            .execute(
                "INSERT INTO messaging.template (waba_id, name, language, meta_id, status, meta_status, category, quality, reason, named, components, synced_at) VALUES \
                 ('102290129340398', 'order', 'en_US', '1', 1, 'APPROVED', 2, '', '', false, '', now()), \
                 ('102290129340398', 'offer', 'en_US', '2', 1, 'APPROVED', 1, '', '', false, '', now())",
            )
            .await;
        world
    }

    /// The gate of a process that has just started.
    fn gate(&self) -> Gate {
        let windows = Windows::new();
        let (judge, flushers) = judges(self.pool.clone(), windows.clone());
        for flusher in flushers {
            #[expect(clippy::disallowed_methods, reason = "a test's own task")]
            tokio::spawn(flusher.run());
        }
        Gate::new(windows, judge)
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql)
            .execute(self.database.admin())
            .await
            .expect("executed");
    }

    async fn limit(&self, users: Option<i32>) {
        sqlx::query("INSERT INTO messaging.portfolio (id, unique_users) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET unique_users = $2")
            .bind(PORTFOLIO)
            .bind(users)
            .execute(self.database.admin())
            .await
            .expect("set");
    }

    /// The contact wrote so long ago.
    async fn wrote(&self, contact: Uuid, ago: Span) {
        sqlx::query(
            "INSERT INTO messaging.service_window (phone_number_id, contact_id, last_inbound_at, expires_at, last_wamid_sealed) \
             SELECT $1, $2, messaging.now_() - $3, messaging.now_() - $3 + interval '24 hours', ''",
        )
        .bind(NUMBER)
        .bind(contact)
        .bind(sqlx::postgres::types::PgInterval::try_from(ago).expect("an interval"))
        .execute(self.database.admin())
        .await
        .expect("stored");
    }

    /// How many places are taken: by members, and by minutes.
    async fn taken(&self) -> (i64, i64) {
        sqlx::query_as(
            "SELECT (SELECT count(*) FROM messaging.quota_member WHERE minute >= messaging.this_minute() - 1440), \
                    (SELECT coalesce(sum(members), 0)::bigint FROM messaging.quota_minute WHERE minute >= messaging.this_minute() - 1440)",
        )
        .fetch_one(self.database.admin())
        .await
        .expect("counts")
    }
}

fn connection(portfolio: &str) -> Arc<Connection> {
    Arc::new(Connection {
        id: ConnectionId::from_uuid(CONNECTION),
        application: ApplicationId::from_uuid(APPLICATION),
        version: 1,
        token_version: 1,
        state: ConnectionState::Active,
        paused: false,
        auto_mark_read: false,
        restricted_outside: false,
        throughput_per_second: 80,
        number: NUMBER.parse().expect("an id"),
        waba: "102290129340398".to_owned(),
        portfolio: portfolio.into(),
        display_number: String::new(),
    })
}

fn ask(contact: u128, terms: Terms) -> Ask {
    Ask {
        message: Uuid::now_v7(),
        number: NUMBER.into(),
        contact: Uuid::from_u128(contact),
        connection: connection(PORTFOLIO),
        terms,
    }
}

async fn judge(gate: &Gate, contact: u128, terms: Terms) -> Verdict {
    gate.admit(ask(contact, terms)).await.expect("an answer")
}

#[test]
fn window_then_wish_then_quota() {
    let send = |fallback, counts| Step::Send { fallback, counts };
    let outside = Step::Fail(Refusal::Outside);
    let opted_out = Step::Fail(Refusal::OptedOut);
    // Terms; open; closed; open and the template is unwanted; closed and unwanted.
    for (terms, expected) in [
        (TEXT, [send(false, false), outside, send(false, false), outside]),
        (utility(), [send(false, false), send(false, true), opted_out, opted_out]),
        (
            with_fallback(utility()),
            [send(false, false), send(true, true), send(false, false), opted_out],
        ),
        (
            sandboxed(TEXT),
            [send(false, false), outside, send(false, false), outside],
        ),
        (
            sandboxed(marketing()),
            [send(false, false), send(false, false), opted_out, opted_out],
        ),
    ] {
        let found = [(true, false), (false, false), (true, true), (false, true)]
            .map(|(open, unwanted)| terms.step(open, unwanted));
        assert_eq!(found, expected, "{terms:?}");
    }
}

#[tokio::test]
async fn text_needs_an_open_window_and_a_minute_of_it() {
    let world = World::new().await;
    let gate = world.gate();
    assert_eq!(judge(&gate, 1, TEXT).await, OUTSIDE, "the user never wrote");
    world.wrote(Uuid::from_u128(2), Span::hours(1)).await;
    assert_eq!(judge(&gate, 2, TEXT).await, FREE);
    world.wrote(Uuid::from_u128(3), Span::DAY - Span::seconds(63)).await;
    assert_eq!(judge(&gate, 3, TEXT).await, FREE);
    world.wrote(Uuid::from_u128(4), Span::DAY - Span::seconds(59)).await;
    assert_eq!(judge(&gate, 4, TEXT).await, OUTSIDE, "it closes within the minute");

    // What was open is open no more when the database's clock says so; to a process that remembers nothing, at once.
    world.database.advance(Span::hours(22) + Span::minutes(58)).await;
    assert_eq!(judge(&world.gate(), 2, TEXT).await, FREE);
    world.database.advance(Span::minutes(2)).await;
    assert_eq!(judge(&world.gate(), 2, TEXT).await, OUTSIDE);
}

#[tokio::test]
async fn what_is_known_to_be_open_is_not_asked_about() {
    let world = World::new().await;
    let gate = world.gate();
    world.wrote(Uuid::from_u128(1), Span::ZERO).await;
    assert_eq!(judge(&gate, 1, TEXT).await, FREE);
    world.pool.close().await;
    assert_eq!(judge(&gate, 1, TEXT).await, FREE, "without Postgres");
    for (contact, terms) in [(1, marketing()), (1, with_fallback(utility())), (2, TEXT)] {
        assert_eq!(
            gate.admit(ask(contact, terms.clone())).await,
            Err(Unanswered),
            "{terms:?}"
        );
    }
}

#[tokio::test]
async fn a_closed_window_stays_closed_until_the_user_writes_later_than_that() {
    let world = World::new().await;
    world.wrote(Uuid::from_u128(1), Span::hours(1)).await;
    world
        .execute("UPDATE messaging.service_window SET closed_at = messaging.now_() - interval '30 minutes'")
        .await;
    assert_eq!(judge(&world.gate(), 1, TEXT).await, OUTSIDE);
    world
        .execute("UPDATE messaging.service_window SET last_inbound_at = messaging.now_() - interval '29 minutes'")
        .await;
    assert_eq!(judge(&world.gate(), 1, TEXT).await, FREE);
}

#[tokio::test]
async fn a_fallback_goes_in_the_place_of_text_outside_the_window_only() {
    let world = World::new().await;
    let gate = world.gate();
    world.limit(Some(1)).await;
    let noted = async || {
        let noted: Vec<Uuid> = sqlx::query_scalar("SELECT message_id FROM messaging.fallback ORDER BY 1")
            .fetch_all(world.database.admin())
            .await
            .expect("rows");
        noted
    };
    world.wrote(Uuid::from_u128(1), Span::ZERO).await;
    assert_eq!(judge(&gate, 1, with_fallback(utility())).await, FREE);
    assert!(noted().await.is_empty());
    let outside = ask(2, with_fallback(utility()));
    assert_eq!(gate.admit(outside.clone()).await, Ok(FALLBACK));
    assert_eq!(noted().await, [outside.message]);
    assert_eq!(gate.admit(outside.clone()).await, Ok(FALLBACK), "asked again");
    assert!(matches!(
        judge(&gate, 3, with_fallback(utility())).await,
        Verdict::Park {
            reason: QUOTA_EXHAUSTED,
            ..
        }
    ));
    // The user writes before the next try: now the message itself goes.
    world.wrote(Uuid::from_u128(2), Span::ZERO).await;
    assert_eq!(gate.admit(outside.clone()).await, Ok(FREE));
    assert!(!noted().await.contains(&outside.message));
}

#[tokio::test]
async fn who_wants_no_marketing_gets_none_from_the_connection_or_from_any() {
    let world = World::new().await;
    let gate = world.gate();
    world
        .execute(
            "INSERT INTO messaging.suppression (application_id, contact_id, connection_id, source, at) VALUES \
             ('00000000-0000-0000-0000-000000000a99', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-0000000000c0', 1, now()), \
             ('00000000-0000-0000-0000-000000000a99', '00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000000', 4, now()), \
             ('00000000-0000-0000-0000-000000000a99', '00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-0000000000c1', 4, now()), \
             ('00000000-0000-0000-0000-000000000b99', '00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000000', 4, now())",
        )
        .await;
    world.wrote(Uuid::from_u128(1), Span::ZERO).await;
    assert_eq!(judge(&gate, 1, marketing()).await, OPTED_OUT, "inside the window too");
    assert_eq!(judge(&gate, 1, TEXT).await, FREE);
    assert_eq!(judge(&gate, 2, marketing()).await, OPTED_OUT);
    assert_eq!(judge(&gate, 2, utility()).await, COUNTED);
    assert_eq!(judge(&gate, 3, marketing()).await, COUNTED, "of another connection");
    assert_eq!(judge(&gate, 4, marketing()).await, COUNTED, "of another application");
    let text = with_fallback(marketing());
    assert_eq!(judge(&gate, 1, text.clone()).await, FREE, "the text, not the offer");
    assert_eq!(judge(&gate, 2, text).await, OPTED_OUT);
    assert_eq!(
        judge(&gate, 2, template("unheard_of")).await,
        OPTED_OUT,
        "who knows what it is"
    );
    assert_eq!(judge(&gate, 5, template("unheard_of")).await, COUNTED);
}

#[tokio::test]
async fn a_contact_that_became_part_of_another_has_its_window_its_wish_and_its_place() {
    let world = World::new().await;
    let gate = world.gate();
    world.limit(Some(1)).await;
    world
        .execute(
            "INSERT INTO messaging.contact (id, application_id, created_at, merged_into) VALUES \
             ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000a99', now(), '00000000-0000-0000-0000-000000000002'), \
             ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000a99', now(), '00000000-0000-0000-0000-000000000004'); \
             INSERT INTO messaging.suppression (application_id, contact_id, connection_id, source, at) VALUES \
             ('00000000-0000-0000-0000-000000000a99', '00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-0000000000c0', 1, now())",
        )
        .await;
    world.wrote(Uuid::from_u128(2), Span::ZERO).await;
    assert_eq!(judge(&gate, 1, TEXT).await, FREE);
    assert_eq!(judge(&gate, 1, marketing()).await, OPTED_OUT);
    assert_eq!(judge(&gate, 3, utility()).await, COUNTED);
    assert_eq!(judge(&gate, 4, utility()).await, COUNTED, "the same place");
    assert_eq!(world.taken().await, (1, 1));
}

#[tokio::test]
async fn of_five_thousand_new_recipients_exactly_a_thousand_get_a_place_from_eight_processes() {
    let world = World::new().await;
    // A minute has just begun and lasts: places of two minutes would come free at two times, the first of them within 24 hours.
    let minute = SystemClock.now().unix_timestamp() / 60 * 60;
    world
        .database
        .set_time(OffsetDateTime::from_unix_timestamp(minute).expect("a time"))
        .await;
    world.limit(Some(1_000)).await;
    for contact in 9_001..=9_100 {
        world.wrote(Uuid::from_u128(contact), Span::ZERO).await;
    }
    let gates: Vec<_> = (0..8).map(|_| world.gate()).collect();
    // Numbers of one portfolio; some recipients are written to by two of them, through different processes.
    let asked = async |contact: u128, gate: &Gate, number: &str| {
        let ask = Ask {
            number: number.into(),
            ..ask(contact, utility())
        };
        // As the dispatcher does: eight wait for one row, and on a slow machine not for ever.
        loop {
            if let Ok(verdict) = gate.admit(ask.clone()).await {
                return (contact, verdict);
            }
        }
    };
    let mut asks = Vec::new();
    for contact in 1..=5_000_u128 {
        asks.push(asked(contact, &gates[contact as usize % 8], NUMBER));
        if contact % 10 == 0 {
            asks.push(asked(contact, &gates[(contact as usize + 3) % 8], "106540352242923"));
        }
    }
    let replies = join_all((9_001..=9_100).map(|contact| judge(&gates[contact as usize % 8], contact, TEXT)));
    let (answers, replies) = tokio::join!(join_all(asks), replies);
    assert!(
        replies.iter().all(|reply| *reply == FREE),
        "replies inside the window are untouched"
    );
    let of = |answers: &[(u128, Verdict)], counted: bool| -> HashSet<u128> {
        let chosen = answers.iter().filter(|(_, verdict)| (*verdict == COUNTED) == counted);
        chosen.map(|(contact, _)| *contact).collect()
    };
    let (placed, parked) = (of(&answers, true), of(&answers, false));
    assert_eq!((placed.len(), parked.len()), (1_000, 4_000));
    assert!(placed.is_disjoint(&parked), "one answer for one recipient");
    assert_eq!(world.taken().await, (1_000, 1_000));
    for (contact, verdict) in &answers {
        let day = Duration::from_hours(24)..=Duration::from_secs(24 * 3_600 + 62);
        match verdict {
            Verdict::Go(_) => {}
            Verdict::Park { reason, wait } => assert!(*reason == QUOTA_EXHAUSTED && day.contains(wait), "{wait:?}"),
            Verdict::Fail { reason } => panic!("{contact}: {reason}"),
        }
    }

    // Whoever has a place keeps it; a reply inside the window needs none.
    let again: Vec<_> = placed.iter().take(50).collect();
    for contact in again {
        assert_eq!(judge(&gates[0], *contact, utility()).await, COUNTED);
    }
    assert_eq!(judge(&gates[0], 9_001, utility()).await, FREE);
    assert_eq!(world.taken().await, (1_000, 1_000));

    // A day later, all of it and the minute that was begun, the places are free again.
    world.database.advance(Span::DAY + Span::seconds(61)).await;
    let later = world.gate();
    let parked: Vec<_> = parked.into_iter().take(1_100).collect();
    let answers = join_all(parked.iter().map(|contact| judge(&later, *contact, utility()))).await;
    assert_eq!(answers.iter().filter(|answer| **answer == COUNTED).count(), 1_000);
    assert_eq!(world.taken().await, (1_000, 1_000));
}

#[tokio::test]
async fn an_unlimited_portfolio_counts_nobody_and_an_unknown_one_has_metas_first_limit() {
    let world = World::new().await;
    let gate = world.gate();
    world.limit(None).await;
    let answers = join_all((1..=300).map(|contact| judge(&gate, contact, utility()))).await;
    assert!(answers.iter().all(|answer| *answer == FREE));
    assert_eq!(world.taken().await, (0, 0));
    let unknown = |contact: u128| {
        let gate = gate.clone();
        async move {
            let ask = Ask {
                connection: connection("1702"),
                ..ask(contact, utility())
            };
            gate.admit(ask).await.expect("an answer")
        }
    };
    let answers = join_all((1..=300).map(unknown)).await;
    assert_eq!(answers.iter().filter(|answer| **answer == COUNTED).count(), 250);
}

#[tokio::test]
async fn sandboxed_messages_take_no_place() {
    let world = World::new().await;
    let gate = world.gate();
    world.limit(Some(1)).await;
    for contact in 1..=3 {
        assert_eq!(judge(&gate, contact, sandboxed(marketing())).await, FREE);
    }
    assert_eq!(world.taken().await, (0, 0));
}
