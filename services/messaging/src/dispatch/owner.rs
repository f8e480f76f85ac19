//! Which numbers this process sends from: a heartbeat, a look at who lives and who owns what, and then taking over and giving up.
//!
//! Rendezvous hashing says who should own a number; the epoch in the database says who does. A number is taken over only from nobody or from the dead, and each takeover has the next epoch.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use outeract_runtime::Stop;
use sqlx::PgPool;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::driver::Command;
use super::scheduler::NumberId;
use crate::config::Timing;
use crate::projection::Projection;
use crate::seldom::Seldom;
use crate::store::owner::{self as store, Worker};
use crate::store::{DbError, run};

/// Who sends from a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Mine,
    /// The owner's internal listener.
    Theirs(Arc<str>),
}

/// Who sends from which number.
pub(crate) type Routes = HashMap<String, Route>;

/// The task that owns numbers for this process.
pub(crate) struct Owner {
    db: PgPool,
    worker: Uuid,
    url: String,
    projection: Projection,
    timing: Timing,
    commands: mpsc::Sender<Command>,
    routes: watch::Sender<Arc<Routes>>,
    /// The numbers that this process believes to own.
    held: HashMap<NumberId, i64>,
    announced: bool,
    /// When the last confirmed heartbeat was sent.
    confirmed: Instant,
}

// === impl Owner ===

impl Owner {
    pub(super) fn new(
        db: PgPool,
        worker: Uuid,
        url: String,
        projection: Projection,
        timing: Timing,
        commands: mpsc::Sender<Command>,
        routes: watch::Sender<Arc<Routes>>,
    ) -> Self {
        Self {
            db,
            worker,
            url,
            projection,
            timing,
            commands,
            routes,
            held: HashMap::new(),
            announced: false,
            confirmed: Instant::now(),
        }
    }

    /// Owns numbers until the process stops. What it owns then, the driver gives up.
    pub(super) async fn run(mut self, stop: Stop) {
        let mut tick = tokio::time::interval(self.timing.ownership);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = self.projection.changes();
        let away = Seldom::default();
        loop {
            tokio::select! {
                () = stop.soft().cancelled() => return,
                _ = tick.tick() => {}
                Ok(()) = changes.changed() => {
                    if self.commands.send(Command::Connections).await.is_err() {
                        return;
                    }
                }
            }
            let looked = tokio::select! {
                () = stop.soft().cancelled() => return,
                looked = self.look() => looked,
            };
            if let Err(cause) = looked
                && away.again()
            {
                tracing::warn!(%cause, "Ownership of numbers could not be checked");
            }
            if self.confirmed.elapsed() > self.timing.belief && self.announced {
                tracing::warn!(
                    numbers = self.held.len(),
                    "No heartbeat was confirmed for too long: giving up every number"
                );
                self.doubt().await;
            }
        }
    }

    async fn look(&mut self) -> Result<(), DbError> {
        let expiry = self.timing.expiry.as_secs_f64();
        if !self.announced {
            let sent = Instant::now();
            run!(self.db, "owner.announce", |conn| store::announce(
                conn,
                self.worker,
                &self.url,
                expiry
            ))?;
            (self.announced, self.confirmed) = (true, sent);
        } else if self.confirmed.elapsed() >= self.timing.heartbeat {
            let sent = Instant::now();
            if run!(self.db, "owner.heartbeat", |conn| store::heartbeat(
                conn,
                self.worker,
                expiry
            ))? {
                self.confirmed = sent;
            } else {
                tracing::warn!("This process was taken for dead: beginning anew");
                self.doubt().await;
                return Ok(());
            }
        }
        let workers = run!(self.db, "owner.workers", |conn| store::workers(conn))?;
        let owners = run!(self.db, "owner.owners", |conn| store::owners(conn))?;
        self.settle(&workers, owners).await
    }

    /// Brings what this process holds in line with what the database says and what the living should own.
    async fn settle(&mut self, workers: &[Worker], owners: Vec<store::Owner>) -> Result<(), DbError> {
        let numbers: Vec<NumberId> = self
            .projection
            .numbers()
            .iter()
            .map(|connection| Arc::from(connection.number.as_str()))
            .collect();
        let alive: HashMap<Uuid, Arc<str>> = workers
            .iter()
            .map(|worker| (worker.id, Arc::from(worker.url.as_str())))
            .collect();
        let known: HashMap<&str, &store::Owner> = owners.iter().map(|owner| (owner.number.as_str(), owner)).collect();

        let new: Vec<&str> = numbers
            .iter()
            .map(|number| &**number)
            .filter(|number| !known.contains_key(number))
            .collect();
        if !new.is_empty() {
            run!(self.db, "owner.introduce", |conn| store::introduce(conn, &new))?;
        }

        let lost: HashSet<NumberId> = self
            .held
            .iter()
            .filter(|(number, epoch)| {
                !known
                    .get(&***number)
                    .is_some_and(|owner| owner.worker == Some(self.worker) && owner.epoch == **epoch)
            })
            .map(|(number, _)| Arc::clone(number))
            .collect();
        let should: HashMap<&str, Uuid> = numbers
            .iter()
            .filter_map(|number| Some((&**number, chosen(number, workers)?)))
            .collect();
        let given: Vec<(NumberId, i64)> = self
            .held
            .iter()
            .filter(|(number, _)| {
                !lost.contains(*number) && should.get(&***number).is_some_and(|chosen| *chosen != self.worker)
            })
            .map(|(number, epoch)| (Arc::clone(number), *epoch))
            .collect();
        for number in lost.iter().chain(given.iter().map(|(number, _)| number)) {
            self.held.remove(number);
        }
        self.command(Command::Lost(lost.into_iter().collect())).await;
        self.command(Command::Release(given)).await;

        let wanted: Vec<(&str, i64)> = numbers
            .iter()
            .map(|number| &**number)
            .filter(|number| !self.held.contains_key(*number) && should.get(number) == Some(&self.worker))
            .filter_map(|number| match known.get(number) {
                // Whoever owns it and lives gives it up by itself; this very process, when it begins anew, does not.
                Some(owner)
                    if owner
                        .worker
                        .is_some_and(|worker| worker != self.worker && alive.contains_key(&worker)) =>
                {
                    None
                }
                Some(owner) => Some((number, owner.epoch)),
                None => Some((number, 0)),
            })
            .collect();
        if !wanted.is_empty() {
            let acquired = run!(self.db, "owner.acquire", |conn| store::acquire(
                conn,
                self.worker,
                &wanted
            ))?;
            // What the owner before was told by Meta holds. Who cannot read it sends nothing, and acquires again.
            self.projection.refresh_brakes().await?;
            let acquired: Vec<(NumberId, i64)> = acquired
                .into_iter()
                .map(|owner| (Arc::from(owner.number.as_str()), owner.epoch))
                .collect();
            tracing::info!(numbers = acquired.len(), "Took numbers over");
            self.held.extend(acquired.iter().cloned());
            self.command(Command::Owned(acquired)).await;
        }
        self.publish(&owners, &alive);
        Ok(())
    }

    fn publish(&self, owners: &[store::Owner], alive: &HashMap<Uuid, Arc<str>>) {
        let theirs = owners.iter().filter_map(|owner| {
            let url = alive.get(&owner.worker.filter(|worker| *worker != self.worker)?)?;
            Some((owner.number.clone(), Route::Theirs(Arc::clone(url))))
        });
        let mine = self.held.keys().map(|number| (number.to_string(), Route::Mine));
        let routes: Routes = theirs.chain(mine).collect();
        metrics::gauge!("messaging_numbers_owned").set(self.held.len() as f64);
        self.routes.send_if_modified(|known| {
            let changed = **known != routes;
            if changed {
                *known = Arc::new(routes);
            }
            changed
        });
    }

    /// This process no longer knows what it owns.
    async fn doubt(&mut self) {
        self.announced = false;
        let lost = self.held.drain().map(|(number, _)| number).collect();
        self.command(Command::Lost(lost)).await;
        self.routes.send_replace(Arc::default());
    }

    async fn command(&self, command: Command) {
        if !command.is_empty() {
            // A driver that is gone takes the process with it.
            let _ = self.commands.send(command).await;
        }
    }
}

/// Who of the living should own a number: whoever scores highest, so that one more or one less moves only its share.
fn chosen(number: &str, workers: &[Worker]) -> Option<Uuid> {
    // By URL: a process that starts anew gets back what its predecessor had.
    workers
        .iter()
        .max_by_key(|worker| (score(number, &worker.url), worker.id))
        .map(|worker| worker.id)
}

/// FNV-1a over both, then mixed, since FNV alone leaves the high bits of short inputs alike. The same in every version.
fn score(number: &str, url: &str) -> u64 {
    let bytes = url.bytes().chain([0]).chain(number.bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(count: u128) -> Vec<Worker> {
        (1..=count)
            .map(|id| Worker {
                id: Uuid::from_u128(id),
                url: format!("http://messaging-{id}.messaging:7021"),
            })
            .collect()
    }

    #[test]
    fn numbers_spread_and_only_the_share_of_who_goes_moves() {
        let four = workers(4);
        let numbers: Vec<String> = (0..4_000).map(|number| format!("1065403522{number:05}")).collect();
        let mut counts: HashMap<Uuid, usize> = HashMap::new();
        for number in &numbers {
            *counts.entry(chosen(number, &four).expect("somebody")).or_default() += 1;
        }
        assert!(counts.values().all(|count| (850..1_150).contains(count)), "{counts:?}");
        let three = &four[..3];
        for number in &numbers {
            let before = chosen(number, &four);
            if before != Some(four[3].id) {
                assert_eq!(chosen(number, three), before);
            }
        }
        assert_eq!(chosen("1", &[]), None);
    }
}
