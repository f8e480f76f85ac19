//! The contact: messages that wait for it are canceled, it is removed with its ids, and what was on its way comes to its end.

use outeract_domain::{ApplicationId, ConnectionId, EventId, Submission};
use outeract_postgres::run_tx;

use super::{Eraser, Ids, Trouble, counted};
use crate::dispatch::{Finding, Note};
use crate::events::Subject;
use crate::problem::{self, OUTCOME_UNKNOWN};
use crate::store::erase::{self as data, Removed, Waiting};
use crate::store::erasure::{self as store, Job, Next, service, step};
use crate::store::resolve::Decision;
use crate::store::run;
use crate::store::withdraw::Withdrawal;

/// Messages of one slice.
const MESSAGES: i64 = 100;

// === impl Eraser ===

impl Eraser {
    /// Cancels what waits, before the contact is gone: what the user did not want must not go out for want of knowing it.
    pub(super) async fn cancel(&self, job: &Job) -> Result<(), Trouble> {
        let waiting = self.waiting(job, true).await?;
        if self.withdraw(job, &waiting).await? {
            return self.go_on(job, job.here()).await;
        }
        self.go_on(job, job.to(step::FORGET)).await
    }

    /// Removes the contact with everything that was merged into it and, at first, whoever has one of its ids. Later that would be somebody new.
    pub(super) async fn forget(&self, job: &Job) -> Result<(), Trouble> {
        let known = self.ids(job)?;
        let (owned, vault) = (job.clone(), self.vault.clone());
        let removed = run_tx(&self.db, "erasure.forget", async move |conn| {
            if !store::hold(&mut *conn, &owned).await? {
                return Ok(None);
            }
            data::lock_merges(&mut *conn, owned.application).await?;
            let contacts = if owned.is_first() {
                let named: Vec<_> = known.iter().cloned().collect();
                data::one_user(&mut *conn, owned.application, &owned.contacts, &named).await?
            } else {
                owned.contacts.clone()
            };
            let found = data::identities(&mut *conn, owned.application, &contacts).await?;
            let all = known.and(&Ids::new(found));
            let hashes = all.hashes(owned.application, &vault);
            let removed = data::remove(&mut *conn, owned.application, owned.id, &contacts, &hashes).await?;
            let sealed = vault.seal_erasure(owned.application, owned.id, &all);
            store::forgotten(&mut *conn, &owned, &contacts, &sealed, &hashes, all != known).await?;
            let counts = counts(removed);
            store::add(&mut *conn, &owned, service::MESSAGING, &counts, true).await?;
            store::go_on(&mut *conn, &owned, owned.to(step::DRAIN)).await?;
            Ok::<_, sqlx::Error>(Some((contacts, removed)))
        })
        .await?;
        if let Some((contacts, removed)) = removed {
            for contact in contacts {
                self.contacts.erased(contact);
            }
            for (what, rows) in counts(removed) {
                counted(what, rows);
            }
        }
        Ok(())
    }

    /// Waits until no message to the contact is on its way and its events are recorded. What nobody knows the outcome of is given up: evidence of an acceptance still counts.
    pub(super) async fn drain(&self, job: &Job) -> Result<(), Trouble> {
        let waiting = self.waiting(job, false).await?;
        if self.withdraw(job, &waiting).await? {
            return self.go_on(job, job.here()).await;
        }
        let wait = self.timing.refresh.as_secs_f64();
        let untold = async || run!(self.db, "erase.untold", |conn| data::untold(conn, &job.contacts));
        if !waiting.is_empty() || untold().await? {
            return self.go_on(job, Next { wait, ..job.here() }).await;
        }
        self.go_on(job, job.to(step::MESSAGES)).await
    }

    async fn waiting(&self, job: &Job, queued: bool) -> Result<Vec<Waiting>, Trouble> {
        Ok(run!(self.db, "erase.waiting", |conn| data::waiting(
            conn,
            &job.contacts,
            queued,
            MESSAGES
        ))?)
    }

    /// Ends what can be ended. True: there may be more.
    async fn withdraw(&self, job: &Job, waiting: &[Waiting]) -> Result<bool, Trouble> {
        let notes: Vec<_> = waiting
            .iter()
            .filter_map(|message| Some((message, note(job, message)?)))
            .collect();
        // All are submitted before the first is waited for, so that they share a flush.
        let recorded =
            futures_util::future::join_all(notes.iter().map(|(_, note)| self.recorder.try_record(note.clone()))).await;
        for ((message, _), noted) in notes.iter().zip(recorded) {
            if noted.is_none() {
                return Err(Trouble::Sibling("the recorder", tonic::Code::Unavailable));
            }
            self.hints.changed(&message.number, message.message);
        }
        Ok(!notes.is_empty())
    }
}

fn note(job: &Job, message: &Waiting) -> Option<Note> {
    let finding = match Submission::try_from(message.state).ok()? {
        Submission::Queued => Finding::Withdrawn {
            row: Withdrawal {
                number: message.number.clone(),
                message: message.message,
                state: Submission::Canceled.code(),
            },
        },
        Submission::Unknown if job.step == step::DRAIN => Finding::Resolved {
            row: Decision {
                number: message.number.clone(),
                message: message.message,
                attempt: message.attempt,
            },
            resend: false,
            error: problem::of_reason(OUTCOME_UNKNOWN, None, false),
        },
        _ => return None,
    };
    let subject = Subject {
        application: ApplicationId::from_uuid(job.application),
        connection: ConnectionId::from_uuid(message.connection),
        message: EventId::from_uuid(message.message),
    };
    Some(Note { subject, finding })
}

fn counts(removed: Removed) -> [(&'static str, i64); 4] {
    [
        ("contact", removed.contacts),
        ("identity", removed.identities),
        ("suppression", removed.suppressions),
        ("suppression_lifted", removed.lifted),
    ]
}
