//! Records what became of deliveries, of many subscriptions at a time.

use std::collections::HashMap;
use std::sync::Arc;

use outeract_batch::{BatchConfig, Batcher, Flush, FlushError, Flusher, SubmitError};
use outeract_postgres::{Class, classify, retry};
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::delivery::{self, Moves, Outcomes};

/// Where outcomes are handed in.
pub(crate) type Book = Batcher<Record>;

/// Writes batches of them.
#[derive(Debug)]
pub(crate) struct Record {
    pool: PgPool,
}

/// How a subscription has moved, with what became of one delivery.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) subscription: Uuid,
    pub(crate) epoch: i64,
    pub(crate) position: i64,
    pub(crate) outcome: Option<Outcome>,
}

/// What became of a delivery.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) id: Uuid,
    pub(crate) event: Uuid,
    pub(crate) event_type: String,
    /// One of those of [`delivery`].
    pub(crate) kind: i16,
    pub(crate) attempts: i32,
    pub(crate) tries: i32,
    /// Seconds until it is tried again.
    pub(crate) delay: f64,
    /// Sealed.
    pub(crate) log: Vec<u8>,
    /// The attempt succeeded; `None`: there was none.
    pub(crate) success: Option<bool>,
}

/// A book and its flusher, to be spawned. One: two would wait for each other's rows.
pub(crate) fn open(pool: PgPool) -> (Book, Vec<Flusher<Record>>) {
    let config = BatchConfig {
        flushers: 1,
        ..BatchConfig::new("tracking.deliveries")
    };
    Batcher::new(config, Record { pool })
}

/// Whether handing in again may help: nothing is wrong with what was handed in.
pub(crate) fn is_passing(error: &SubmitError<sqlx::Error>) -> bool {
    match error {
        SubmitError::Full | SubmitError::Aborted => true,
        SubmitError::Closed => false,
        SubmitError::Failed(error) => match classify(error) {
            Class::Conflict | Class::Unavailable | Class::CommitUnknown => true,
            Class::Data | Class::Bug => false,
        },
    }
}

// === impl Record ===

impl Record {
    async fn write(&self, columns: &Arc<(Moves, Outcomes)>) -> Result<Vec<Uuid>, sqlx::Error> {
        let columns = Arc::clone(columns);
        retry(&self.pool, "delivery.record", async move |conn| {
            delivery::record(conn, &columns.0, &columns.1).await
        })
        .await
    }
}

impl Flush for Record {
    type Item = Note;
    /// Whether the subscription is still the caller's.
    type Output = bool;
    type Error = sqlx::Error;

    fn weight(&self, note: &Note) -> usize {
        let outcome = note.outcome.as_ref();
        size_of::<Note>() + outcome.map_or(0, |outcome| outcome.log.len() + outcome.event_type.len())
    }

    async fn flush(&self, notes: &[Note]) -> Result<Vec<bool>, FlushError<sqlx::Error>> {
        let columns = Arc::new(columns(notes));
        let moved = match self.write(&columns).await {
            // Going there twice changes nothing but a count of failures.
            Err(error) if classify(&error) == Class::CommitUnknown => self.write(&columns).await,
            moved => moved,
        };
        let moved = moved.map_err(|error| match classify(&error) {
            Class::Data => FlushError::Poison(error),
            Class::Conflict | Class::Unavailable | Class::CommitUnknown | Class::Bug => FlushError::Whole(error),
        })?;
        Ok(notes.iter().map(|note| moved.contains(&note.subscription)).collect())
    }
}

/// The notes as the statement takes them: each subscription once with where it stands after all of them, each delivery once as it was noted last.
fn columns(notes: &[Note]) -> (Moves, Outcomes) {
    let mut moves = Moves::default();
    let mut outcomes = Outcomes::default();
    let mut places: HashMap<Uuid, usize> = HashMap::new();
    let mut latest: HashMap<(Uuid, Uuid), usize> = HashMap::new();
    for (index, note) in notes.iter().enumerate() {
        let place = *places.entry(note.subscription).or_insert_with(|| {
            moves.ids.push(note.subscription);
            moves.epochs.push(note.epoch);
            moves.positions.push(note.position);
            moves.failures.push(0);
            moves.succeeded.push(false);
            moves.ids.len() - 1
        });
        moves.epochs[place] = moves.epochs[place].max(note.epoch);
        moves.positions[place] = moves.positions[place].max(note.position);
        let Some(outcome) = &note.outcome else { continue };
        latest.insert((note.subscription, outcome.id), index);
        match outcome.success {
            Some(true) => {
                moves.succeeded[place] = true;
                moves.failures[place] = 0;
            }
            Some(false) => moves.failures[place] += 1,
            None => {}
        }
    }
    let mut last: Vec<usize> = latest.into_values().collect();
    last.sort_unstable();
    for index in last {
        let Some(outcome) = &notes[index].outcome else { continue };
        outcomes.subscriptions.push(notes[index].subscription);
        outcomes.ids.push(outcome.id);
        outcomes.events.push(outcome.event);
        outcomes.types.push(outcome.event_type.clone());
        outcomes.kinds.push(outcome.kind);
        outcomes.attempts.push(outcome.attempts);
        outcomes.tries.push(outcome.tries);
        outcomes.delays.push(outcome.delay);
        outcomes.logs.push(outcome.log.clone());
    }
    (moves, outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(subscription: u128, delivery: u128, position: i64, success: bool) -> Note {
        Note {
            subscription: Uuid::from_u128(subscription),
            epoch: 1,
            position,
            outcome: Some(Outcome {
                id: Uuid::from_u128(delivery),
                event: Uuid::from_u128(9),
                event_type: "message.inbound".to_owned(),
                kind: if success {
                    delivery::SUCCEEDED
                } else {
                    delivery::PENDING
                },
                attempts: position as i32,
                tries: 1,
                delay: 5.0,
                log: Vec::new(),
                success: Some(success),
            }),
        }
    }

    #[test]
    fn a_subscription_and_a_delivery_appear_once_and_as_they_are_in_the_end() {
        let (moves, outcomes) = columns(&[
            note(1, 1, 4, false),
            note(2, 1, 1, false),
            note(1, 2, 6, true),
            note(1, 1, 5, false),
        ]);
        assert_eq!(moves.ids, [Uuid::from_u128(1), Uuid::from_u128(2)]);
        assert_eq!(moves.positions, [6, 1]);
        // What failed before the success does not count any more.
        assert_eq!(moves.failures, [1, 1]);
        assert_eq!(moves.succeeded, [true, false]);
        assert_eq!(outcomes.ids.len(), 3);
        assert_eq!(outcomes.attempts, [1, 6, 5]);
    }
}
