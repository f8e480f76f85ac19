//! Setting messages aside for which no attempt is made: they wait, or end, and the reason stands in the queue or with the ending.

use std::collections::HashMap;
use std::time::Duration;

use outeract_batch::{BatchConfig, Batcher, Flush, FlushError, Flusher};
use outeract_events::Step;
use outeract_proto::messaging::v1::SubmissionState;
use sqlx::PgPool;
use uuid::Uuid;

use crate::dispatch::PACE;
use crate::dispatch::record::Noted;
use crate::dispatch::scheduler::NumberId;
use crate::events::{self, Subject};
use crate::forward::Forwarder;
use crate::problem;
use crate::status::told;
use crate::store::aside::{self as store, Park, Refusal};
use crate::store::{DbError, run};
use crate::waiters::Waiters;

/// A message that is set aside.
#[derive(Debug, Clone)]
pub(crate) struct SetAside {
    pub subject: Subject,
    pub number: NumberId,
    pub epoch: i64,
    pub deed: Deed,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Deed {
    /// It waits for so long.
    Park { reason: &'static str, wait: Duration },
    /// It ends as FAILED; one that an earlier attempt may have sent goes to UNKNOWN.
    Fail { reason: &'static str },
}

/// Sets messages aside, and tells whoever wants to know. The output is [`Noted::Nothing`] for one that is not queued any more, or is somebody else's.
pub(crate) struct Aside {
    pub db: PgPool,
    pub worker: Uuid,
    pub waiters: Waiters,
    pub forwarder: Forwarder,
}

pub(crate) fn asides(aside: Aside) -> (Batcher<Aside>, Vec<Flusher<Aside>>) {
    let config = BatchConfig {
        flushers: 1,
        pace: PACE,
        ..BatchConfig::new("aside")
    };
    Batcher::new(config, aside)
}

// === impl Aside ===

impl Flush for Aside {
    type Item = SetAside;
    type Output = Noted;
    type Error = DbError;

    fn weight(&self, _: &SetAside) -> usize {
        160
    }

    async fn flush(&self, items: &[SetAside]) -> Result<Vec<Noted>, FlushError<DbError>> {
        let mut noted: HashMap<Uuid, Noted> = HashMap::new();
        // In the messages' order, so that overlapping statements cannot wait for each other in a circle.
        let mut ordered: Vec<_> = items.iter().collect();
        ordered.sort_unstable_by_key(|item| item.subject.message);
        self.park(&ordered, &mut noted).await.map_err(FlushError::Whole)?;
        self.refuse(&ordered, &mut noted).await.map_err(FlushError::Whole)?;
        let of = |item: &SetAside| noted.get(&item.subject.message.uuid()).copied();
        Ok(items.iter().map(|item| of(item).unwrap_or(Noted::Nothing)).collect())
    }
}

impl Aside {
    async fn park(&self, items: &[&SetAside], noted: &mut HashMap<Uuid, Noted>) -> Result<(), DbError> {
        let parks: Vec<_> = items.iter().filter_map(|item| item.park()).collect();
        if parks.is_empty() {
            return Ok(());
        }
        let parked = run!(self.db, "aside.park", |conn| store::park(conn, self.worker, &parks))?;
        noted.extend(parked.into_iter().map(|message| (message, Noted::Queued)));
        for park in &parks {
            if noted.contains_key(&park.message) {
                let error = problem::of_reason(park.reason, None, true);
                self.waiters
                    .tell(park.message, told(SubmissionState::Queued, None, Some(error)));
            }
        }
        Ok(())
    }

    async fn refuse(&self, items: &[&SetAside], noted: &mut HashMap<Uuid, Noted>) -> Result<(), DbError> {
        let refusals: Vec<_> = items.iter().filter_map(|item| item.refusal()).collect();
        if refusals.is_empty() {
            return Ok(());
        }
        let refused = run!(self.db, "aside.refuse", |conn| store::refuse(
            conn,
            self.worker,
            &refusals
        ))?;
        let subjects: HashMap<Uuid, &SetAside> =
            items.iter().map(|item| (item.subject.message.uuid(), *item)).collect();
        let mut events = Vec::with_capacity(refused.len());
        for row in refused {
            let Some(item) = subjects.get(&row.message) else {
                continue;
            };
            let (state, step, outcome) = if row.ended {
                (SubmissionState::Failed, Step::Failed, Noted::Ended)
            } else {
                (SubmissionState::Unknown, Step::Unknown, Noted::Unknown)
            };
            let error = problem::of_reason(item.deed.reason(), None, false);
            noted.insert(row.message, outcome);
            events.push(events::step(
                item.subject,
                step,
                row.attempt,
                row.at,
                None,
                Some(error.clone()),
            ));
            self.waiters.tell(row.message, told(state, None, Some(error)));
        }
        self.forwarder.tell(events);
        Ok(())
    }
}

// === impl SetAside ===

impl SetAside {
    fn park(&self) -> Option<Park<'_>> {
        let Deed::Park { reason, wait } = self.deed else {
            return None;
        };
        Some(Park {
            number: &self.number,
            message: self.subject.message.uuid(),
            epoch: self.epoch,
            reason,
            wait_seconds: wait.as_secs_f64(),
        })
    }

    fn refusal(&self) -> Option<Refusal<'_>> {
        let Deed::Fail { reason } = self.deed else {
            return None;
        };
        Some(Refusal {
            number: &self.number,
            message: self.subject.message.uuid(),
            epoch: self.epoch,
            reason,
        })
    }
}

// === impl Deed ===

impl Deed {
    /// For how long it waits.
    pub(crate) fn wait(self) -> Duration {
        match self {
            Self::Park { wait, .. } => wait,
            Self::Fail { .. } => Duration::ZERO,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Park { reason, .. } | Self::Fail { reason } => reason,
        }
    }
}
