//! Judging many messages at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outeract_batch::{BatchConfig, Batcher, Flush, FlushError, Flusher};
use sqlx::PgPool;
use uuid::Uuid;

use super::rooms::Rooms;
use super::{Ask, Pass, TemplateName, Terms, Verdict};
use crate::dispatch::PACE;
use crate::problem::{ACCOUNT_RESTRICTED, QUOTA_EXHAUSTED};
use crate::store::gate::{self as store, Asked, Standing};
use crate::store::quota::{self, Claim, Reserved};
use crate::store::{DbError, run};
use crate::window::{Refusal, Windows};

/// Judges messages.
pub(crate) struct Judge {
    db: PgPool,
    windows: Windows,
    rooms: Mutex<Rooms>,
}

/// What window and wish say of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// `counts`: it takes a place in the portfolio's quota.
    Send {
        fallback: bool,
        counts: bool,
    },
    Fail(Refusal),
}

/// Of a portfolio's places, so many are taken before it is said.
const NEARLY: f64 = 0.8;
/// What waits because the account is restricted is looked at again so often: the restriction may be lifted before its end.
const RESTRICTED: Duration = Duration::from_mins(5);

/// A judge, and its flusher to spawn.
pub(crate) fn judges(db: PgPool, windows: Windows) -> (Batcher<Judge>, Vec<Flusher<Judge>>) {
    let config = BatchConfig {
        flushers: 1,
        pace: PACE,
        ..BatchConfig::new("gate")
    };
    let judge = Judge {
        db,
        windows,
        rooms: Mutex::default(),
    };
    Batcher::new(config, judge)
}

// === impl Judge ===

impl Flush for Judge {
    type Item = Ask;
    type Output = Verdict;
    type Error = DbError;

    fn weight(&self, ask: &Ask) -> usize {
        224 + ask.terms.template.as_ref().map_or(0, |template| template.name.len())
    }

    async fn flush(&self, asks: &[Ask]) -> Result<Vec<Verdict>, FlushError<DbError>> {
        let mut verdicts = vec![Verdict::Go(Pass::default()); asks.len()];
        let claims = self.look(asks, &mut verdicts).await.map_err(FlushError::Whole)?;
        self.reserve(&claims, &mut verdicts).await.map_err(FlushError::Whole)?;
        for verdict in &verdicts {
            metrics::counter!("messaging_gate_total", "verdict" => verdict.label()).increment(1);
        }
        Ok(verdicts)
    }
}

impl Judge {
    /// Asks about windows and wishes. Gives what is to be counted, each with its place among the messages.
    async fn look<'a>(&self, asks: &'a [Ask], verdicts: &mut [Verdict]) -> Result<Vec<(usize, Claim<'a>)>, DbError> {
        let questions: Vec<_> = asks.iter().map(Ask::question).collect();
        let asked = Instant::now();
        let standings = run!(self.db, "gate.look", |conn| store::look(conn, &questions))?;
        let (mut claims, mut marks) = (Vec::new(), Vec::new());
        for standing in standings {
            let index = standing.ordinal as usize - 1;
            let (Some(ask), Some(verdict)) = (asks.get(index), verdicts.get_mut(index)) else {
                continue;
            };
            let open = self
                .windows
                .learn(&ask.number, ask.contact, standing.window_left, asked);
            let step = ask.terms.step(open, standing.unwanted);
            if ask.terms.falls_back() {
                marks.extend(mark(ask.message, step, standing.fell_back));
            }
            *verdict = match step {
                Step::Fail(refusal) => Verdict::Fail {
                    reason: refusal.reason(),
                },
                Step::Send { counts: true, .. } if ask.connection.restricted_outside => Verdict::Park {
                    reason: ACCOUNT_RESTRICTED,
                    wait: RESTRICTED,
                },
                Step::Send { fallback, counts } => {
                    if counts && standing.limited {
                        claims.push((index, ask.claim(&standing)));
                    }
                    Verdict::Go(Pass {
                        fallback,
                        counted: false,
                    })
                }
            };
        }
        if !marks.is_empty() {
            marks.sort_unstable();
            run!(self.db, "gate.mark", |conn| store::mark(conn, &marks))?;
        }
        Ok(claims)
    }

    /// Takes places for what counts. What finds none waits.
    async fn reserve(&self, claims: &[(usize, Claim<'_>)], verdicts: &mut [Verdict]) -> Result<(), DbError> {
        if claims.is_empty() {
            return Ok(());
        }
        let asked: Vec<_> = claims.iter().map(|(_, claim)| *claim).collect();
        let reserved = run!(self.db, "quota.reserve", |conn| quota::reserve(conn, &asked))?;
        let mut refused = Vec::new();
        for row in &reserved {
            let Some((index, claim)) = claims.get(row.ordinal as usize - 1) else {
                continue;
            };
            if !row.granted {
                refused.push((*index, claim.portfolio, row.most.unwrap_or_default()));
            } else if let Verdict::Go(pass) = &mut verdicts[*index] {
                pass.counted = row.most.is_some();
            }
        }
        say_crossings(&asked, &reserved);
        if refused.is_empty() {
            return Ok(());
        }
        metrics::counter!("messaging_quota_refused_total").increment(refused.len() as u64);
        self.read_rooms(&refused).await?;
        let (mut rooms, now) = (self.rooms(), Instant::now());
        for (index, portfolio, _) in refused {
            verdicts[index] = Verdict::Park {
                reason: QUOTA_EXHAUSTED,
                wait: rooms.wait(portfolio, now),
            };
        }
        Ok(())
    }

    /// Reads when places come free, of portfolios of which that is not known.
    async fn read_rooms(&self, refused: &[(usize, &str, i32)]) -> Result<(), DbError> {
        let mut unread: Vec<(&str, i32)> = {
            let (rooms, now) = (self.rooms(), Instant::now());
            let asked = refused.iter().filter(|(_, portfolio, _)| !rooms.knows(portfolio, now));
            asked.map(|(_, portfolio, most)| (*portfolio, *most)).collect()
        };
        unread.sort_unstable();
        unread.dedup_by_key(|(portfolio, _)| *portfolio);
        if unread.is_empty() {
            return Ok(());
        }
        let portfolios: Vec<_> = unread.iter().map(|(portfolio, _)| *portfolio).collect();
        let (buckets, epoch) = run!(self.db, "quota.buckets", |conn| quota::buckets(conn, &portfolios))?;
        let (mut rooms, now) = (self.rooms(), Instant::now());
        for (portfolio, most) in unread {
            let of_it = buckets.iter().filter(|bucket| bucket.portfolio == portfolio);
            let of_it = of_it.map(|bucket| (bucket.minute, i64::from(bucket.members)));
            rooms.learn(portfolio, of_it, i64::from(most), epoch, now);
        }
        Ok(())
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is noted of a message that its fallback goes in its place; none: it is noted as it is.
fn mark(message: Uuid, step: Step, noted: bool) -> Option<(Uuid, bool)> {
    match step {
        Step::Send { fallback, .. } => (fallback != noted).then_some((message, fallback)),
        Step::Fail(_) => None,
    }
}

/// Portfolios that come near their limit, or reach it, are named in the log.
fn say_crossings(asked: &[Claim<'_>], reserved: &[Reserved]) {
    let mut said: Vec<&str> = Vec::new();
    for row in reserved {
        let (Some(most), Some(claim)) = (row.most, asked.get(row.ordinal as usize - 1)) else {
            continue;
        };
        let (portfolio, used) = (claim.portfolio, row.after);
        if row.before == used || said.contains(&portfolio) {
            continue;
        }
        said.push(portfolio);
        let crossed = |share: f64| {
            let line = f64::from(most) * share;
            (row.before as f64) < line && used as f64 >= line
        };
        if crossed(1.0) {
            metrics::counter!("messaging_quota_crossings_total", "share" => "100").increment(1);
            tracing::warn!(portfolio.id = %portfolio, used, most, "A portfolio has written to as many users in 24 hours as Meta allows outside their windows; others wait");
        } else if crossed(NEARLY) {
            metrics::counter!("messaging_quota_crossings_total", "share" => "80").increment(1);
            tracing::warn!(portfolio.id = %portfolio, used, most, "A portfolio has written to 80 % of the users that Meta allows outside their windows in 24 hours");
        }
    }
}

// === impl Ask ===

impl Ask {
    fn question(&self) -> Asked<'_> {
        Asked {
            message: self.message,
            application: self.connection.application.uuid(),
            connection: self.connection.id.uuid(),
            number: &self.number,
            contact: self.contact,
            waba: &self.connection.waba,
            portfolio: &self.connection.portfolio,
            template: self.terms.template.as_ref().map(TemplateName::parts),
        }
    }

    fn claim(&self, standing: &Standing) -> Claim<'_> {
        Claim {
            portfolio: &self.connection.portfolio,
            contact: standing.contact,
            message: self.message,
        }
    }
}

// === impl Terms ===

impl Terms {
    /// What follows from whether the window is open, and whether the recipient does not want the template.
    pub(super) fn step(&self, open: bool, unwanted: bool) -> Step {
        match self.refusal(open, unwanted) {
            Some(refusal) => Step::Fail(refusal),
            None => Step::Send {
                fallback: self.needs_window && !open,
                counts: !open && !self.sandbox,
            },
        }
    }
}

// === impl Verdict ===

impl Verdict {
    fn label(&self) -> &'static str {
        match self {
            Self::Go(Pass { fallback: false, .. }) => "go",
            Self::Go(Pass { fallback: true, .. }) => "fallback",
            Self::Park { .. } => "park",
            Self::Fail { .. } => "fail",
        }
    }
}
