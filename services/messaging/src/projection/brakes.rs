//! What Meta's answers hold back: kept in memory beside the connections, and in the database for a number's next owner and for the other processes.
//!
//! Written when something is held back, or materially longer than was known, and not for each answer that says so.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outeract_runtime::Stop;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::{Connection, Projection};
use crate::config::Timing;
use crate::seldom::Seldom;
use crate::store::brake::{self as store, APP, NUMBER, NUMBER_CAMPAIGNS, Set, Target, WABA, WABA_CAMPAIGNS};
use crate::store::{DbError, run};

/// For how long somebody waits, and what comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Brake {
    pub until: Instant,
    /// One message is tried before the others.
    pub probe: bool,
}

/// What holds a number back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub all: Option<Brake>,
    pub campaigns: Option<Brake>,
}

#[derive(Debug, Default)]
pub(super) struct Brakes {
    known: Mutex<Known>,
    /// Something is to be written.
    news: Notify,
    /// Held over each reading and writing of the table: what is read between is neither half written nor lifted again.
    table: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    brakes: HashMap<Target, Brake>,
    /// What is not in the table yet. None: it is to be lifted there.
    unwritten: HashMap<Target, Option<(Brake, &'static str)>>,
}

/// What is shorter is over before it could be of use to anybody else.
const LEAST: Duration = Duration::from_secs(2);
/// Longer by less than this, or than this part of it, is not longer.
const MATERIAL: Duration = Duration::from_secs(1);
const PART: u32 = 20;
/// Between tries of a writing that fails.
const AGAIN: Duration = Duration::from_secs(1);

// === impl Projection ===

impl Projection {
    /// Whoever it is has to wait by an answer of Meta's, for this reason.
    pub(crate) fn brake(&self, scope: i16, key: &str, brake: Brake, reason: &'static str) {
        let length = brake.until.saturating_duration_since(Instant::now());
        if length < LEAST {
            return;
        }
        let target = Target {
            scope,
            key: key.to_owned(),
        };
        let mut known = self.0.brakes.known();
        if known
            .brakes
            .get(&target)
            .is_some_and(|known| brake.until < known.until + MATERIAL.max(length / PART))
        {
            return;
        }
        known.brakes.insert(target.clone(), brake);
        known.unwritten.insert(target, Some((brake, reason)));
        drop(known);
        self.0.brakes.news.notify_one();
    }

    /// What the number itself was held back for is over.
    pub(crate) fn lift_brake(&self, number: &str) {
        let target = Target {
            scope: NUMBER,
            key: number.to_owned(),
        };
        let mut known = self.0.brakes.known();
        if known.brakes.remove(&target).is_some() {
            known.unwritten.insert(target, None);
            drop(known);
            self.0.brakes.news.notify_one();
        }
    }

    /// What holds a connection's number back.
    pub(crate) fn brakes(&self, connection: &Connection) -> Held {
        let known = self.0.brakes.known();
        if known.brakes.is_empty() {
            return Held::default();
        }
        let now = Instant::now();
        let of = |scope, key: &str| {
            let target = Target {
                scope,
                key: key.to_owned(),
            };
            known.brakes.get(&target).copied().filter(|brake| brake.until > now)
        };
        let (number, waba) = (connection.number.as_str(), connection.waba.as_str());
        Held {
            all: longest([of(NUMBER, number), of(WABA, waba), of(APP, "")]),
            campaigns: longest([of(NUMBER_CAMPAIGNS, number), of(WABA_CAMPAIGNS, waba), None]),
        }
    }

    /// Learns what other processes wrote down. To be called before anything is sent from a number that another process owned.
    pub(crate) async fn refresh_brakes(&self) -> Result<(), DbError> {
        let brakes = &self.0.brakes;
        let _table = brakes.table.lock().await;
        let rows = run!(self.0.db, "brake.all", |conn| store::all(conn))?;
        // After the answer: late by as much as it took, never too soon.
        let now = Instant::now();
        let fresh = rows.into_iter().map(|row| {
            let left = Duration::try_from_secs_f64(row.left).unwrap_or_default();
            let brake = Brake {
                until: now + left,
                probe: row.probe,
            };
            let target = Target {
                scope: row.scope,
                key: row.key,
            };
            (target, brake)
        });
        if brakes.known().learn(fresh.collect()) {
            self.0.changes.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// Writes down what is not in the table yet.
    async fn write_brakes(&self) -> Result<(), DbError> {
        let brakes = &self.0.brakes;
        let _table = brakes.table.lock().await;
        let unwritten = std::mem::take(&mut brakes.known().unwritten);
        let written = self.write(&unwritten).await;
        if written.is_err() {
            let mut known = brakes.known();
            for (target, what) in unwritten {
                known.unwritten.entry(target).or_insert(what);
            }
        }
        written
    }

    async fn write(&self, unwritten: &HashMap<Target, Option<(Brake, &'static str)>>) -> Result<(), DbError> {
        let now = Instant::now();
        let (mut set, mut lifted) = (Vec::new(), Vec::new());
        for (target, what) in unwritten {
            match what {
                Some((brake, reason)) => set.push(Set {
                    target,
                    seconds: brake.until.saturating_duration_since(now).as_secs_f64(),
                    probe: brake.probe,
                    reason,
                }),
                None => lifted.push(target),
            }
        }
        if !lifted.is_empty() {
            run!(self.0.db, "brake.lift", |conn| store::lift(conn, &lifted))?;
        }
        if !set.is_empty() {
            run!(self.0.db, "brake.set", |conn| store::set(conn, &set))?;
        }
        Ok(())
    }
}

/// Writes brakes down as they are set, and reads what other processes wrote, until the process stops; what is unwritten then is written at last.
pub(crate) async fn keep_brakes(projection: Projection, timing: Timing, stop: Stop) {
    let mut refresh = tokio::time::interval(timing.refresh);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let away = Seldom::default();
    loop {
        let done = tokio::select! {
            () = stop.soft().cancelled() => break,
            () = projection.0.brakes.news.notified() => projection.write_brakes().await,
            _ = refresh.tick() => projection.refresh_brakes().await,
        };
        if let Err(cause) = done {
            if away.again() {
                tracing::warn!(%cause, "What Meta holds back could not be written down or read");
            }
            tokio::time::sleep(AGAIN).await;
            // What was not written is tried again.
            projection.0.brakes.news.notify_one();
        }
    }
    if let Err(cause) = projection.write_brakes().await {
        tracing::warn!(%cause, "What Meta holds back could not be written down: the next owner of a number learns it from Meta");
    }
}

fn longest(brakes: [Option<Brake>; 3]) -> Option<Brake> {
    brakes.into_iter().flatten().max_by_key(|brake| brake.until)
}

// === impl Brakes ===

impl Brakes {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Known ===

impl Known {
    /// What stands in the table, but for what this process has yet to write there. True: somebody waits who did not, or longer.
    fn learn(&mut self, mut fresh: HashMap<Target, Brake>) -> bool {
        for (target, what) in &self.unwritten {
            match what {
                Some((brake, _)) => drop(fresh.insert(target.clone(), *brake)),
                None => drop(fresh.remove(target)),
            }
        }
        let mut changed = false;
        for (target, brake) in &mut fresh {
            match self.brakes.get(target) {
                // The same, read once more.
                Some(known) if brake.until < known.until + MATERIAL => *brake = *known,
                Some(_) | None => changed = true,
            }
        }
        self.brakes = fresh;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(key: &str) -> Target {
        Target {
            scope: NUMBER,
            key: key.to_owned(),
        }
    }

    fn brake(now: Instant, seconds: u64) -> Brake {
        Brake {
            until: now + Duration::from_secs(seconds),
            probe: true,
        }
    }

    #[test]
    fn what_is_read_once_more_changes_nothing_and_what_was_lifted_meanwhile_stays_so() {
        let now = Instant::now();
        let mut known = Known::default();
        let table = |seconds| HashMap::from([(target("1"), brake(now, seconds)), (target("2"), brake(now, 60))]);
        assert!(known.learn(table(60)));
        let again = now + Duration::from_millis(300);
        let later = HashMap::from([(target("1"), brake(again, 60)), (target("2"), brake(again, 60))]);
        assert!(!known.learn(later));
        assert_eq!(known.brakes[&target("1")], brake(now, 60), "it grows by no reading");
        assert!(known.learn(table(90)), "another process has made it longer");

        known.brakes.remove(&target("1"));
        known.unwritten.insert(target("1"), None);
        known.unwritten.insert(target("3"), Some((brake(now, 5), "X")));
        known.brakes.insert(target("3"), brake(now, 5));
        assert!(!known.learn(table(90)));
        let mut held: Vec<_> = known.brakes.keys().map(|target| target.key.as_str()).collect();
        held.sort_unstable();
        assert_eq!(held, ["2", "3"]);
        known.unwritten.clear();
        assert!(!known.learn(HashMap::new()) && known.brakes.is_empty(), "all over");
    }
}
