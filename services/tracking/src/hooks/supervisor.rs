//! Which subscriptions this process delivers, and who else does when it does not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use outeract_clock::{Random, SharedRandom};
use outeract_domain::{ApplicationId, SubscriptionId};
use outeract_events::SubscriptionDisabled;
use outeract_postgres::Summary;
use outeract_rpc::Fault;
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::lane::Lane;
use super::shared::{EXPIRY, Shared, Told};
use crate::fault;
use crate::record::Recorder;
use crate::store::subscription::{self, BEHIND, GONE};
use crate::store::worker::{self, Held};

/// How often a process says that it lives.
const BEAT: Duration = Duration::from_secs(2);
/// How often it asks what there is to do.
const POLL: Duration = Duration::from_millis(250);

/// Keeps this process's share of the subscriptions going.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    recorder: Arc<Recorder>,
    worker: Uuid,
    lanes: HashMap<Uuid, Running>,
    tasks: JoinSet<Uuid>,
    /// A subscription was created or resumed here.
    changed: Arc<Notify>,
    disable_after: Duration,
}

#[derive(Debug)]
struct Running {
    held: Held,
    told: Arc<Told>,
    task: Id,
}

// === impl Supervisor ===

impl Supervisor {
    pub(super) fn new(
        shared: Arc<Shared>,
        recorder: Arc<Recorder>,
        changed: Arc<Notify>,
        random: &SharedRandom,
        disable_after: Duration,
    ) -> Self {
        let mut bytes = [0; 16];
        let random: &dyn Random = &**random;
        random.fill(&mut bytes);
        Self {
            shared,
            recorder,
            worker: uuid::Builder::from_random_bytes(bytes).into_uuid(),
            lanes: HashMap::new(),
            tasks: JoinSet::new(),
            changed,
            disable_after,
        }
    }

    /// Delivers until `stop`, then ends what is under way and gives the subscriptions back.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let (mut beats, mut polls) = (interval(BEAT), interval(POLL));
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let changed = Arc::clone(&self.changed);
        let mut away = false;
        while !stop.is_cancelled() {
            let outcome = tokio::select! {
                () = stop.cancelled() => break,
                _ = beats.tick() => self.beat().await,
                () = changed.notified() => self.beat().await,
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => self.ended(ended).await,
                _ = polls.tick(), if !self.lanes.is_empty() => self.poll().await,
            };
            match outcome {
                Ok(()) => away = false,
                Err(fault) if !away => {
                    away = true;
                    tracing::warn!("Outgoing webhooks wait: {}", fault.message());
                }
                Err(_) => {}
            }
        }
        for running in self.lanes.values() {
            running.told.stop.cancel();
        }
        while self.tasks.join_next().await.is_some() {}
        if let Err(error) = worker::leave(&self.shared.pool, self.worker).await {
            tracing::warn!(
                "Subscriptions are free only once this process is missed: {}",
                Summary(&error)
            );
        }
    }

    /// Says that this process lives, and sees to it that it has its share.
    async fn beat(&mut self) -> Result<(), Fault> {
        let begun = Instant::now();
        let pool = self.shared.pool.clone();
        let expiry = EXPIRY.as_secs_f64();
        let census = worker::beat(&pool, self.worker, expiry)
            .await
            .map_err(fault::database)?;
        self.shared.beaten(begun);
        let share = (census.active + census.workers - 1) / census.workers.max(1);
        if census.mine < share {
            worker::claim(&pool, self.worker, expiry, share - census.mine)
                .await
                .map_err(fault::database)?;
        }
        subscription::disable_failing(&pool, self.worker, self.disable_after.as_secs_f64())
            .await
            .map_err(fault::database)?;
        let held = worker::held(&pool, self.worker).await.map_err(fault::database)?;
        self.reconcile(held, share);
        gauge!("tracking_webhook_lanes").set(self.lanes.len() as f64);
        self.announce().await
    }

    /// Lets run what this process has, up to its share.
    fn reconcile(&mut self, held: Vec<Held>, share: i64) {
        let share = usize::try_from(share).unwrap_or(0);
        let wanted: HashMap<Uuid, Held> = held.into_iter().take(share).map(|held| (held.id, held)).collect();
        for (id, running) in &mut self.lanes {
            match wanted.get(id) {
                Some(held) if held.epoch == running.held.epoch => {
                    if held.version != running.held.version {
                        running.held = *held;
                        running.told.change();
                    }
                }
                // Another's, inactive, or more than the share.
                _ => running.told.stop.cancel(),
            }
        }
        for (id, held) in wanted {
            if self.lanes.contains_key(&id) {
                continue;
            }
            let told = Arc::new(Told::default());
            let lane = Lane::new(Arc::clone(&self.shared), Arc::clone(&told), held);
            let task = self.tasks.spawn(lane.run()).id();
            self.lanes.insert(id, Running { held, told, task });
        }
    }

    /// A lane has ended: somebody may have its subscription.
    async fn ended(&mut self, ended: Result<Uuid, JoinError>) -> Result<(), Fault> {
        let id = match ended {
            Ok(id) => Some(id),
            Err(error) => {
                tracing::error!("The deliveries of a subscription broke off; they begin again");
                let broken = self.lanes.iter().find(|(_, running)| running.task == error.id());
                broken.map(|(id, _)| *id)
            }
        };
        let Some(id) = id else { return Ok(()) };
        self.lanes.remove(&id);
        worker::release(&self.shared.pool, self.worker, &[id])
            .await
            .map_err(fault::database)
    }

    async fn poll(&mut self) -> Result<(), Fault> {
        let ready = worker::ready(&self.shared.pool, self.worker)
            .await
            .map_err(fault::database)?;
        for found in ready {
            if let Some(running) = self.lanes.get(&found.id) {
                running.told.ready(found.ahead, found.due);
            }
        }
        Ok(())
    }

    /// Records the events of what was disabled. Whoever does it, and however often, it is one event.
    async fn announce(&self) -> Result<(), Fault> {
        let found = subscription::unannounced(&self.shared.pool)
            .await
            .map_err(fault::database)?;
        if found.is_empty() {
            return Ok(());
        }
        let records = found.iter().map(|disabled| {
            let event = SubscriptionDisabled {
                application: ApplicationId::from_uuid(disabled.application_id),
                subscription: SubscriptionId::from_uuid(disabled.id),
                at: disabled.disabled_at,
                reason: reason(disabled.reason),
            };
            event.record()
        });
        self.recorder.record(records.collect()).await?;
        let ids: Vec<Uuid> = found.iter().map(|disabled| disabled.id).collect();
        let times: Vec<_> = found.iter().map(|disabled| disabled.disabled_at).collect();
        subscription::announced(&self.shared.pool, &ids, &times)
            .await
            .map_err(fault::database)?;
        for disabled in &found {
            metrics::counter!("tracking_webhook_disabled_total", "reason" => reason(disabled.reason)).increment(1);
        }
        Ok(())
    }
}

fn reason(reason: i16) -> &'static str {
    match reason {
        GONE => "gone",
        BEHIND => "behind",
        _ => "failing",
    }
}
