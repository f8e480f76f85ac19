//! One message's way: load, token, intent, the call, its record.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use outeract_batch::{Batcher, SubmitError};
use outeract_clock::SharedRandom;
use outeract_domain::{ApplicationId, Callback, EventId};
use outeract_graph::fault::{Class, Reaction, Scope, Verdict, classify};
use outeract_graph::{Client, GraphError, Outcome as Answer, wire};
use outeract_proto::messaging::v1::SendError;
use outeract_rpc::trace;
use uuid::Uuid;

use super::credentials::{Credential, Credentials};
use super::intent::{Begin, Begun, Intent, Load};
use super::record::{Finding, Note, Noted, Recorder};
use super::scheduler::{Admission, LaneId, NumberId, Outcome};
use crate::config::Timing;
use crate::events::Subject;
use crate::problem::{self, META_UNREACHABLE, OUTCOME_UNKNOWN};
use crate::projection::{Connection, Projection};
use crate::store::record::{Accepted, Missed, Retry};
use crate::vault::{Letter, Vault};

/// What travels with a message through the scheduler.
#[derive(Debug, Clone)]
pub(crate) struct Cargo {
    pub connection: Uuid,
    /// None: it is loaded when its turn comes.
    pub parcel: Option<Arc<Parcel>>,
}

/// A message in memory.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub application: ApplicationId,
    pub letter: Arc<Letter>,
    pub traceparent: Option<String>,
    pub _shelved: Option<Shelved>,
}

/// Room for content that is kept in memory until its message's turn.
#[derive(Debug)]
pub(crate) struct Shelf {
    left: Arc<AtomicUsize>,
}

/// Room that is taken. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Shelved {
    bytes: usize,
    left: Arc<AtomicUsize>,
}

/// Everything a call needs.
#[derive(Debug)]
pub(crate) struct Line {
    pub vault: Vault,
    pub random: SharedRandom,
    pub projection: Projection,
    pub credentials: Credentials,
    pub graph: Client,
    pub intents: Batcher<Begin>,
    pub loads: Batcher<Load>,
    pub recorder: Recorder,
    pub timing: Timing,
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
    /// Whoever is in scope had better wait as long; with `probe`, one message is tried before the others.
    Wait { scope: Scope, until: Instant, probe: bool },
}

/// A message on its way, once its intent is durable.
struct Flight<'a> {
    admission: &'a Admission<Cargo>,
    subject: Subject,
    connection: &'a Connection,
    credential: &'a Credential,
    letter: &'a Letter,
    begun: Begun,
}

/// While something of ours is away, a message is tried again this often.
const AWAY: Duration = Duration::from_secs(1);
/// A connection that cannot send is looked at again this often.
const NOT_ACTIVE: Duration = Duration::from_secs(30);
const UNREACHABLE_MOST: Duration = Duration::from_secs(30);

// === impl Shelf ===

impl Shelf {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            left: Arc::new(AtomicUsize::new(bytes)),
        }
    }

    /// Room for so many bytes, if there is some.
    pub(crate) fn place(&self, bytes: usize) -> Option<Shelved> {
        let take = |left: usize| left.checked_sub(bytes);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .ok()?;
        Some(Shelved {
            bytes,
            left: Arc::clone(&self.left),
        })
    }
}

impl Drop for Shelved {
    fn drop(&mut self) {
        self.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

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
            None => match self.load(admission.message).await {
                Ok(Some(parcel)) => parcel,
                Ok(None) => return (Outcome::Ended, Mood::Neutral),
                Err(()) => return later(cargo, AWAY),
            },
        };
        let Some(connection) = self.projection.known(cargo.connection) else {
            return later(cargo, AWAY);
        };
        if !connection.sends() {
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
                };
                return (later(cargo, AWAY).0, wait);
            }
        };
        let asked = Instant::now();
        let begun = match self.begin(admission).await {
            Ok(Some(begun)) => begun,
            Err(left_nothing) if left_nothing => return later(cargo, AWAY),
            // Not this process's to send; or perhaps durable: not sent, and the sweep will find it.
            Ok(None) | Err(_) => return (Outcome::Ended, Mood::Neutral),
        };
        let subject = Subject {
            application: parcel.application,
            connection: connection.id,
            message: EventId::from_uuid(admission.message),
        };
        let flight = Flight {
            admission,
            subject,
            connection: &connection,
            credential: &credential,
            letter: &parcel.letter,
            begun,
        };
        self.fly(flight, asked, parcel.traceparent.as_deref()).await
    }

    async fn load(&self, message: Uuid) -> Result<Option<Arc<Parcel>>, ()> {
        let row = match self.loads.submit(message).await {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(None),
            Err(_) => return Err(()),
        };
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

    /// Calls Meta, once, and records what came of it.
    async fn fly(&self, flight: Flight<'_>, asked: Instant, traceparent: Option<&str>) -> (Outcome<Cargo>, Mood) {
        let callback = Callback {
            message: flight.subject.message,
            attempt: flight.begun.attempt,
        }
        .to_string();
        let body = wire::Message::new(flight.letter.to.as_str(), &flight.letter.content, &callback).to_json();
        let start = Instant::now();
        let answer = if asked.elapsed() < self.timing.call_budget {
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
        match answer {
            Some(Answer::Accepted { wamid, .. }) => {
                metrics::counter!("messaging_calls_total", "outcome" => "accepted").increment(1);
                let row = Accepted {
                    number: flight.admission.number.to_string(),
                    message: flight.admission.message,
                    attempt: flight.begun.attempt,
                    wamid_hash: self.vault.wamid_hash(&flight.admission.number, wamid.as_str()),
                    wamid_sealed: self.vault.seal_wamid(
                        flight.subject.application.uuid(),
                        flight.admission.message,
                        &wamid,
                    ),
                };
                self.recorder
                    .record(Note {
                        subject: flight.subject,
                        finding: Finding::Accepted { row, wamid },
                    })
                    .await;
                (Outcome::Ended, Mood::Well)
            }
            Some(Answer::Rejected(error)) => {
                metrics::counter!("messaging_calls_total", "outcome" => "rejected").increment(1);
                self.rejected(flight, &error).await
            }
            Some(Answer::NeverSent(_)) | None => {
                metrics::counter!("messaging_calls_total", "outcome" => "never_sent").increment(1);
                self.never_sent(flight).await
            }
            Some(Answer::Unknown { http_status }) => {
                metrics::counter!("messaging_calls_total", "outcome" => "unknown").increment(1);
                self.unknown(flight, http_status).await
            }
        }
    }

    /// Meta said no: its table says what follows.
    async fn rejected(&self, flight: Flight<'_>, error: &GraphError) -> (Outcome<Cargo>, Mood) {
        let verdict = classify(error);
        if verdict.class == Class::Authorisation {
            return self.unauthorised(flight, error, &verdict).await;
        }
        let tries = u16::try_from(flight.begun.tries.max(1)).unwrap_or(u16::MAX);
        let Some(wait) = verdict.reaction.wait(tries) else {
            let told = problem::of_verdict(&verdict, error.code, false);
            let finding = Finding::Failed {
                row: missed(&flight, verdict.reason, Some(error)),
                error: told,
            };
            let noted = self
                .recorder
                .record(Note {
                    subject: flight.subject,
                    finding,
                })
                .await;
            let mood = if verdict.reaction == Reaction::Fail {
                Mood::Well
            } else {
                Mood::Neutral
            };
            return (self.after(&flight, noted, Duration::ZERO), mood);
        };
        let (scope, probe) = match verdict.reaction {
            Reaction::Fail => (Scope::Message, false),
            Reaction::Retry { scope, .. } => (scope, false),
            Reaction::Park { scope, .. } => (scope, true),
        };
        let told = problem::of_verdict(&verdict, error.code, true);
        let outcome = self
            .retry(&flight, missed(&flight, verdict.reason, Some(error)), told, wait, probe)
            .await;
        let mood = Mood::Wait {
            scope,
            until: Instant::now() + wait,
            probe,
        };
        (outcome, if scope == Scope::Message { Mood::Neutral } else { mood })
    }

    /// Meta refused the token. With a younger one the message goes again at once; else the number waits.
    async fn unauthorised(&self, flight: Flight<'_>, error: &GraphError, verdict: &Verdict) -> (Outcome<Cargo>, Mood) {
        let younger = self
            .credentials
            .younger(flight.connection.id, flight.credential.version)
            .await
            .is_some();
        let wait = if younger {
            Duration::ZERO
        } else {
            self.timing.unauthorised
        };
        let told = problem::of_verdict(verdict, error.code, true);
        let outcome = self
            .retry(&flight, missed(&flight, verdict.reason, Some(error)), told, wait, true)
            .await;
        let mood = if younger {
            Mood::Neutral
        } else {
            Mood::Wait {
                scope: Scope::Number,
                until: Instant::now() + wait,
                probe: true,
            }
        };
        (outcome, mood)
    }

    /// The call never left: the try is given back, and the next comes later each time.
    async fn never_sent(&self, flight: Flight<'_>) -> (Outcome<Cargo>, Mood) {
        let given_back = u32::try_from((flight.begun.attempt - flight.begun.tries).clamp(0, 10)).unwrap_or(0);
        let wait = (AWAY * 2_u32.pow(given_back)).min(UNREACHABLE_MOST);
        let told = problem::of_reason(META_UNREACHABLE, None, true);
        let outcome = self
            .retry(&flight, missed(&flight, META_UNREACHABLE, None), told, wait, true)
            .await;
        (
            outcome,
            Mood::Wait {
                scope: Scope::Number,
                until: Instant::now() + AWAY,
                probe: true,
            },
        )
    }

    async fn unknown(&self, flight: Flight<'_>, http_status: u16) -> (Outcome<Cargo>, Mood) {
        let mut row = missed(&flight, OUTCOME_UNKNOWN, None);
        row.http_status = i16::try_from(http_status).ok().filter(|status| *status > 0);
        let error = problem::of_reason(OUTCOME_UNKNOWN, None, false);
        let noted = self
            .recorder
            .record(Note {
                subject: flight.subject,
                finding: Finding::Unknown { row, error },
            })
            .await;
        (self.after(&flight, noted, Duration::ZERO), Mood::Neutral)
    }

    async fn retry(
        &self,
        flight: &Flight<'_>,
        row: Missed,
        error: SendError,
        wait: Duration,
        refund: bool,
    ) -> Outcome<Cargo> {
        let row = Retry {
            missed: row,
            delay_seconds: wait.as_secs_f64(),
            refund,
        };
        let noted = self
            .recorder
            .record(Note {
                subject: flight.subject,
                finding: Finding::Retry { row, error },
            })
            .await;
        self.after(flight, noted, wait)
    }

    fn after(&self, flight: &Flight<'_>, noted: Noted, wait: Duration) -> Outcome<Cargo> {
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

/// The message stays as it is and is looked at again later.
fn later(cargo: &Cargo, wait: Duration) -> (Outcome<Cargo>, Mood) {
    (
        Outcome::Again {
            ready: Instant::now() + wait,
            cargo: cargo.clone(),
        },
        Mood::Neutral,
    )
}

fn missed(flight: &Flight<'_>, reason: &'static str, error: Option<&GraphError>) -> Missed {
    // A trace id of Meta's is for Meta's support: short and plain, or of no use.
    let plain = |id: &&GraphError| {
        !id.fbtrace_id.is_empty()
            && id.fbtrace_id.len() <= 64
            && id.fbtrace_id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    Missed {
        number: flight.admission.number.to_string(),
        message: flight.admission.message,
        attempt: flight.begun.attempt,
        reason,
        meta_code: error.map(|error| error.code),
        http_status: error.and_then(|error| i16::try_from(error.http_status).ok()),
        fbtrace: error.filter(plain).map(|error| error.fbtrace_id.clone()),
    }
}
