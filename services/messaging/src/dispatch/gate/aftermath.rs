//! What Meta's refusals teach the gate: a window that is closed (131047), a user who wants no marketing (131050), a place in the quota that was not used after all. The places of messages
//! that end before Meta accepts them are given back here, too.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use outeract_batch::{BatchConfig, Batcher, Flush, FlushError};
use outeract_events::timestamp;
use outeract_proto::messaging::internal::v1::StatusItem;
use outeract_runtime::{Context, OnExit};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::contacts::{Consent, Wish, Wished};
use crate::projection::Projection;
use crate::store::gate::{self as store, Addressee, Closing};
use crate::store::quota::{self, Claim};
use crate::store::{DbError, run};
use crate::window::Windows;

/// Meta refused a message, or was not asked to send it any more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Refused {
    pub message: Uuid,
    /// Meta's; 0: Meta said nothing.
    pub code: i32,
    pub when: When,
    pub place: Place,
}

/// What becomes of a message's place in the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It stays.
    Kept,
    /// The message was not delivered and never will be: it is free.
    Free,
    /// It is free if the message has ended, and Meta cannot have accepted it.
    FreeIfUnsent,
}

/// When Meta refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum When {
    /// By Meta's clock.
    At(OffsetDateTime),
    /// Before now.
    Ago(Duration),
}

/// Draws the conclusions of refusals, many at a time.
pub(crate) struct Conclude {
    db: PgPool,
    windows: Windows,
    projection: Projection,
    consent: Consent,
}

/// The entrance. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Aftermath(Batcher<Conclude>);

/// Meta's word for a message that it does not deliver.
const FAILED: &str = "failed";
/// Meta says that the window is closed.
pub(crate) const WINDOW_CLOSED: i32 = 131_047;
/// Meta says that the user stopped marketing.
const MARKETING_STOPPED: i32 = 131_050;

// === impl Refused ===

impl Refused {
    /// The refusal teaches something about more than its message.
    pub(crate) fn teaches(code: i32) -> bool {
        matches!(code, WINDOW_CLOSED | MARKETING_STOPPED)
    }

    /// A message was withdrawn, or seems to have been: how it ended, the database knows.
    pub(crate) fn unsent(message: Uuid) -> Self {
        Self {
            message,
            code: 0,
            when: When::Ago(Duration::ZERO),
            place: Place::FreeIfUnsent,
        }
    }

    /// A status that says that Meta did not deliver a message that it had accepted; none for any other. One that contradicts an earlier `delivered` or `read` frees the place all the same:
    /// those leave nothing behind here, for a write for each of them would cost more than a place that is free too soon, of which Meta's own limit is the end.
    pub(crate) fn by_status(message: Uuid, status: &StatusItem) -> Option<Self> {
        let at = status.occur_time.as_ref().and_then(timestamp::from_proto);
        (status.status == FAILED).then_some(Self {
            message,
            code: status.error_code,
            when: at.map_or(When::Ago(Duration::ZERO), When::At),
            place: Place::Free,
        })
    }
}

// === impl Aftermath ===

impl Aftermath {
    /// An aftermath, and its task in `context`.
    pub(crate) fn start(context: &Context, windows: Windows, projection: Projection, consent: Consent) -> Self {
        let config = BatchConfig {
            flushers: 1,
            ..BatchConfig::new("aftermath")
        };
        let conclude = Conclude {
            db: context.db.clone(),
            windows,
            projection,
            consent,
        };
        let (batcher, flushers) = Batcher::new(config, conclude);
        for flusher in flushers {
            context
                .tasks
                .spawn("dispatch.aftermath", OnExit::StopProcess, flusher.run());
        }
        Self(batcher)
    }

    /// Draws the conclusions, without waiting for them.
    pub(crate) fn begin(&self, refused: Refused) {
        // It is queued; who learns nothing of its end asks Meta again.
        drop(self.0.submit(refused));
    }

    /// Draws the conclusions. False: not all of them, for now.
    pub(crate) async fn conclude(&self, refused: impl IntoIterator<Item = Refused>) -> bool {
        // All are submitted before the first is waited for, so that they share a flush.
        let submitted: Vec<_> = refused.into_iter().map(|refused| self.0.submit(refused)).collect();
        let mut all = true;
        for submission in submitted {
            if let Err(cause) = submission.await {
                tracing::warn!(%cause, "What follows from a refusal of Meta's could not be noted");
                all = false;
            }
        }
        all
    }
}

// === impl Conclude ===

impl Flush for Conclude {
    type Item = Refused;
    type Output = ();
    type Error = DbError;

    fn weight(&self, _: &Refused) -> usize {
        64
    }

    async fn flush(&self, refused: &[Refused]) -> Result<Vec<()>, FlushError<DbError>> {
        let mut messages: Vec<_> = refused.iter().map(|refused| refused.message).collect();
        messages.sort_unstable();
        messages.dedup();
        let found = run!(self.db, "gate.addressees", |conn| store::addressees(conn, &messages));
        let found = found.map_err(FlushError::Whole)?;
        let found: HashMap<Uuid, Addressee> = found.into_iter().map(|row| (row.message, row)).collect();
        self.close(refused, &found).await.map_err(FlushError::Whole)?;
        self.suppress(refused, &found).await.map_err(FlushError::Whole)?;
        self.release(refused, &found).await.map_err(FlushError::Whole)?;
        Ok(vec![(); refused.len()])
    }
}

impl Conclude {
    async fn close(&self, refused: &[Refused], found: &HashMap<Uuid, Addressee>) -> Result<(), DbError> {
        // Each window once, and in order: of several refusals the last counts.
        let mut closings: BTreeMap<(&str, Uuid), Closing<'_>> = BTreeMap::new();
        let mut addressed = Vec::new();
        for (refused, to) in with(refused, found).filter(|(refused, _)| refused.code == WINDOW_CLOSED) {
            addressed.push(to);
            let closing = closings.entry((&to.number, to.contact)).or_insert(Closing {
                number: &to.number,
                contact: to.contact,
                at: None,
                seconds_ago: None,
            });
            match refused.when {
                When::At(at) => closing.at = closing.at.max(Some(at)),
                When::Ago(ago) => {
                    let ago = ago.as_secs_f64();
                    closing.seconds_ago = Some(closing.seconds_ago.map_or(ago, |known| known.min(ago)));
                }
            }
        }
        if closings.is_empty() {
            return Ok(());
        }
        let closings: Vec<_> = closings.into_values().collect();
        let forget = || {
            for to in &addressed {
                let number = Arc::from(to.number.as_str());
                self.windows.close(&number, to.addressed);
                self.windows.close(&number, to.contact);
            }
        };
        forget();
        let closed = run!(self.db, "window.close", |conn| store::close_windows(conn, &closings));
        // What was read before the commit must not be learned after it.
        forget();
        metrics::counter!("messaging_windows_closed_total").increment(closings.len() as u64);
        closed
    }

    async fn suppress(&self, refused: &[Refused], found: &HashMap<Uuid, Addressee>) -> Result<(), DbError> {
        let stopped = with(refused, found).filter(|(refused, _)| refused.code == MARKETING_STOPPED);
        let wishes: Vec<_> = stopped
            .map(|(refused, to)| Wished {
                application: to.application,
                contact: to.contact,
                connection: Some(to.connection),
                wish: Wish::Refused,
                at: match refused.when {
                    When::At(at) => Some(at),
                    // A moment ago.
                    When::Ago(_) => None,
                },
            })
            .collect();
        if !wishes.is_empty() {
            self.consent.heed(&wishes).await?;
        }
        Ok(())
    }

    async fn release(&self, refused: &[Refused], found: &HashMap<Uuid, Addressee>) -> Result<(), DbError> {
        let releasing = with(refused, found).filter(|(refused, to)| match refused.place {
            Place::Kept => false,
            // A message that Meta accepted twice may have been delivered once.
            Place::Free => to.duplicates == 0,
            Place::FreeIfUnsent => to.unsent,
        });
        let known: Vec<_> = releasing
            .filter_map(|(_, to)| Some((self.projection.known(to.connection)?, to)))
            .collect();
        if known.is_empty() {
            return Ok(());
        }
        let claims: Vec<_> = known
            .iter()
            .map(|(connection, to)| Claim {
                portfolio: &connection.portfolio,
                contact: to.contact,
                message: to.message,
            })
            .collect();
        let freed = run!(self.db, "quota.release", |conn| quota::release(conn, &claims))?;
        metrics::counter!("messaging_quota_released_total").increment(freed.unsigned_abs());
        Ok(())
    }
}

/// Refusals with whom they concern. Those of messages that are gone are left out.
fn with<'a>(
    refused: &'a [Refused],
    found: &'a HashMap<Uuid, Addressee>,
) -> impl Iterator<Item = (&'a Refused, &'a Addressee)> {
    refused
        .iter()
        .filter_map(|refused| Some((refused, found.get(&refused.message)?)))
}
