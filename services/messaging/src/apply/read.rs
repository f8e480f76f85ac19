//! Messages from users that are to be marked as read by themselves.

use outeract_rpc::Fault;

use super::Applier;
use super::inbound::Newest;
use crate::store::receipt::{self as store, New};
use crate::store::run;

// === impl Applier ===

impl Applier {
    /// Notes the newest message of each conversation whose application wants that. Before the items count as applied: what is not noted comes again.
    pub(super) async fn note_receipts(&self, newest: &Newest<'_>) -> Result<(), Fault> {
        let wanted = newest
            .iter()
            .filter(|(_, letter)| letter.routed.connection.auto_mark_read);
        let sealed: Vec<_> = wanted
            .map(|((number, contact), letter)| {
                let routed = letter.routed;
                let wamid = self
                    .vault
                    .seal_receipt_wamid(routed.application, *contact, &letter.wamid);
                (*number, *contact, routed.connection.id.uuid(), letter.at, wamid)
            })
            .collect();
        if sealed.is_empty() {
            return Ok(());
        }
        let receipts: Vec<_> = sealed
            .iter()
            .map(|(number, contact, connection, at, wamid_sealed)| New {
                number,
                contact: *contact,
                connection: *connection,
                at: *at,
                wamid_sealed,
            })
            .collect();
        run!(self.db, "receipt.note", |conn| store::note(conn, &receipts))?;
        self.receipts.ring();
        Ok(())
    }
}
