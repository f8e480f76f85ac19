//! Recording what became of calls, many at a time, and telling whoever wants to know.

mod lifetime;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use outeract_batch::{BatchConfig, Batcher, Flush, FlushError, Flusher, SubmitError};
use outeract_domain::Wamid;
use outeract_events::Step;
use outeract_postgres::Class;
use outeract_proto::messaging::v1::{SendError, SendStatus, SubmissionState};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use super::PACE;
use super::gate::Aftermath;
use crate::events::{self, Subject};
use crate::forward::{Forwarder, Told, adopted_events};
use crate::seldom::Seldom;
use crate::status::told;
use crate::store::record::{self as store, Accepted, Missed, Retry};
use crate::store::resolve::Decision;
use crate::store::withdraw::Withdrawal;
use crate::store::{DbError, apply, run};
use crate::vault::Vault;
use crate::waiters::Waiters;

/// What became of an attempt, or what evidence says of it.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub subject: Subject,
    pub finding: Finding,
}

#[derive(Debug, Clone)]
pub(crate) enum Finding {
    /// Meta accepted it.
    Accepted { row: Accepted, wamid: Wamid },
    /// Meta did not, and will not.
    Failed { row: Missed, error: SendError },
    /// It is tried again.
    Retry { row: Retry, error: SendError },
    /// Nobody knows.
    Unknown { row: Missed, error: SendError },
    /// It is not to be sent any more.
    Withdrawn { row: Withdrawal },
    /// Somebody decided about an attempt whose outcome is not known: to send once more, or to give up.
    Resolved {
        row: Decision,
        resend: bool,
        error: SendError,
    },
    /// It was never meant to reach Meta.
    Simulated { row: Accepted, wamid: Wamid },
}

/// What recording a note changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// The message has ended.
    Ended,
    /// The message waits for its next try.
    Queued,
    /// The message's outcome is unknown.
    Unknown,
    /// Nothing: something stronger is known already.
    Nothing,
}

/// The entrance. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    batcher: Batcher<Record>,
    away: Arc<Seldom>,
}

/// Writes notes.
pub(crate) struct Record {
    pub db: PgPool,
    pub vault: Vault,
    pub waiters: Waiters,
    pub forwarder: Forwarder,
    pub aftermath: Aftermath,
}

const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MOST: Duration = Duration::from_secs(2);

// === impl Recorder ===

impl Recorder {
    /// A recorder, and its flushers to spawn.
    pub(crate) fn new(record: Record) -> (Self, Vec<Flusher<Record>>) {
        let config = BatchConfig {
            flushers: 1,
            pace: PACE,
            ..BatchConfig::new("record")
        };
        let (batcher, flushers) = Batcher::new(config, record);
        let away = Arc::default();
        (Self { batcher, away }, flushers)
    }

    /// Records a note, however long that takes: what became of a call is known here and nowhere else.
    pub(crate) async fn record(&self, note: Note) -> Noted {
        let mut pause = PAUSE_FIRST;
        loop {
            match self.batcher.submit(note.clone()).await {
                Ok(noted) => return noted,
                Err(SubmitError::Failed(cause)) if cause.class() == Class::Data => {
                    tracing::error!(message.id = %note.subject.message, %cause, "An outcome cannot be recorded");
                    return Noted::Nothing;
                }
                // It is safe to write it again, whether it was written or not.
                Err(cause) => {
                    if self.away.again() {
                        tracing::warn!(message.id = %note.subject.message, %cause, "An outcome could not be recorded yet");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MOST);
                }
            }
        }
    }

    /// Records a note once. `None`: it could not be recorded, or nobody knows.
    pub(crate) async fn try_record(&self, note: Note) -> Option<Noted> {
        self.batcher.submit(note).await.ok()
    }
}

// === impl Record ===

impl Flush for Record {
    type Item = Note;
    type Output = Noted;
    type Error = DbError;

    fn weight(&self, _: &Note) -> usize {
        512
    }

    async fn flush(&self, notes: &[Note]) -> Result<Vec<Noted>, FlushError<DbError>> {
        let mut outcomes = vec![Noted::Nothing; notes.len()];
        let mut left: Vec<usize> = (0..notes.len()).collect();
        // A statement sees each message once: a second note about the same one waits for the next round.
        while !left.is_empty() {
            let mut seen = HashSet::new();
            let (round, rest): (Vec<usize>, Vec<usize>) = left
                .into_iter()
                .partition(|index| seen.insert(notes[*index].subject.message));
            left = rest;
            self.round(notes, round, &mut outcomes)
                .await
                .map_err(|cause| match cause.class() {
                    Class::Data => FlushError::Poison(cause),
                    Class::Conflict | Class::Unavailable | Class::CommitUnknown | Class::Bug => {
                        FlushError::Whole(cause)
                    }
                })?;
        }
        Ok(outcomes)
    }
}

impl Record {
    async fn round(&self, notes: &[Note], mut round: Vec<usize>, outcomes: &mut [Noted]) -> Result<(), DbError> {
        // In the messages' order, so that overlapping flushes cannot wait for each other in a circle.
        round.sort_unstable_by_key(|index| notes[*index].subject.message);
        let mut written = Written {
            notes,
            outcomes,
            told: Vec::new(),
            statuses: Vec::new(),
        };
        let done = self.write(&round, &mut written).await;
        // What was written before a failure was written.
        self.forwarder.tell(written.told);
        for (message, status) in written.statuses {
            self.waiters.tell(message, status);
        }
        done
    }

    async fn write(&self, round: &[usize], written: &mut Written<'_>) -> Result<(), DbError> {
        self.accepted(round, written).await?;
        self.failed(round, written).await?;
        self.retried(round, written).await?;
        self.unknown(round, written).await?;
        self.withdrawn(round, written).await?;
        self.resolved(round, written).await?;
        self.simulated(round, written).await
    }

    async fn accepted(&self, round: &[usize], written: &mut Written<'_>) -> Result<(), DbError> {
        let mut left: HashMap<Uuid, usize> = HashMap::new();
        for &index in round {
            if matches!(written.notes[index].finding, Finding::Accepted { .. }) {
                left.insert(written.notes[index].subject.message.uuid(), index);
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        let mut hashes = Vec::new();
        let rows = rows(round, &left, written.notes);
        for ended in run!(self.db, "record.accepted", |conn| store::accepted(conn, &rows))? {
            if let Some(index) = left.remove(&ended.message) {
                let hash = written.accept(index, ended.at, Step::Accepted);
                hashes.extend(ended.orphans.then_some(hash));
            }
        }
        // The others have ended before, and this statement sees how.
        for row in rows.iter().filter(|row| left.contains_key(&row.message)) {
            let Some(late) = run!(self.db, "record.accepted_late", |conn| store::accepted_late(conn, row))? else {
                continue;
            };
            let index = left[&row.message];
            let step = if late.duplicate {
                Step::Duplicate
            } else {
                Step::Accepted
            };
            hashes.push(written.accept(index, late.at, step));
            if late.duplicate {
                let message = written.notes[index].subject.message;
                tracing::warn!(message.id = %message, "Meta accepted message {message} more than once");
                metrics::counter!("messaging_duplicates_total").increment(1);
            }
        }
        // The acceptances are committed: whoever keeps a status from now on finds them, and what was kept before is found here. What was kept between the
        // statement's snapshot and its commit is found by the sweep.
        let asked: Vec<_> = hashes.iter().map(<[u8; 16]>::as_slice).collect();
        if !asked.is_empty() {
            let orphans = run!(self.db, "orphan.adopted", |conn| apply::adopted(conn, &asked))?;
            written
                .told
                .extend(adopted_events(&self.vault, &self.aftermath, &orphans));
        }
        Ok(())
    }

    async fn failed(&self, round: &[usize], written: &mut Written<'_>) -> Result<(), DbError> {
        let (mut left, rows) = written.pick(round, |finding| match finding {
            Finding::Failed { row, .. } => Some(row.clone()),
            _ => None,
        });
        if rows.is_empty() {
            return Ok(());
        }
        for noted in run!(self.db, "record.failed", |conn| store::failed(conn, &rows))? {
            if let Some(index) = left.remove(&noted.message) {
                written.miss(index, noted.at, Noted::Ended);
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = rows.into_iter().filter(|row| left.contains_key(&row.message)).collect();
        for noted in run!(self.db, "record.doubted", |conn| store::doubted(conn, &rows))? {
            if let Some(index) = left.remove(&noted.message) {
                written.miss(index, noted.at, Noted::Unknown);
            }
        }
        Ok(())
    }

    async fn retried(&self, round: &[usize], written: &mut Written<'_>) -> Result<(), DbError> {
        let (mut left, rows) = written.pick(round, |finding| match finding {
            Finding::Retry { row, .. } => Some(row.clone()),
            _ => None,
        });
        if rows.is_empty() {
            return Ok(());
        }
        for noted in run!(self.db, "record.retried", |conn| store::retried(conn, &rows))? {
            if let Some(index) = left.remove(&noted.message) {
                written.miss(index, noted.at, Noted::Queued);
            }
        }
        Ok(())
    }

    async fn unknown(&self, round: &[usize], written: &mut Written<'_>) -> Result<(), DbError> {
        let (mut left, rows) = written.pick(round, |finding| match finding {
            Finding::Unknown { row, .. } => Some(row.clone()),
            _ => None,
        });
        if rows.is_empty() {
            return Ok(());
        }
        for noted in run!(self.db, "record.unknown", |conn| store::unknown(conn, &rows))? {
            if let Some(index) = left.remove(&noted.message) {
                written.miss(index, noted.at, Noted::Unknown);
            }
        }
        Ok(())
    }
}

fn rows(round: &[usize], left: &HashMap<Uuid, usize>, notes: &[Note]) -> Vec<Accepted> {
    let rows = round.iter().filter_map(|index| match &notes[*index].finding {
        Finding::Accepted { row, .. } if left.contains_key(&row.message) => Some(row.clone()),
        _ => None,
    });
    rows.collect()
}

/// What a round has written so far.
struct Written<'a> {
    notes: &'a [Note],
    outcomes: &'a mut [Noted],
    told: Vec<Told>,
    statuses: Vec<(Uuid, SendStatus)>,
}

// === impl Written ===

impl Written<'_> {
    fn pick<T>(&self, round: &[usize], pick: impl Fn(&Finding) -> Option<T>) -> (HashMap<Uuid, usize>, Vec<T>) {
        let picked = round
            .iter()
            .filter_map(|index| Some((*index, pick(&self.notes[*index].finding)?)));
        picked
            .map(|(index, row)| ((self.notes[index].subject.message.uuid(), index), row))
            .unzip()
    }

    fn accept(&mut self, index: usize, at: OffsetDateTime, step: Step) -> [u8; 16] {
        let note = &self.notes[index];
        self.outcomes[index] = Noted::Ended;
        let (Finding::Accepted { row, wamid } | Finding::Simulated { row, wamid }) = &note.finding else {
            return [0; 16];
        };
        self.told
            .push(events::step(note.subject, step, row.attempt, at, Some(wamid), None));
        self.statuses
            .push((row.message, told(SubmissionState::Accepted, Some(wamid), None)));
        row.wamid_hash
    }

    fn miss(&mut self, index: usize, at: OffsetDateTime, noted: Noted) {
        let note = &self.notes[index];
        self.outcomes[index] = noted;
        let (attempt, error) = match &note.finding {
            Finding::Accepted { .. } | Finding::Simulated { .. } | Finding::Withdrawn { .. } => return,
            Finding::Failed { row, error } | Finding::Unknown { row, error } => (row.attempt, error),
            Finding::Retry { row, error } => (row.missed.attempt, error),
            Finding::Resolved { row, error, .. } => (row.attempt, error),
        };
        let (state, step) = match noted {
            Noted::Ended => (SubmissionState::Failed, Some(Step::Failed)),
            Noted::Unknown => (SubmissionState::Unknown, Some(Step::Unknown)),
            Noted::Queued => (SubmissionState::Queued, None),
            Noted::Nothing => return,
        };
        if let Some(step) = step {
            self.told
                .push(events::step(note.subject, step, attempt, at, None, Some(error.clone())));
        }
        self.statuses
            .push((note.subject.message.uuid(), told(state, None, Some(error.clone()))));
    }
}
