//! Holds that operators placed: kept in memory beside the connections. Until they were read for the first time nothing is sent.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use outeract_runtime::Stop;
use tokio::time::MissedTickBehavior;

use super::{Connection, Projection};
use crate::config::Timing;
use crate::seldom::Seldom;
use crate::store::hold::{self as store, APPLICATION, CONNECTION, Hold, NUMBER, Target};
use crate::store::{DbError, run};

/// Why each target is held back. None: not known yet.
pub(super) type Holds = Option<HashMap<Target, Arc<str>>>;

// === impl Projection ===

impl Projection {
    /// Messages of this connection can be sent now: it is active, not paused, and no operator holds it back.
    pub(crate) fn sends(&self, connection: &Connection) -> bool {
        let holds = self.0.holds.read().unwrap_or_else(PoisonError::into_inner);
        let Some(holds) = holds.as_ref() else { return false };
        connection.sends() && of(holds, connection).is_none()
    }

    /// Why an operator holds this connection's messages back, if one does.
    pub(crate) fn hold(&self, connection: &Connection) -> Option<Arc<str>> {
        let holds = self.0.holds.read().unwrap_or_else(PoisonError::into_inner);
        of(holds.as_ref()?, connection).cloned()
    }

    /// Learns which holds there are.
    pub(crate) async fn refresh_holds(&self) -> Result<(), DbError> {
        let rows = run!(self.0.db, "hold.all", |conn| store::all(conn))?;
        let fresh = rows
            .into_iter()
            .map(|Hold { scope, key, reason, .. }| (Target { scope, key }, Arc::from(reason)))
            .collect();
        let changed = {
            let mut holds = self.0.holds.write().unwrap_or_else(PoisonError::into_inner);
            let fresh = Some(fresh);
            let changed = *holds != fresh;
            *holds = fresh;
            changed
        };
        if changed {
            self.0.changes.send_modify(|count| *count += 1);
        }
        Ok(())
    }
}

/// Reads the holds now and then, until the process stops. Apart from the connections: nothing that waits for a sibling may delay a hold.
pub(crate) async fn keep_holds(projection: Projection, timing: Timing, stop: Stop) {
    let mut refresh = tokio::time::interval(timing.refresh);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let unread = Seldom::default();
    loop {
        tokio::select! {
            () = stop.soft().cancelled() => return,
            _ = refresh.tick() => {}
        }
        if let Err(cause) = projection.refresh_holds().await
            && unread.again()
        {
            tracing::warn!(%cause, "Operators' holds could not be read");
        }
    }
}

fn of<'a>(holds: &'a HashMap<Target, Arc<str>>, connection: &Connection) -> Option<&'a Arc<str>> {
    // Mostly there is none, and this is asked for each message.
    if holds.is_empty() {
        return None;
    }
    let target = |scope, key| Target { scope, key };
    let targets = [
        target(NUMBER, connection.number.to_string()),
        target(CONNECTION, connection.id.uuid().to_string()),
        target(APPLICATION, connection.application.uuid().to_string()),
    ];
    targets.iter().find_map(|target| holds.get(target))
}
