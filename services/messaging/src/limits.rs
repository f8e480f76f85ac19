//! How many unique users a portfolio may write to outside their windows in 24 hours, as Meta says it: in the connections' snapshots, which are read daily, and in webhooks.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use outeract_runtime::Stop;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use crate::config::Timing;
use crate::problem::QUOTA_EXHAUSTED;
use crate::projection::Projection;
use crate::seldom::Seldom;
use crate::store::quota::{self, Raised, Told};
use crate::store::{DbError, run, upkeep};

/// A portfolio's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// So many users.
    Users(i32),
    Unlimited,
}

/// What is known of limits. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    db: PgPool,
    projection: Projection,
}

/// What Meta says of a portfolio's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    portfolio: Arc<str>,
    tier: Tier,
    /// When it said so.
    at: OffsetDateTime,
}

/// A webhook's value is not what Meta documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value is not what Meta documents")]
pub(crate) struct Malformed;

/// Wakes what waited for a place in portfolios whose limit was raised.
#[derive(Debug)]
pub(crate) struct Waker {
    db: PgPool,
    projection: Projection,
    worker: Uuid,
    /// When each raise was first seen.
    seen: HashMap<String, Instant>,
}

/// Rows that are woken by one statement.
const PAGE: i64 = 2_048;
/// How long the lease on waking is taken for.
const LEASE_SECONDS: f64 = 60.0;

/// Meta's word for a limit, or its number: `TIER_250`, `TIER_1K` (of old), `TIER_2K`, `TIER_10K`, `TIER_100K`, `TIER_UNLIMITED`; 2000; -1 for none. None: a word that says nothing.
pub(crate) fn tier(word: &str) -> Option<Tier> {
    let word = word.trim();
    if let Ok(number) = word.parse::<i64>() {
        return of_number(number);
    }
    let word = word.strip_prefix("TIER_")?;
    if word == "UNLIMITED" {
        return Some(Tier::Unlimited);
    }
    let (digits, unit) = match word.strip_suffix('K') {
        Some(digits) => (digits, 1_000),
        None => match word.strip_suffix('M') {
            Some(digits) => (digits, 1_000_000),
            None => (word, 1),
        },
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    of_number(digits.parse::<i64>().ok()?.checked_mul(unit)?)
}

fn of_number(number: i64) -> Option<Tier> {
    match number {
        -1 => Some(Tier::Unlimited),
        1.. => i32::try_from(number).ok().map(Tier::Users),
        // Meta has no limit of nobody: whatever it means, it is not that nothing may be sent.
        _ => None,
    }
}

// === impl Tier ===

impl Tier {
    /// As it is stored: none is unlimited.
    pub(crate) fn unique_users(self) -> Option<i32> {
        match self {
            Self::Users(users) => Some(users),
            Self::Unlimited => None,
        }
    }
}

// === impl Limits ===

impl Limits {
    pub(crate) fn new(db: PgPool, projection: Projection) -> Self {
        Self { db, projection }
    }

    /// What a webhook that was received at `at` says of the limit of the account's portfolio; none: nothing. For the fields that [`Limits::concerns`] names.
    pub(crate) fn read(
        &self,
        waba: &str,
        field: &str,
        value_json: &[u8],
        at: OffsetDateTime,
    ) -> Result<Option<News>, Malformed> {
        let Some(tier) = told_by(field, value_json)? else {
            return Ok(None);
        };
        let portfolio = self.projection.portfolio_of(waba).unwrap_or_else(|| Arc::from(waba));
        Ok(Some(News { portfolio, tier, at }))
    }

    /// Whether webhooks of this field are to be read here.
    pub(crate) fn concerns(field: &str) -> bool {
        matches!(field, "business_capability_update" | "phone_number_quality_update")
    }

    /// Takes news over, unless Meta said something else later.
    pub(crate) async fn take_over(&self, mut news: Vec<News>) -> Result<(), DbError> {
        // Each portfolio once, the latest, in their order: an account's webhook comes once for each of its connections.
        news.sort_by(|one, other| (&one.portfolio, other.at).cmp(&(&other.portfolio, one.at)));
        news.dedup_by(|one, other| one.portfolio == other.portfolio);
        if news.is_empty() {
            return Ok(());
        }
        let told: Vec<_> = news
            .iter()
            .map(|news| Told {
                portfolio: &news.portfolio,
                unique_users: news.tier.unique_users(),
                at: news.at,
            })
            .collect();
        run!(self.db, "quota.tell", |conn| quota::tell(conn, &told))
    }
}

/// The limit that a webhook tells of; none if it tells of something else.
fn told_by(field: &str, value_json: &[u8]) -> Result<Option<Tier>, Malformed> {
    // What the second says of the number alone (`current_limit`) dates from before limits became the portfolio's.
    if !Limits::concerns(field) {
        return Ok(None);
    }
    let value: serde_json::Value = serde_json::from_slice(value_json).map_err(|_| Malformed)?;
    let object = value.as_object().ok_or(Malformed)?;
    Ok(match object.get("max_daily_conversations_per_business") {
        Some(serde_json::Value::String(word)) => tier(word),
        Some(serde_json::Value::Number(number)) => number.as_i64().and_then(of_number),
        _ => None,
    })
}

// === impl Waker ===

impl Waker {
    pub(crate) fn new(db: PgPool, projection: Projection, worker: Uuid) -> Self {
        Self {
            db,
            projection,
            worker,
            seen: HashMap::new(),
        }
    }

    /// Wakes until the process stops; one process at a time does.
    pub(crate) async fn run(mut self, timing: Timing, stop: Stop) {
        let mut tick = tokio::time::interval(timing.refresh);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let away = Seldom::default();
        loop {
            tokio::select! {
                () = stop.soft().cancelled() => return,
                _ = tick.tick() => {}
            }
            let looked = tokio::select! {
                () = stop.soft().cancelled() => return,
                looked = self.look(timing) => looked,
            };
            if let Err(cause) = looked
                && away.again()
            {
                tracing::warn!(%cause, "Messages whose limit was raised could not be woken");
            }
        }
    }

    async fn look(&mut self, timing: Timing) -> Result<(), DbError> {
        let raised = run!(self.db, "quota.raised", |conn| quota::raised(conn))?;
        self.seen
            .retain(|portfolio, _| raised.iter().any(|raised| raised.portfolio == *portfolio));
        if raised.is_empty()
            || !run!(self.db, "quota.lease", |conn| upkeep::lease(
                conn,
                "quota",
                self.worker,
                LEASE_SECONDS
            ))?
        {
            return Ok(());
        }
        for raised in raised {
            // Whoever was refused before the raise is set aside by then.
            let seen = *self.seen.entry(raised.portfolio.clone()).or_insert_with(Instant::now);
            if seen.elapsed() >= timing.refresh {
                self.wake(&raised).await?;
            }
        }
        Ok(())
    }

    async fn wake(&self, raised: &Raised) -> Result<(), DbError> {
        let mut count = 0;
        for connection in self.projection.numbers() {
            if *connection.portfolio != *raised.portfolio {
                continue;
            }
            let mut after = Uuid::nil();
            loop {
                let number = connection.number.as_str();
                let (last, woken) = run!(self.db, "quota.wake", |conn| quota::wake(
                    conn,
                    number,
                    after,
                    PAGE,
                    QUOTA_EXHAUSTED
                ))?;
                count += woken;
                match last {
                    Some(last) => after = last,
                    None => break,
                }
            }
        }
        run!(self.db, "quota.woken", |conn| quota::woken(conn, raised))?;
        tracing::info!(portfolio.id = %raised.portfolio, messages = count, "Meta raised a portfolio's limit; what waited for it goes on");
        Ok(())
    }
}
