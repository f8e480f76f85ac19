//! Parked items that no connection came for.

use outeract_postgres::run_tx;
use sqlx::PgPool;

use super::MAX_DAYS;
use crate::reason;
use crate::store::park;

/// Items of one transaction.
const STEP: i64 = 1_000;

/// Quarantines what has been parked for too long. Returns when nothing is left to do.
pub(crate) async fn expire(db: &PgPool) -> sqlx::Result<()> {
    loop {
        let changed = run_tx(db, "park.expire", async move |connection| {
            let numbers = park::overdue(&mut *connection, MAX_DAYS, STEP).await?;
            if numbers.is_empty() {
                return Ok(0);
            }
            // A number that is activated now either shows under the lock, or waits for it.
            park::lock_numbers(&mut *connection, &numbers).await?;
            park::expire(connection, &numbers, MAX_DAYS, reason::PARKED_TOO_LONG, STEP).await
        })
        .await?;
        if changed == 0 {
            return Ok(());
        }
    }
}
