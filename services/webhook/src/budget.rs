//! The room that raw bodies may take up. Decoding that is behind is no reason to refuse a webhook: what is stored is the queue. A full disk would stop everything, so that a budget, if one is set,
//! is where Meta is asked to keep webhooks itself, which it does for seven days.

use std::sync::Arc;
use std::time::Duration;

use outeract_postgres::Summary;
use sqlx::PgPool;

use crate::board::Board;
use crate::store::partition;

/// How often it is measured.
const EVERY: Duration = Duration::from_secs(10);

/// Measures until the process stops. `budget` in bytes; 0: none.
pub(crate) async fn watch(db: PgPool, board: Arc<Board>, budget: u64) {
    metrics::gauge!("webhook_storage_budget_bytes").set(budget as f64);
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        match partition::stored_bytes(&db).await {
            Ok(stored) => judge(&board, budget, stored as u64),
            // What was known last still holds.
            Err(error) => tracing::warn!(error = %Summary(&error), "The size of stored webhooks cannot be read"),
        }
    }
}

/// Tells the edge, and says in the log when that changes.
fn judge(board: &Board, budget: u64, stored: u64) {
    metrics::gauge!("webhook_stored_bytes").set(stored as f64);
    let over = budget > 0 && stored >= budget;
    if board.set_over_budget(over) != over {
        if over {
            tracing::error!(
                stored,
                budget,
                "Stored webhooks have reached their budget: they are answered 503, and Meta keeps them for seven days"
            );
        } else {
            tracing::info!(stored, budget, "Stored webhooks are within their budget again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_reached_only_where_there_is_one() {
        let board = Board::default();
        for (budget, stored, over) in [(0, u64::MAX, false), (10, 9, false), (10, 10, true), (10, 9, false)] {
            judge(&board, budget, stored);
            assert_eq!(board.over_budget(), over, "{stored} of {budget}");
        }
    }
}
