//! One message's way: load, token, intent, the call, its record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outeract_batch::{Batcher, SubmitError};
use outeract_clock::SharedRandom;
use outeract_domain::{ApplicationId, Callback, Content, EventId, Submission};
use outeract_graph::fault::{Scope, classify};
use outeract_graph::{Client, Outcome as Answer, wire};
use outeract_rpc::trace;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::breaker::{Breaker, Sign};
use super::cargo::{Cargo, Parcel};
use super::credentials::{Credential, Credentials};
use super::gate::{Aftermath, Aside, Gate, Pass, Refused};
use super::intent::{Begin, Begun, Intent, Load};
use super::media::{Attached, Unsendable};
use super::record::{Finding, Note, Noted, Recorder};
use super::scheduler::{Admission, LaneId, NumberId, Outcome};
use crate::config::Timing;
use crate::contacts::Learner;
use crate::events::Subject;
use crate::files::Media;
use crate::projection::{Connection, Projection};
use crate::store::withdraw::Withdrawal;
use crate::templates::Templates;
use crate::vault::{Letter, Vault};

/// Everything a call needs.
#[derive(Debug)]
pub(crate) struct Line {
    pub vault: Vault,
    pub random: SharedRandom,
    pub projection: Projection,
    pub credentials: Credentials,
    pub graph: Client,
    pub media: Media,
    pub intents: Batcher<Begin>,
    pub loads: Batcher<Load>,
    pub gate: Gate,
    pub asides: Batcher<Aside>,
    pub aftermath: Aftermath,
    pub recorder: Recorder,
    pub breaker: Breaker,
    pub templates: Templates,
    pub learner: Learner,
    pub timing: Timing,
    /// To the driver. Where it is full, the driver learns of an answer when that is recorded.
    pub answers: mpsc::Sender<Answered>,
}

/// Meta accepted a message, which is recorded next.
#[derive(Debug)]
pub(crate) struct Answered {
    pub number: NumberId,
    pub message: Uuid,
}

/// A message came to the end of its way, for this time.
#[derive(Debug)]
pub(crate) struct Finished {
    pub number: NumberId,
    pub lane: LaneId,
    pub message: Uuid,
    pub place: i64,
    pub outcome: Outcome<Cargo>,
    pub mood: Mood,
}

/// What a call tells about others than its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Nothing.
    Neutral,
    /// Meta takes messages from the number.
    Well,
    /// There was no call: the token that was taken for it is the number's again.
    Free,
    /// Whoever is in scope had better wait as long; with `probe`, one message is tried before the others.
    Wait {
        scope: Scope,
        until: Instant,
        probe: bool,
        reason: &'static str,
    },
    /// The number sends too fast: it waits as long, and then sends more slowly.
    Slow { until: Instant, reason: &'static str },
}

/// A message on its way, once its intent is durable.
pub(super) struct Flight<'a> {
    pub(super) admission: &'a Admission<Cargo>,
    pub(super) subject: Subject,
    pub(super) connection: &'a Connection,
    pub(super) credential: &'a Credential,
    pub(super) letter: &'a Letter,
    pub(super) attached: Attached,
    pub(super) begun: Begun,
    pub(super) pass: Pass,
    /// When its intent was asked for: its call was made after that.
    pub(super) asked: Instant,
}

/// While something of ours is away, a message is tried again this often.
pub(super) const AWAY: Duration = Duration::from_secs(1);
/// Too short a wait to be shown to anybody.
const TOKEN_MISSING: &str = "TOKEN_MISSING";
/// A connection that cannot send is looked at again this often.
const NOT_ACTIVE: Duration = Duration::from_secs(30);

// === impl Line ===

impl Line {
    /// Carries an admitted message to its end, or to its next try.
    pub(crate) async fn carry(self: Arc<Self>, admission: Admission<Cargo>) -> Finished {
        let (outcome, mood) = self.run(&admission).await;
        let Admission {
            number,
            message,
            lane,
            place,
            ..
        } = admission;
        Finished {
            number,
            lane,
            message,
            place,
            outcome,
            mood,
        }
    }

    async fn run(&self, admission: &Admission<Cargo>) -> (Outcome<Cargo>, Mood) {
        let cargo = &admission.cargo;
        let parcel = match &cargo.parcel {
            Some(parcel) => Arc::clone(parcel),
            None => match self.load(admission).await {
                Ok(Some(parcel)) => parcel,
                Ok(None) => return (Outcome::Ended, Mood::Neutral),
                Err(()) => return later(cargo, AWAY),
            },
        };
        let Some(connection) = self.projection.known(cargo.connection) else {
            return later(cargo, AWAY);
        };
        if !self.projection.sends(&connection) {
            return later(cargo, NOT_ACTIVE);
        }
        let credential = match self.credentials.get(&connection).await {
            Ok(credential) => credential,
            Err(cause) => {
                tracing::warn!(connection.id = %connection.id, %cause, "No token to send with");
                let wait = Mood::Wait {
                    scope: Scope::Number,
                    until: Instant::now() + AWAY,
                    probe: true,
                    reason: TOKEN_MISSING,
                };
                return (later(cargo, AWAY).0, wait);
            }
        };
        let subject = Subject {
            application: parcel.application,
            connection: connection.id,
            message: EventId::from_uuid(admission.message),
        };
        let pass = match self.admit(admission, subject, &connection, &parcel.letter).await {
            Ok(pass) => pass,
            Err(outcome) => return (outcome, Mood::Free),
        };
        let attached = match self.attach(&parcel, pass, &connection, &credential).await {
            Ok(attached) => attached,
            Err(wait) => return (later(cargo, wait).0, Mood::Free),
        };
        let asked = Instant::now();
        let begun = match self.begin(admission).await {
            Ok(Some(begun)) => begun,
            Err(left_nothing) if left_nothing => return later(cargo, AWAY),
            // Not this process's to send, or nobody's any more.
            Ok(None) => return self.lapse(admission, subject, pass).await,
            // Perhaps durable: not sent, and the sweep will find it.
            Err(_) => return (Outcome::Ended, Mood::Neutral),
        };
        let flight = Flight {
            admission,
            subject,
            connection: &connection,
            credential: &credential,
            letter: &parcel.letter,
            attached,
            begun,
            pass,
            asked,
        };
        match &flight.attached {
            Ok(_) => self.fly(flight, parcel.traceparent.as_deref()).await,
            Err(Unsendable::Gone) => self.file_gone(flight).await,
            Err(Unsendable::Refused(error)) => {
                let error = error.clone();
                self.rejected(flight, &error).await
            }
        }
    }

    async fn load(&self, admission: &Admission<Cargo>) -> Result<Option<Arc<Parcel>>, ()> {
        let (message, asked) = (admission.message, Instant::now());
        let row = match self.loads.submit(message).await {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(None),
            Err(_) => return Err(()),
        };
        self.gate
            .learn(&admission.number, admission.lane.contact, row.window_left, asked);
        match self.vault.open_letter(row.application, message, &row.sealed) {
            Ok(letter) => Ok(Some(Arc::new(Parcel {
                application: ApplicationId::from_uuid(row.application),
                letter: Arc::new(letter),
                traceparent: row.traceparent.clone(),
                _shelved: None,
            }))),
            Err(cause) => {
                tracing::error!(message.id = %EventId::from_uuid(message), %cause, "A message cannot be read");
                Err(())
            }
        }
    }

    /// Makes the intent durable. The error says whether nothing was written.
    async fn begin(&self, admission: &Admission<Cargo>) -> Result<Option<Begun>, bool> {
        let mut nonce = [0; 16];
        self.random.fill(&mut nonce);
        let intent = Intent {
            number: Arc::clone(&admission.number),
            epoch: admission.epoch,
            message: admission.message,
            nonce: Uuid::from_bytes(nonce),
        };
        self.intents.submit(intent).await.map_err(|error| match error {
            SubmitError::Full | SubmitError::Closed => true,
            SubmitError::Aborted => false,
            SubmitError::Failed(cause) => cause.left_nothing(),
        })
    }

    /// No intent was written: should the message's time have run out, it ends here.
    async fn lapse(&self, admission: &Admission<Cargo>, subject: Subject, pass: Pass) -> (Outcome<Cargo>, Mood) {
        let row = expiry(&admission.number, admission.message);
        // Whoever misses it is found by the scan.
        let finding = Finding::Withdrawn { row };
        let noted = self.recorder.try_record(Note { subject, finding }).await;
        if pass.counted && noted == Some(Noted::Nothing) {
            // Perhaps it was taken back in between, and then took a place that nobody gives back.
            self.aftermath.begin(Refused::unsent(admission.message));
        }
        (Outcome::Ended, Mood::Free)
    }

    /// Calls Meta, once, and records what came of it.
    async fn fly(&self, flight: Flight<'_>, traceparent: Option<&str>) -> (Outcome<Cargo>, Mood) {
        if flight.letter.sandbox {
            return self.simulate(flight).await;
        }
        let callback = Callback {
            message: flight.subject.message,
            attempt: flight.begun.attempt,
        }
        .to_string();
        // Whose files Meta was not given cannot be written, and is not sent.
        let Some(body) = flight.body(&callback) else {
            return self.never_sent(flight).await;
        };
        let start = Instant::now();
        let answer = if flight.asked.elapsed() < self.timing.call_budget {
            let span = trace::span_child_of("messaging.call", traceparent);
            let call = self
                .graph
                .send_message(&flight.credential.token, &flight.connection.number, body);
            Some(tracing::Instrument::instrument(call, span).await)
        } else {
            // This process stood still after its intent: by now it may be taken for dead. What was not sent is not sent.
            None
        };
        metrics::histogram!("messaging_call_seconds").record(start.elapsed());
        let outcome = match &answer {
            Some(Answer::Accepted { .. }) => "accepted",
            Some(Answer::Rejected(_)) => "rejected",
            Some(Answer::Unknown { .. }) => "unknown",
            Some(Answer::NeverSent(_)) | None => "never_sent",
        };
        metrics::counter!("messaging_calls_total", "outcome" => outcome).increment(1);
        if let Some(answer) = &answer {
            let admission = flight.admission;
            self.breaker
                .answered(&admission.number, admission.message, sign(answer), Instant::now());
        }
        match answer {
            Some(Answer::Accepted {
                wamid, wa_id, user_id, ..
            }) => {
                let (application, contact) = (flight.subject.application, flight.admission.lane.contact);
                // Nobody need know of it to go on.
                let _ = self.answers.try_send(Answered {
                    number: Arc::clone(&flight.admission.number),
                    message: flight.admission.message,
                });
                let ended = self.accepted(flight, wamid).await;
                self.learner
                    .answered(application, contact, wa_id.as_deref(), user_id.as_deref());
                ended
            }
            Some(Answer::Rejected(error)) => self.rejected(flight, &error).await,
            Some(Answer::Unknown { http_status }) => self.unknown(flight, http_status).await,
            Some(Answer::NeverSent(_)) | None => self.never_sent(flight).await,
        }
    }
}

// === impl Flight ===

impl Flight<'_> {
    /// The request's body, with Meta's own ids of the files.
    fn body(&self, callback: &str) -> Option<Vec<u8>> {
        let Letter { to, reply_to, .. } = self.letter;
        let content = self.content();
        let write = |content: &Content| {
            let message = wire::Message::new(to, content, reply_to.as_ref(), callback);
            message.ok().map(|message| message.to_json())
        };
        match &self.attached {
            Ok(ids) if ids.is_empty() => write(content),
            Ok(ids) => write(&content.with_media(ids).ok()?),
            Err(_) => None,
        }
    }

    /// What goes: the message's own content or, outside the window, the template in its place.
    fn content(&self) -> &Content {
        self.pass.content(self.letter)
    }
}

/// To be recorded of a message whose time has run out, perhaps: the database decides.
pub(super) fn expiry(number: &str, message: Uuid) -> Withdrawal {
    Withdrawal {
        number: number.to_owned(),
        message,
        state: Submission::Expired.code(),
    }
}

/// What an answer says of Meta's host.
fn sign(answer: &Answer) -> Sign {
    match answer {
        Answer::Rejected(error) if classify(error).is_of_the_host(error) => Sign::Failed,
        Answer::Accepted { .. } | Answer::Rejected(_) => Sign::Well,
        Answer::Unknown { .. } | Answer::NeverSent(_) => Sign::Failed,
    }
}

/// The message stays as it is and is looked at again later.
pub(super) fn later(cargo: &Cargo, wait: Duration) -> (Outcome<Cargo>, Mood) {
    (
        Outcome::Again {
            ready: Instant::now() + wait,
            cargo: cargo.clone(),
        },
        Mood::Neutral,
    )
}
