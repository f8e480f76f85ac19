//! What the gate says of a message whose turn has come, and what becomes of one that may not be sent.

use std::sync::Arc;
use std::time::Instant;

use super::call::{AWAY, Line, later};
use super::cargo::Cargo;
use super::gate::{Ask, Deed, Pass, SetAside, Terms, Unanswered, Verdict};
use super::record::Noted;
use super::scheduler::{Admission, Outcome};
use crate::events::Subject;
use crate::projection::Connection;
use crate::vault::Letter;

// === impl Line ===

impl Line {
    /// Asks the gate. The error is what becomes of a message that may not be sent now: it was noted where it stands.
    pub(super) async fn admit(
        &self,
        admission: &Admission<Cargo>,
        subject: Subject,
        connection: &Arc<Connection>,
        letter: &Letter,
    ) -> Result<Pass, Outcome<Cargo>> {
        let ask = Ask {
            message: admission.message,
            number: Arc::clone(&admission.number),
            contact: admission.lane.contact,
            connection: Arc::clone(connection),
            terms: Terms::of(letter),
        };
        let deed = match self.gate.admit(ask).await {
            Ok(Verdict::Go(pass)) => return Ok(pass),
            Ok(Verdict::Park { reason, wait }) => Deed::Park { reason, wait },
            Ok(Verdict::Fail { reason }) => Deed::Fail { reason },
            Err(Unanswered) => return Err(later(&admission.cargo, AWAY).0),
        };
        let aside = SetAside {
            subject,
            number: Arc::clone(&admission.number),
            epoch: admission.epoch,
            deed,
        };
        let again = |wait| Outcome::Again {
            ready: Instant::now() + wait,
            cargo: admission.cargo.clone(),
        };
        Err(match self.asides.submit(aside).await {
            Ok(Noted::Queued) => again(deed.wait()),
            Ok(Noted::Unknown) => Outcome::Unknown {
                until: Instant::now() + self.timing.patience,
            },
            // It has ended, or is not this process's any more.
            Ok(Noted::Ended | Noted::Nothing) => Outcome::Ended,
            Err(_) => again(AWAY),
        })
    }
}
