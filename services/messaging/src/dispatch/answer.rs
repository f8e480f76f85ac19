//! What follows from each kind of answer: what is recorded, when the message is tried again, and who else waits.

use std::time::{Duration, Instant};

use outeract_domain::Wamid;
use outeract_graph::GraphError;
use outeract_graph::fault::{Class, Reaction, Scope, Verdict, classify};
use outeract_proto::messaging::v1::SendError;

use super::call::{AWAY, Flight, Line, Mood};
use super::cargo::Cargo;
use super::gate::{Place, Refused, WINDOW_CLOSED, When};
use super::record::{Finding, Note, Noted};
use super::scheduler::Outcome;
use crate::problem::{self, META_UNREACHABLE, OUTCOME_UNKNOWN};
use crate::store::record::{Accepted, Missed, Retry};

/// The next try of a message.
pub(super) struct Next {
    pub(super) wait: Duration,
    /// The try that was made does not count.
    pub(super) refund: bool,
}

const UNREACHABLE_MOST: Duration = Duration::from_secs(30);

// === impl Line ===

impl Line {
    pub(super) async fn accepted(&self, flight: Flight<'_>, wamid: Wamid) -> (Outcome<Cargo>, Mood) {
        let row = Accepted {
            number: flight.admission.number.to_string(),
            application: flight.subject.application.uuid(),
            message: flight.admission.message,
            attempt: flight.begun.attempt,
            wamid_hash: self.vault.wamid_hash(&flight.admission.number, wamid.as_str()),
            wamid_sealed: self
                .vault
                .seal_wamid(flight.subject.application.uuid(), flight.admission.message, &wamid),
        };
        self.note(&flight, Finding::Accepted { row, wamid }).await;
        (Outcome::Ended, Mood::Well)
    }

    /// Meta said no: its table says what follows.
    pub(super) async fn rejected(&self, flight: Flight<'_>, error: &GraphError) -> (Outcome<Cargo>, Mood) {
        let verdict = classify(error);
        if Refused::teaches(error.code) {
            self.conclude(&flight, error.code, Place::Kept).await;
            if error.code == WINDOW_CLOSED && flight.letter.fallback.is_some() && !flight.pass.fallback {
                return self.fall_back(&flight, error, &verdict).await;
            }
        }
        if let Some(template) = flight.pass.content(flight.letter).template() {
            let waba = &flight.connection.waba;
            self.templates
                .on_refusal(error.code, waba, template.name(), template.language());
        }
        if verdict.class == Class::Authorisation {
            return self.unauthorised(flight, error, &verdict).await;
        }
        if let Some(outcome) = self.doubted(&flight, error).await {
            return (outcome, Mood::Neutral);
        }
        let scope = match verdict.reaction {
            Reaction::Fail => Scope::Message,
            Reaction::Retry { scope, .. } | Reaction::Park { scope, .. } => scope,
        };
        // Only faults that are unclear use tries up: each of them may hide an acceptance. What merely has to wait is counted by itself.
        let unclear = verdict.class == Class::Transient && scope == Scope::Message;
        let tries = if unclear {
            flight.begun.tries
        } else {
            flight.waits() + 1
        };
        let tries = u16::try_from(tries.max(1)).unwrap_or(u16::MAX);
        let Some(wait) = verdict.wait(error, tries) else {
            let row = missed(&flight, verdict.reason, Some(error));
            let told = problem::of_verdict(&verdict, error.code, false);
            let noted = self.note(&flight, Finding::Failed { row, error: told }).await;
            if noted == Noted::Ended && flight.may_hold_a_place() {
                self.conclude(&flight, error.code, Place::Free).await;
            }
            let refused = verdict.reaction == Reaction::Fail;
            let mood = if refused { Mood::Well } else { Mood::Neutral };
            return (self.after(&flight, noted, Duration::ZERO), mood);
        };
        let row = missed(&flight, verdict.reason, Some(error));
        let told = problem::of_verdict(&verdict, error.code, true);
        let refund = !unclear;
        let outcome = self.retry(&flight, row, told, Next { wait, refund }).await;
        let until = Instant::now() + wait;
        let mood = match scope {
            Scope::Message => Mood::Neutral,
            Scope::Number if verdict.slows() => Mood::Slow {
                until,
                reason: verdict.reason,
            },
            scope => Mood::Wait {
                scope,
                until,
                probe: true,
                reason: verdict.reason,
            },
        };
        if matches!(scope, Scope::NumberCampaigns | Scope::WabaCampaigns) {
            tracing::warn!(connection.id = %flight.connection.id, reason = verdict.reason, "Meta limits what this connection may send: its campaigns pause");
        }
        (outcome, mood)
    }

    /// Meta knows better than we did that the window is closed: the message goes again at once, and the gate has its fallback go in its place.
    async fn fall_back(&self, flight: &Flight<'_>, error: &GraphError, verdict: &Verdict) -> (Outcome<Cargo>, Mood) {
        let row = missed(flight, verdict.reason, Some(error));
        let told = problem::of_verdict(verdict, error.code, true);
        let next = Next {
            wait: Duration::ZERO,
            refund: true,
        };
        (self.retry(flight, row, told, next).await, Mood::Well)
    }

    /// Meta refused the token. With a younger one the message goes again at once; else the number waits.
    async fn unauthorised(&self, flight: Flight<'_>, error: &GraphError, verdict: &Verdict) -> (Outcome<Cargo>, Mood) {
        let younger = self
            .credentials
            .younger(flight.connection.id, flight.credential.version)
            .await;
        let wait = if younger.is_some() {
            Duration::ZERO
        } else {
            self.timing.unauthorised
        };
        let row = missed(&flight, verdict.reason, Some(error));
        let told = problem::of_verdict(verdict, error.code, true);
        let outcome = self.retry(&flight, row, told, Next { wait, refund: true }).await;
        let mood = if younger.is_some() {
            Mood::Neutral
        } else {
            number_waits(wait, verdict.reason)
        };
        (outcome, mood)
    }

    /// The call never left: the try is given back, and the next comes later each time.
    pub(super) async fn never_sent(&self, flight: Flight<'_>) -> (Outcome<Cargo>, Mood) {
        let doublings = u32::try_from(flight.waits().clamp(0, 10)).unwrap_or(0);
        let wait = (AWAY * 2_u32.pow(doublings)).min(UNREACHABLE_MOST);
        let row = missed(&flight, META_UNREACHABLE, None);
        let told = problem::of_reason(META_UNREACHABLE, None, true);
        let outcome = self.retry(&flight, row, told, Next { wait, refund: true }).await;
        (outcome, number_waits(AWAY, META_UNREACHABLE))
    }

    pub(super) async fn unknown(&self, flight: Flight<'_>, http_status: u16) -> (Outcome<Cargo>, Mood) {
        let mut row = missed(&flight, OUTCOME_UNKNOWN, None);
        row.http_status = i16::try_from(http_status).ok().filter(|status| *status > 0);
        let error = problem::of_reason(OUTCOME_UNKNOWN, None, false);
        let noted = self.note(&flight, Finding::Unknown { row, error }).await;
        (self.after(&flight, noted, Duration::ZERO), Mood::Neutral)
    }

    pub(super) async fn retry(
        &self,
        flight: &Flight<'_>,
        missed: Missed,
        error: SendError,
        next: Next,
    ) -> Outcome<Cargo> {
        let row = Retry {
            missed,
            delay_seconds: next.wait.as_secs_f64(),
            refund: next.refund,
        };
        let noted = self.note(flight, Finding::Retry { row, error }).await;
        self.after(flight, noted, next.wait)
    }

    /// Draws the conclusions of a refusal. What fails is learned from the next refusal, or forgotten after 24 hours.
    async fn conclude(&self, flight: &Flight<'_>, code: i32, place: Place) {
        let refused = Refused {
            message: flight.admission.message,
            code,
            when: When::Ago(flight.asked.elapsed()),
            place,
        };
        self.aftermath.conclude([refused]).await;
    }

    pub(super) async fn note(&self, flight: &Flight<'_>, finding: Finding) -> Noted {
        let note = Note {
            subject: flight.subject,
            finding,
        };
        self.recorder.record(note).await
    }

    pub(super) fn after(&self, flight: &Flight<'_>, noted: Noted, wait: Duration) -> Outcome<Cargo> {
        match noted {
            Noted::Ended | Noted::Nothing => Outcome::Ended,
            Noted::Queued => Outcome::Again {
                ready: Instant::now() + wait,
                cargo: flight.admission.cargo.clone(),
            },
            Noted::Unknown => Outcome::Unknown {
                until: Instant::now() + self.timing.patience,
            },
        }
    }
}

// === impl Flight ===

impl Flight<'_> {
    /// Attempts of this message that did not count: each time it had to wait for something.
    fn waits(&self) -> i32 {
        self.begun.attempt - self.begun.tries
    }

    /// It holds a place in the portfolio's quota, perhaps since an earlier attempt.
    fn may_hold_a_place(&self) -> bool {
        self.pass.counted || self.begun.attempt > 1
    }
}

fn number_waits(wait: Duration, reason: &'static str) -> Mood {
    Mood::Wait {
        scope: Scope::Number,
        until: Instant::now() + wait,
        probe: true,
        reason,
    }
}

pub(super) fn missed(flight: &Flight<'_>, reason: &'static str, error: Option<&GraphError>) -> Missed {
    // A trace id of Meta's is for Meta's support: short and plain, or of no use.
    let plain = |id: &str| !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic());
    Missed {
        number: flight.admission.number.to_string(),
        message: flight.admission.message,
        attempt: flight.begun.attempt,
        reason,
        meta_code: error.map(|error| error.code),
        http_status: error.and_then(|error| i16::try_from(error.http_status).ok()),
        fbtrace: error.map(|error| error.fbtrace_id.clone()).filter(|id| plain(id)),
    }
}
