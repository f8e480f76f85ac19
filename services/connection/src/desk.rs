//! What every handler and task of the service works with.

use std::sync::Arc;

use outeract_clock::{SharedClock, SharedRandom};
use outeract_rpc::page::PageTokens;
use outeract_rpc::{Authenticator, Fault};
use outeract_seal::KeyRing;
use sqlx::PgPool;
use tokio::sync::Notify;

use crate::meta::Meta;
use crate::push::Push;
use crate::store::Position;

/// Where the service's work is done: its database, keys, clients and clocks. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    pub(crate) db: PgPool,
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) meta: Arc<Meta>,
    pub(crate) keys: Authenticator,
    pub(crate) pages: PageTokens,
    pub(crate) push: Push,
    /// Rung when a connection was made.
    pub(crate) connected: Arc<Notify>,
}

// === impl Desk ===

impl Desk {
    /// The position that a page token holds.
    pub(crate) fn position(&self, list: &[&[u8]], token: &str) -> Result<Option<Position>, Fault> {
        let bytes = self.pages.decode(list, token)?;
        // A genuine token holds a position: only this service makes them.
        Ok(bytes.and_then(|bytes| Position::from_bytes(&bytes)))
    }

    /// Cuts what was read with one row more than the page holds; the token of the next page, if there is one.
    pub(crate) fn cut<T>(
        &self,
        list: &[&[u8]],
        rows: &mut Vec<T>,
        size: i64,
        position: impl Fn(&T) -> Position,
    ) -> String {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if rows.len() <= size {
            return String::new();
        }
        rows.truncate(size);
        let end = rows.last().map(|row| position(row).to_bytes());
        end.map_or_else(String::new, |end| self.pages.encode(list, &end))
    }
}
