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
    /// Why an operator holds this connection's messages back, if one does.
    pub(crate) fn hold(&self, connection: &Connection) -> Option<Arc<str>> {
        let holds = self.0.holds.read().unwrap_or_else(PoisonError::into_inner);
        let holds = holds.as_ref().filter(|holds| !holds.is_empty())?;
        targets(connection)
            .into_iter()
            .find_map(|target| holds.get(&target).cloned())
    }

    /// Messages of this connection can be sent now.
    pub(crate) fn sends(&self, connection: &Connection) -> bool {
        let known = self.0.holds.read().unwrap_or_else(PoisonError::into_inner).is_some();
        known && connection.sends() && self.hold(connection).is_none()
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

fn targets(connection: &Connection) -> [Target; 3] {
    let target = |scope, key| Target { scope, key };
    [
        target(NUMBER, connection.number.to_string()),
        target(CONNECTION, connection.id.uuid().to_string()),
        target(APPLICATION, connection.application.uuid().to_string()),
    ]
}
