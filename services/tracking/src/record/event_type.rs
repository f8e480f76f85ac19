//! Event types as small numbers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use outeract_rpc::Fault;
use sqlx::PgPool;

use crate::fault;
use crate::store;

/// The types that this code knows, as the first migration numbers them from 1 on.
const KNOWN: [&str; 10] = [
    "message.inbound",
    "message.outbound",
    "message.accepted",
    "message.sent",
    "message.delivered",
    "message.read",
    "message.played",
    "message.failed",
    "message.unknown",
    "message.duplicate",
];
/// Names remembered in a process.
const MAX_REMEMBERED: usize = 1_024;

/// Gives each event type its number; types that came after this code get theirs from Postgres.
#[derive(Debug)]
pub(super) struct EventTypes {
    pool: PgPool,
    registered: Mutex<HashMap<String, i16>>,
}

// === impl EventTypes ===

impl EventTypes {
    pub(super) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            registered: Mutex::default(),
        }
    }

    pub(super) async fn id(&self, name: &str) -> Result<i16, Fault> {
        if let Some(place) = KNOWN.iter().position(|known| *known == name) {
            return Ok(place as i16 + 1);
        }
        let remembered = self
            .registered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .copied();
        if let Some(id) = remembered {
            return Ok(id);
        }
        let id = store::event_type::register(&self.pool, name)
            .await
            .map_err(fault::database)?;
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        if registered.len() >= MAX_REMEMBERED {
            registered.clear();
        }
        registered.insert(name.to_owned(), id);
        Ok(id)
    }
}
