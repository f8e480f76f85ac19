//! A stretch of a log, read in bounds.

use outeract_domain::ApplicationId;
use outeract_proto::tracking::v1::Event;
use outeract_rpc::Fault;
use uuid::Uuid;

use super::{Filter, Reader};
use crate::fault;
use crate::store;
use crate::store::head::Ends;
use crate::store::log::{self, Looked, Scan};

/// Positions looked at by one scan, whatever the filter leaves of them.
const MAX_POSITIONS: i64 = 5_000;

/// Positions between two others, both left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) after: i64,
    pub(crate) before: i64,
    pub(crate) descending: bool,
}

/// What a scan found.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) events: Vec<Event>,
    /// Positions of the events.
    pub(crate) positions: Vec<i64>,
    pub(crate) ends: Ends,
    /// What is left of the range: everything else was read or filtered out.
    pub(crate) rest: Range,
}

// === impl Range ===

impl Range {
    /// Everything after a position, oldest first.
    pub(crate) fn from(after: i64) -> Self {
        Self {
            after,
            before: i64::MAX,
            descending: false,
        }
    }

    /// Whether the log has something in this range.
    pub(crate) fn reaches(&self, ends: &Ends) -> bool {
        let first = ends.earliest.max(self.after.saturating_add(1));
        let last = ends.head.min(self.before.saturating_sub(1));
        first <= last
    }

    /// The range without the first `positions` of it that the log can have.
    fn without(self, ends: &Ends, positions: i64) -> Self {
        if self.descending {
            let before = self.before.min(ends.head + 1).saturating_sub(positions);
            Self { before, ..self }
        } else {
            let last = ends.head.min(self.before.saturating_sub(1));
            let after = self.after.max(ends.earliest - 1).saturating_add(positions);
            Self {
                after: after.min(last).max(self.after),
                ..self
            }
        }
    }

    /// The range beyond a position in it.
    fn beyond(self, position: i64) -> Self {
        if self.descending {
            Self {
                before: position,
                ..self
            }
        } else {
            Self {
                after: position,
                ..self
            }
        }
    }
}

// === impl Reader ===

impl Reader {
    /// Reads the beginning of a range: at most `limit` events, and no further one once they have `max_bytes`.
    pub(crate) async fn scan(
        &self,
        application: ApplicationId,
        range: Range,
        filter: &Filter,
        limit: i64,
        max_bytes: i64,
    ) -> Result<Page, Fault> {
        let types = filter.types.as_ref();
        let contacts = self.contacts(application, filter).await?;
        let scan = Scan {
            application: application.uuid(),
            after: range.after,
            before: range.before,
            descending: range.descending,
            connections: filter.connections.as_deref(),
            contacts: contacts.as_deref(),
            names: types.map(|types| types.names.as_slice()),
            prefixes: types.map(|types| types.prefixes.as_slice()),
            limit,
            max_bytes,
            max_positions: MAX_POSITIONS,
        };
        let scanned = {
            let _slot = self.slot().await?;
            log::scan(&self.pool, &scan).await.map_err(fault::database)?
        };
        let cut_short = scanned.entries.len() < scanned.matched || scanned.matched as i64 >= limit;
        let rest = match scanned.entries.last() {
            Some(last) if cut_short => range.beyond(last.position),
            _ => match scanned.looked {
                Looked::Positions => range.without(&scanned.ends, MAX_POSITIONS),
                Looked::To(position) => range.beyond(position),
                Looked::End => range.without(&scanned.ends, i64::MAX),
            },
        };
        let mut page = Page {
            events: Vec::with_capacity(scanned.entries.len()),
            positions: Vec::with_capacity(scanned.entries.len()),
            ends: scanned.ends,
            rest,
        };
        for entry in &scanned.entries {
            page.events.push(self.bodies.open(application, entry)?);
            page.positions.push(entry.position);
        }
        Ok(page)
    }

    /// The contacts that are one with the filter's.
    async fn contacts(&self, application: ApplicationId, filter: &Filter) -> Result<Option<Vec<Uuid>>, Fault> {
        let Some(contact) = filter.contact else {
            return Ok(None);
        };
        let _slot = self.slot().await?;
        store::contact::one(&self.pool, application.uuid(), contact.uuid())
            .await
            .map(Some)
            .map_err(fault::database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: Ends = Ends { head: 20, earliest: 11 };

    #[test]
    fn a_scan_moves_on_by_what_the_log_can_have() {
        let up = Range {
            after: 0,
            before: i64::MAX,
            descending: false,
        };
        assert_eq!(up.without(&ENDS, 5).after, 15);
        assert_eq!(up.without(&ENDS, 50).after, 20);
        assert_eq!(Range::from(17).without(&ENDS, 2).after, 19);
        // Never back: a reader at the end stays there.
        assert_eq!(Range::from(20).without(&ENDS, 5).after, 20);
        assert_eq!(Range { before: 14, ..up }.without(&ENDS, 50).after, 13);
        let down = Range {
            after: 0,
            before: i64::MAX,
            descending: true,
        };
        assert_eq!(down.without(&ENDS, 5).before, 16);
        assert_eq!(Range { before: 14, ..down }.without(&ENDS, 2).before, 12);
    }

    #[test]
    fn a_range_reaches_what_is_kept() {
        assert!(Range::from(0).reaches(&ENDS));
        assert!(Range::from(19).reaches(&ENDS));
        assert!(!Range::from(20).reaches(&ENDS));
        let down = |before| Range {
            after: 0,
            before,
            descending: true,
        };
        assert!(down(12).reaches(&ENDS));
        assert!(!down(11).reaches(&ENDS));
        assert!(!Range::from(0).reaches(&Ends::EMPTY));
    }
}
