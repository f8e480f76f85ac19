//! The exact quota of a portfolio's unique users, and what is told of its limit.

#![expect(
    clippy::disallowed_methods,
    reason = "what the database says is held against the machine's own clock"
)]

use outeract_domain::Submission;
use time::{Duration, OffsetDateTime};

use super::*;
use crate::problem::QUOTA_EXHAUSTED;
use crate::store::quota::{self, Claim, Raised, Told};

const PORTFOLIO: &str = "1701";

impl World {
    async fn limit(&self, portfolio: &str, users: Option<i32>) {
        sqlx::query("INSERT INTO messaging.portfolio (id, unique_users) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET unique_users = $2")
            .bind(portfolio)
            .bind(users)
            .execute(self.database.admin())
            .await
            .expect("set");
    }

    /// Which of the claims found a place.
    async fn reserve(&self, claims: &[Claim<'_>]) -> Vec<bool> {
        let mut rows = quota::reserve(&mut *self.conn().await, claims).await.expect("reserved");
        rows.sort_unstable_by_key(|row| row.ordinal);
        assert_eq!(rows.len(), claims.len());
        rows.into_iter().map(|row| row.granted).collect()
    }

    async fn release(&self, claims: &[Claim<'_>]) -> i64 {
        quota::release(&mut *self.conn().await, claims).await.expect("released")
    }

    /// Places that are taken: by members, and by minutes. They never differ.
    async fn taken(&self, portfolio: &str) -> i64 {
        let (members, minutes): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM messaging.quota_member WHERE portfolio_id = $1 AND minute >= messaging.this_minute() - 1440), \
                    (SELECT coalesce(sum(members), 0)::bigint FROM messaging.quota_minute WHERE portfolio_id = $1 AND minute >= messaging.this_minute() - 1440)",
        )
        .bind(portfolio)
        .fetch_one(self.database.admin())
        .await
        .expect("counts");
        assert_eq!(members, minutes);
        members
    }

    async fn heard(&self, portfolio: &str, users: Option<i32>, at: OffsetDateTime) {
        let told = [Told {
            portfolio,
            unique_users: users,
            at,
        }];
        quota::tell(&mut *self.conn().await, &told).await.expect("told");
    }

    async fn known_limit(&self, portfolio: &str) -> (Option<i32>, bool) {
        sqlx::query_as("SELECT unique_users, raised FROM messaging.portfolio WHERE id = $1")
            .bind(portfolio)
            .fetch_one(self.database.admin())
            .await
            .expect("a row")
    }
}

fn claim(contact: u128) -> Claim<'static> {
    Claim {
        portfolio: PORTFOLIO,
        contact: Uuid::from_u128(contact),
        message: new_id(),
    }
}

#[tokio::test]
async fn places_come_free_a_day_after_the_last_message_to_their_user() {
    let world = World::new().await;
    world.limit(PORTFOLIO, Some(2)).await;
    assert_eq!(
        world.reserve(&[claim(1), claim(2), claim(3), claim(1)]).await,
        [true, true, false, true]
    );
    world.database.advance(Duration::hours(23)).await;
    assert_eq!(world.reserve(&[claim(2)]).await, [true], "whoever has a place keeps it");
    world.database.advance(Duration::minutes(59)).await;
    assert_eq!(world.reserve(&[claim(3)]).await, [false], "not yet 24 hours");
    world.database.advance(Duration::seconds(121)).await;
    assert_eq!(
        world.taken(PORTFOLIO).await,
        1,
        "the second user's counts from the later message"
    );
    assert_eq!(world.reserve(&[claim(3), claim(4)]).await, [true, false]);
    world.database.advance(Duration::hours(23)).await;
    assert_eq!(world.reserve(&[claim(4)]).await, [true]);
}

#[tokio::test]
async fn a_place_is_given_back_only_by_the_last_message_that_holds_it() {
    let world = World::new().await;
    world.limit(PORTFOLIO, Some(1)).await;
    let (first, second) = (claim(1), claim(1));
    assert_eq!(world.reserve(&[first]).await, [true]);
    assert_eq!(
        world.reserve(&[first]).await,
        [true],
        "asked again, it holds the place once"
    );
    world.database.advance(Duration::hours(12)).await;
    assert_eq!(world.reserve(&[second]).await, [true]);

    assert_eq!(
        world.release(&[claim(1)]).await,
        0,
        "a message that holds nothing gives nothing back"
    );
    assert_eq!(
        world.release(&[second]).await,
        0,
        "another of the last 24 hours holds it"
    );
    assert_eq!(world.reserve(&[claim(2)]).await, [false]);
    // The place counts from the first message again.
    world
        .database
        .advance(Duration::hours(12) + Duration::seconds(61))
        .await;
    assert_eq!(world.taken(PORTFOLIO).await, 0);

    let (third, fourth) = (claim(3), claim(4));
    assert_eq!(world.reserve(&[third]).await, [true]);
    assert_eq!(world.release(&[third, fourth]).await, 1);
    assert_eq!(world.release(&[third]).await, 0, "once");
    assert_eq!(world.taken(PORTFOLIO).await, 0);
    assert_eq!(world.reserve(&[fourth]).await, [true]);
}

#[tokio::test]
async fn a_message_of_yesterday_does_not_keep_a_place() {
    let world = World::new().await;
    world.limit(PORTFOLIO, Some(1)).await;
    let (old, new) = (claim(1), claim(1));
    assert_eq!(world.reserve(&[old]).await, [true]);
    world.database.advance(Duration::hours(23)).await;
    assert_eq!(world.reserve(&[new]).await, [true]);
    world.database.advance(Duration::hours(2)).await;
    assert_eq!(world.release(&[new]).await, 1, "the other is older than 24 hours");
    assert_eq!(world.taken(PORTFOLIO).await, 0);
}

#[tokio::test]
async fn members_and_minutes_agree_after_many_random_steps() {
    let world = World::new().await;
    world.limit(PORTFOLIO, Some(7)).await;
    let mut held: Vec<Claim<'static>> = Vec::new();
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |bound: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % bound
    };
    for _ in 0..120 {
        match below(4) {
            0 => world.database.advance(Duration::minutes(below(400) as i64)).await,
            1 if !held.is_empty() => {
                let one = held.swap_remove(below(held.len() as u64) as usize);
                world.release(&[one]).await;
            }
            _ => {
                let claims: Vec<_> = (0..=below(4)).map(|_| claim(u128::from(below(12)))).collect();
                let granted = world.reserve(&claims).await;
                let found = claims.iter().zip(granted).filter(|(_, granted)| *granted);
                held.extend(found.map(|(claim, _)| *claim));
            }
        }
        assert!(world.taken(PORTFOLIO).await <= 7);
    }
}

#[tokio::test]
async fn claims_on_several_portfolios_at_once_never_deadlock_and_never_exceed_a_limit() {
    let world = World::new().await;
    let portfolios = ["1", "2", "3"];
    for portfolio in portfolios {
        world.limit(portfolio, Some(20)).await;
    }
    let flush = |turn: usize| {
        let pool = world.pool.clone();
        async move {
            let claims: Vec<_> = (0..30)
                .map(|index| Claim {
                    portfolio: portfolios[(turn + index) % 3],
                    contact: Uuid::from_u128((turn * 30 + index) as u128),
                    message: new_id(),
                })
                .collect();
            let mut conn = pool.acquire().await.expect("a connection");
            let reserved = quota::reserve(&mut conn, &claims).await.expect("no deadlock");
            quota::release(&mut conn, &claims[..3]).await.expect("no deadlock");
            reserved.len()
        }
    };
    let answered = futures_util::future::join_all((0..12).map(flush)).await;
    assert_eq!(answered, [30; 12]);
    for portfolio in portfolios {
        let taken = world.taken(portfolio).await;
        assert!((8..=20).contains(&taken), "{portfolio}: {taken}");
    }
}

#[tokio::test]
async fn of_what_meta_said_the_latest_counts_and_a_raise_is_remembered() {
    let world = World::new().await;
    let noon = OffsetDateTime::now_utc();
    world.heard(PORTFOLIO, Some(2_000), noon).await;
    assert_eq!(world.known_limit(PORTFOLIO).await, (Some(2_000), false));
    world.heard(PORTFOLIO, Some(10_000), noon - Duration::hours(1)).await;
    assert_eq!(world.known_limit(PORTFOLIO).await, (Some(2_000), false), "older news");
    world.heard(PORTFOLIO, Some(250), noon + Duration::hours(1)).await;
    assert_eq!(world.known_limit(PORTFOLIO).await, (Some(250), false), "lowered");
    world.heard(PORTFOLIO, None, noon + Duration::hours(2)).await;
    assert_eq!(world.known_limit(PORTFOLIO).await, (None, true));
    let mut conn = world.conn().await;
    let raised = quota::raised(&mut conn).await.expect("raised").remove(0);
    let other = Raised {
        told_at: noon,
        ..raised.clone()
    };
    quota::woken(&mut conn, &other).await.expect("no error");
    assert_eq!(
        world.known_limit(PORTFOLIO).await,
        (None, true),
        "raised again meanwhile"
    );
    quota::woken(&mut conn, &raised).await.expect("woken");
    assert_eq!(world.known_limit(PORTFOLIO).await, (None, false));
    world.heard(PORTFOLIO, Some(100_000), noon + Duration::hours(3)).await;
    assert_eq!(world.known_limit(PORTFOLIO).await, (Some(100_000), false));
    // One that was never heard of has Meta's first limit until then.
    assert_eq!(
        world
            .reserve(&[Claim {
                portfolio: "1702",
                ..claim(1)
            }])
            .await,
        [true]
    );
    assert_eq!(world.known_limit("1702").await, (Some(250), false));
    world.heard("1702", Some(1_000), noon).await;
    assert_eq!(world.known_limit("1702").await, (Some(1_000), true));
}

#[tokio::test]
async fn what_was_counted_under_the_account_is_counted_under_its_portfolio() {
    let world = World::new().await;
    let waba = |contact| Claim {
        portfolio: "waba",
        ..claim(contact)
    };
    world.limit("waba", Some(250)).await;
    let (one, two) = (waba(1), waba(2));
    assert_eq!(world.reserve(&[one, two]).await, [true; 2]);
    world.limit(PORTFOLIO, Some(3)).await;
    assert_eq!(world.reserve(&[claim(2), claim(3)]).await, [true; 2]);
    world.database.advance(Duration::hours(1)).await;
    assert_eq!(world.reserve(&[waba(1)]).await, [true]);
    quota::join(&mut *world.conn().await, "waba", PORTFOLIO)
        .await
        .expect("joined");
    assert_eq!(world.taken(PORTFOLIO).await, 3);
    assert_eq!(world.taken("waba").await, 0);
    assert_eq!(world.reserve(&[claim(4)]).await, [false]);
    assert_eq!(
        world
            .release(&[Claim {
                portfolio: PORTFOLIO,
                ..two
            }])
            .await,
        0,
        "the other portfolio's message holds it too"
    );
    let told: OffsetDateTime = OffsetDateTime::now_utc();
    world.heard("other waba", Some(2_000), told).await;
    quota::join(&mut *world.conn().await, "other waba", PORTFOLIO)
        .await
        .expect("joined");
    assert_eq!(
        world.known_limit(PORTFOLIO).await.0,
        Some(2_000),
        "what Meta said of it stays"
    );
}

#[tokio::test]
async fn what_waits_for_a_place_is_woken_and_nothing_else() {
    let world = World::new().await;
    let messages = [
        world.message(HOLD).await,
        world.message(HOLD).await,
        world.message(HOLD).await,
        world.message(HOLD).await,
    ];
    for (message, reason, state) in [
        (messages[0], QUOTA_EXHAUSTED, Submission::Queued),
        (messages[1], "META_FAULT", Submission::Queued),
        (messages[2], QUOTA_EXHAUSTED, Submission::Unknown),
        (messages[3], QUOTA_EXHAUSTED, Submission::Queued),
    ] {
        sqlx::query("UPDATE messaging.queue SET ready_at = messaging.now_() + interval '1 hour', reason = $2, state = $3 WHERE message_id = $1")
            .bind(message)
            .bind(reason)
            .bind(state.code())
            .execute(world.database.admin())
            .await
            .expect("set");
    }
    let mut conn = world.conn().await;
    let (mut after, mut woken, mut pages) = (Uuid::nil(), 0, 0);
    while let (Some(last), count) = quota::wake(&mut conn, NUMBER, after, 2, QUOTA_EXHAUSTED)
        .await
        .expect("woken")
    {
        (after, woken, pages) = (last, woken + count, pages + 1);
    }
    assert_eq!((woken, pages), (2, 2));
    let waiting: Vec<Uuid> =
        sqlx::query_scalar("SELECT message_id FROM messaging.queue WHERE phone_number_id = $1 AND ready_at > messaging.now_() ORDER BY message_id")
            .bind(NUMBER)
            .fetch_all(world.database.admin())
            .await
            .expect("rows");
    assert_eq!(waiting, messages[1..3]);
}

#[tokio::test]
async fn members_whose_day_is_over_are_forgotten() {
    let world = World::new().await;
    world.limit(PORTFOLIO, Some(100)).await;
    let old: Vec<_> = (0..5).map(claim).collect();
    world.reserve(&old).await;
    world.database.advance(Duration::hours(25)).await;
    let new: Vec<_> = (5..8).map(claim).collect();
    world.reserve(&new).await;
    let mut conn = world.conn().await;
    let (mut after, mut gone) = ((String::new(), Uuid::nil()), 0);
    while let (Some(last), count) = quota::purge(&mut conn, (&after.0, after.1), 3).await.expect("purged") {
        gone += count;
        after = last;
    }
    assert_eq!((gone, world.taken(PORTFOLIO).await), (5, 3));
}

#[tokio::test]
async fn places_are_found_by_key_although_the_plans_were_made_over_empty_tables() {
    let world = World::new().await;
    world.limit(PORTFOLIO, Some(100_000)).await;
    let mut conn = world.conn().await;
    for turn in 0..20_u128 {
        let claims: Vec<_> = (0..200).map(|index| claim(turn * 150 + index)).collect();
        let reserved = quota::reserve(&mut conn, &claims).await.expect("reserved");
        assert!(reserved.iter().all(|row| row.granted));
        quota::release(&mut conn, &claims[..20]).await.expect("released");
    }
    sqlx::query("SELECT pg_stat_force_next_flush()")
        .execute(&mut *conn)
        .await
        .expect("flushed");
    let scans: Vec<(String, i64)> = sqlx::query_as(
        "SELECT relname::text, seq_tup_read FROM pg_stat_user_tables WHERE schemaname = 'messaging' AND relname LIKE 'quota%' ORDER BY 1",
    )
    .fetch_all(world.database.admin())
    .await
    .expect("statistics");
    let names: Vec<_> = scans.iter().map(|(table, _)| table.as_str()).collect();
    assert_eq!(names, ["quota_member", "quota_minute"]);
    for (table, rows) in scans {
        assert!(rows < 200, "{table}: {rows} rows were read without a key");
    }
}
