//! What the gate says of a message whose turn has come, and what becomes of one that may not be sent.

use std::sync::Arc;
use std::time::Instant;

use outeract_domain::Content;

use super::call::{AWAY, Line, later};
use super::cargo::Cargo;
use super::gate::{Ask, Deed, Pass, Refused, SetAside, Terms, Unanswered, Verdict};
use super::record::Noted;
use super::scheduler::{Admission, Outcome};
use crate::events::Subject;
use crate::projection::Connection;
use crate::templates::{Sendable, sendable};
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
        // Its own template is looked at first: a place in the quota is not taken for what does not go.
        if let Some(deed) = self.forbids(connection, &letter.content, &admission.cargo).await? {
            return Err(self.set_aside(admission, subject, deed).await);
        }
        let deed = match self.gate.admit(ask).await {
            Ok(Verdict::Go(pass)) if pass.fallback => {
                match self.forbids(connection, pass.content(letter), &admission.cargo).await? {
                    None => return Ok(pass),
                    Some(deed) => deed,
                }
            }
            Ok(Verdict::Go(pass)) => return Ok(pass),
            Ok(Verdict::Park { reason, wait }) => Deed::Park { reason, wait },
            Ok(Verdict::Fail { reason }) => Deed::Fail { reason },
            Err(Unanswered) => return Err(later(&admission.cargo, AWAY).0),
        };
        Err(self.set_aside(admission, subject, deed).await)
    }

    /// What becomes of a message whose template Meta does not let go now. None: nothing, it goes. The error: nobody knows, it is looked at again.
    async fn forbids(
        &self,
        connection: &Connection,
        content: &Content,
        cargo: &Cargo,
    ) -> Result<Option<Deed>, Outcome<Cargo>> {
        let Some(template) = content.template() else {
            return Ok(None);
        };
        let registry = self.templates.registry();
        let known = registry
            .get(&connection.waba, template.name(), template.language())
            .await
            .map_err(|_| later(cargo, AWAY).0)?;
        Ok(match sendable(known.as_deref()) {
            Sendable::Go => None,
            Sendable::Park { reason, again } => Some(Deed::Park { reason, wait: again }),
            Sendable::Fail { reason } => Some(Deed::Fail { reason }),
        })
    }

    /// Notes where a message stands that may not be sent now, and what becomes of it.
    async fn set_aside(&self, admission: &Admission<Cargo>, subject: Subject, deed: Deed) -> Outcome<Cargo> {
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
        match self.asides.submit(aside).await {
            Ok(Noted::Queued) => again(deed.wait()),
            Ok(Noted::Unknown) => Outcome::Unknown {
                until: Instant::now() + self.timing.patience,
            },
            // It has ended, perhaps with a place in the quota; or it is not this process's any more.
            Ok(Noted::Ended | Noted::Nothing) => {
                self.aftermath.begin(Refused::unsent(admission.message));
                Outcome::Ended
            }
            Err(_) => again(AWAY),
        }
    }
}
