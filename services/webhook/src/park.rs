//! Items that wait for a connection. Parking and activation take the same lock of the number, and each looks at what the other wrote: no item is left behind.

mod expire;
mod unpark;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use outeract_postgres::{retry, run_tx};
use sqlx::{PgConnection, PgPool};

pub(crate) use expire::expire;

use crate::decode::account::{self, Fate, Head, Place};
use crate::reason;
use crate::store::{Outcome, account as rows, park};

/// Most items that wait for one number.
const MAX_PARKED: i64 = 10_000;

/// The end of a batch: all of its items have their fate.
#[derive(Debug)]
pub(crate) struct End {
    /// The lane.
    pub lane: i16,
    /// Where its cursor stands.
    pub from: i64,
    /// Where it moves to.
    pub to: i64,
    /// The posts between.
    pub posts: Vec<Head>,
    /// Their items.
    pub places: Vec<Place>,
}

// === impl End ===

impl End {
    /// Writes accounts and items and moves the cursor. Returns what became of the items in the end; `None`, and nothing is written, when another decoder moved the
    /// cursor first.
    pub(crate) async fn commit(self, db: &PgPool, fates: Vec<Fate>) -> sqlx::Result<Option<Vec<Fate>>> {
        let numbers = self.parked_numbers(&fates);
        if !numbers.is_empty() {
            return run_tx(db, "batch.park", async move |connection| {
                self.park(connection, &numbers, fates.clone()).await
            })
            .await;
        }
        let fates = Arc::new(fates);
        let written = Arc::clone(&fates);
        let moved = retry(db, "batch.advance", async move |connection| {
            self.advance(connection, &written).await
        })
        .await?;
        Ok(moved.then(|| Arc::unwrap_or_clone(fates)))
    }

    async fn advance(&self, connection: &mut PgConnection, fates: &[Fate]) -> sqlx::Result<bool> {
        let (accounts, items) = account::rows(&self.posts, &self.places, fates);
        rows::advance(connection, self.lane, self.from, self.to, &accounts, &items).await
    }

    async fn park(
        &self,
        connection: &mut PgConnection,
        numbers: &[String],
        mut fates: Vec<Fate>,
    ) -> sqlx::Result<Option<Vec<Fate>>> {
        park::lock_numbers(&mut *connection, numbers).await?;
        let counts = park::counts(&mut *connection, numbers, MAX_PARKED).await?;
        self.bound(&mut fates, counts);
        if !self.advance(&mut *connection, &fates).await? {
            return Ok(None);
        }
        // A number that was activated since its route was read: whoever did so could not see these items, so it is for us to say so.
        park::start(connection, numbers).await?;
        Ok(Some(fates))
    }

    /// The numbers that items are parked for.
    fn parked_numbers(&self, fates: &[Fate]) -> Vec<String> {
        let parked = self.places.iter().zip(fates).filter(|(_, fate)| is_parked(fate));
        let numbers: BTreeSet<&str> = parked.map(|(place, _)| place.phone_number_id.as_str()).collect();
        numbers.into_iter().map(str::to_owned).collect()
    }

    /// Quarantines what is too much for its number.
    fn bound(&self, fates: &mut [Fate], counts: Vec<park::Count>) {
        let mut parked: HashMap<String, i64> = counts
            .into_iter()
            .map(|count| (count.phone_number_id, count.parked))
            .collect();
        for (place, fate) in self.places.iter().zip(fates) {
            let Fate::Listed(outcome @ Outcome::Parked, why, _) = fate else {
                continue;
            };
            let waiting = parked.entry(place.phone_number_id.clone()).or_default();
            // What waits behind items that are being applied is on its way.
            if *waiting >= MAX_PARKED && *why != reason::BEHIND_PARKED {
                *outcome = Outcome::Quarantined;
                *why = reason::PARKED_TOO_MANY.into();
            } else {
                *waiting += 1;
            }
        }
    }
}

fn is_parked(fate: &Fate) -> bool {
    matches!(fate, Fate::Listed(Outcome::Parked, ..))
}
