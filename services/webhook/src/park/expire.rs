//! Parked items that no connection came for.

use outeract_postgres::run_tx;
use sqlx::PgPool;

use crate::reason;
use crate::store::park;

/// Items of one transaction.
const STEP: i64 = 1_000;

/// Quarantines what has been parked for more than `days`. Returns when nothing is left to do.
pub(crate) async fn expire(db: &PgPool, days: i32) -> sqlx::Result<()> {
    loop {
        let changed = run_tx(db, "park.expire", async move |connection| {
            let numbers = park::overdue(&mut *connection, days, STEP).await?;
            if numbers.is_empty() {
                return Ok(0);
            }
            // A number that is activated now either shows under the lock, or waits for it.
            park::lock_numbers(&mut *connection, &numbers).await?;
            park::expire(connection, &numbers, days, reason::PARKED_TOO_LONG, STEP).await
        })
        .await?;
        if changed == 0 {
            return Ok(());
        }
    }
}
