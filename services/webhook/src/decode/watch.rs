//! What this process cannot know by itself: webhooks that other replicas stored, the operator's switch, and the age of what waits.

use std::sync::Arc;
use std::time::Duration;

use outeract_postgres::Summary;

use super::Decoder;
use crate::store::cursor;

/// How often Postgres is asked.
const EVERY: Duration = Duration::from_millis(250);

impl Decoder {
    /// Keeps the board true until the process stops.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut away = false;
        loop {
            tokio::select! {
                () = self.stop.soft().cancelled() => return,
                _ = every.tick() => {}
            }
            match cursor::state(&self.db).await {
                Ok(state) => {
                    away = false;
                    self.board.set_paused(state.paused);
                    for lane in &state.lanes {
                        self.board.reached(lane.lane as usize, lane.head);
                    }
                    if state.unparking {
                        self.board.unparked();
                    }
                }
                // Said once: what fails now fails every time.
                Err(error) if !away => {
                    away = true;
                    tracing::warn!(error = %Summary(&error), "The state of decoding cannot be read");
                }
                Err(_) => {}
            }
        }
    }
}
