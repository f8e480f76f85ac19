//! Findings that end a message, or send it again, without a call to Meta.

use std::collections::HashMap;

use outeract_domain::Submission;
use outeract_events::Step;
use outeract_proto::messaging::v1::SubmissionState;
use uuid::Uuid;

use super::{Finding, Noted, Record, Written};
use crate::dispatch::gate::Refused;
use crate::events;
use crate::problem;
use crate::status::{queued, told};
use crate::store::record::Accepted;
use crate::store::resolve::{self, Decision};
use crate::store::withdraw::{self, Withdrawn};
use crate::store::{DbError, run, sandbox};

// === impl Record ===

impl Record {
    pub(super) async fn withdrawn(&self, round: &[usize], written: &mut Written<'_>) -> Result<(), DbError> {
        let (mut left, rows) = written.pick(round, |finding| match finding {
            Finding::Withdrawn { row } => Some(row.clone()),
            _ => None,
        });
        if rows.is_empty() {
            return Ok(());
        }
        for withdrawn in run!(self.db, "withdraw.withdraw", |conn| withdraw::withdraw(conn, &rows))? {
            if let Some(index) = left.remove(&withdrawn.message) {
                written.withdraw(index, &withdrawn);
                // It may hold a place since an earlier attempt, or for one that was not begun.
                if written.outcomes[index] == Noted::Ended {
                    self.aftermath.begin(Refused::unsent(withdrawn.message));
                }
            }
        }
        Ok(())
    }

    pub(super) async fn resolved(&self, round: &[usize], written: &mut Written<'_>) -> Result<(), DbError> {
        let (mut left, resent) = written.decisions(round, true);
        if !resent.is_empty() {
            for resolved in run!(self.db, "resolve.resend", |conn| resolve::resend(conn, &resent))? {
                if let Some(index) = left.remove(&resolved.message) {
                    written.outcomes[index] = Noted::Queued;
                    written.statuses.push((resolved.message, queued()));
                }
            }
        }
        let (mut left, failed) = written.decisions(round, false);
        if !failed.is_empty() {
            for resolved in run!(self.db, "resolve.fail", |conn| resolve::fail(conn, &failed))? {
                if let Some(index) = left.remove(&resolved.message) {
                    written.miss(index, resolved.at, Noted::Ended);
                }
            }
        }
        Ok(())
    }

    pub(super) async fn simulated(&self, round: &[usize], written: &mut Written<'_>) -> Result<(), DbError> {
        let (mut left, rows): (_, Vec<Accepted>) = written.pick(round, |finding| match finding {
            Finding::Simulated { row, .. } => Some(row.clone()),
            _ => None,
        });
        if rows.is_empty() {
            return Ok(());
        }
        for noted in run!(self.db, "sandbox.accepted", |conn| sandbox::accepted(conn, &rows))? {
            let Some(index) = left.remove(&noted.message) else {
                continue;
            };
            written.accept(index, noted.at, Step::Accepted);
            let note = &written.notes[index];
            if let Finding::Simulated { row, wamid } = &note.finding {
                written
                    .told
                    .extend(events::simulated(note.subject, row.attempt, noted.at, wamid));
            }
        }
        Ok(())
    }
}

// === impl Written ===

impl Written<'_> {
    fn decisions(&self, round: &[usize], wanted: bool) -> (HashMap<Uuid, usize>, Vec<Decision>) {
        self.pick(round, |finding| match finding {
            Finding::Resolved { row, resend, .. } if *resend == wanted => Some(row.clone()),
            _ => None,
        })
    }

    fn withdraw(&mut self, index: usize, withdrawn: &Withdrawn) {
        let (noted, step, state) = match Submission::try_from(withdrawn.state) {
            Ok(Submission::Expired) => (Noted::Ended, Step::Expired, SubmissionState::Expired),
            Ok(Submission::Canceled) => (Noted::Ended, Step::Canceled, SubmissionState::Canceled),
            // Nothing else is written.
            _ => (Noted::Unknown, Step::Unknown, SubmissionState::Unknown),
        };
        let error = withdrawn
            .reason
            .as_deref()
            .map(|reason| problem::of_reason(reason, withdrawn.meta_code, false));
        self.outcomes[index] = noted;
        metrics::counter!("messaging_withdrawn_total", "step" => step.word()).increment(1);
        self.told.push(events::step(
            self.notes[index].subject,
            step,
            withdrawn.attempt,
            withdrawn.at,
            None,
            error.clone(),
        ));
        self.statuses.push((withdrawn.message, told(state, None, error)));
    }
}
