//! The audit log: who did what, written in the transaction of the deed.

use outeract_clock::Random;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::{Builder, Uuid};

use crate::store::audit;

/// The actor of what is done with access to the deployment and without a key.
pub(crate) const BOOTSTRAP: &str = "bootstrap";
/// The actor of what Meta told.
pub(crate) const META: &str = "meta";

/// Something that is done.
#[derive(Debug)]
pub(crate) struct Deed<'a> {
    /// Who does it: the id of a key, or [`BOOTSTRAP`].
    pub(crate) actor: &'a str,
    /// What is done, for example `key.revoke`.
    pub(crate) action: &'static str,
    /// The id of what it is done to.
    pub(crate) subject: String,
    /// Facts about it: an object without secrets, with bounded texts, well below 4 KiB.
    pub(crate) detail: Value,
}

// === impl Deed ===

impl Deed<'_> {
    /// As it is written, together with others.
    pub(crate) fn entry(self, random: &dyn Random) -> audit::Entry {
        audit::Entry {
            id: row_id(random),
            actor: self.actor.to_owned(),
            action: self.action,
            subject: self.subject,
            detail: self.detail.to_string(),
        }
    }

    /// Writes it down.
    pub(crate) async fn record(self, tx: &mut PgConnection, random: &dyn Random) -> sqlx::Result<()> {
        let detail = self.detail.to_string();
        audit::insert(tx, row_id(random), self.actor, self.action, &self.subject, &detail).await
    }
}

/// An id for a row that nobody names.
pub(crate) fn row_id(random: &dyn Random) -> Uuid {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    Builder::from_random_bytes(bytes).into_uuid()
}
