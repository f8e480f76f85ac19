//! Statuses: whose they are, and what they prove.
//!
//! A status that carries our own callback data proves that Meta accepted that attempt of that message, if the attempt was begun and the message is of the number that the webhook names.
//! Anything else in that field is ignored: every app on the WABA can write there. One SELECT by wamid serves a batch that
//! proves nothing new.

use std::collections::HashMap;

use outeract_domain::{Callback, EventId, Wamid, event_id};
use outeract_events::timestamp;
use outeract_proto::messaging::internal::v1::{ItemOutcome, ItemResult, StatusItem};
use outeract_rpc::Fault;
use uuid::Uuid;

use super::{Applier, Routed, reason, refused};
use crate::contacts::{Sighting, is_id, is_wa_id};
use crate::dispatch::{Finding, Note, Refused};
use crate::events::Subject;
use crate::store::apply::{self as store, Orphan};
use crate::store::message::{self, Mapped, Suspect};
use crate::store::record::Accepted;
use crate::store::run;
use crate::vault::Hash;

/// A status in question.
struct Question<'a> {
    routed: &'a Routed<StatusItem>,
    wamid: Wamid,
    hash: Hash,
    callback: Option<Callback>,
}

// === impl Applier ===

impl Applier {
    pub(super) async fn apply_statuses(
        &self,
        statuses: &[Routed<StatusItem>],
        results: &mut [ItemResult],
    ) -> Result<(), Fault> {
        let mut questions = Vec::with_capacity(statuses.len());
        for routed in statuses {
            let Some(wamid) = Wamid::new(routed.item.wamid.clone()) else {
                results[routed.index] = refused(reason::MALFORMED);
                continue;
            };
            let hash = self.vault.wamid_hash(routed.connection.number.as_str(), wamid.as_str());
            let callback = routed.item.callback_data.parse().ok();
            questions.push(Question {
                routed,
                wamid,
                hash,
                callback,
            });
        }
        let questions = self.by_wamid(questions, results).await?;
        let questions = self.by_callback(questions, results).await?;
        self.keep(questions, results).await?;
        self.learn(statuses, results);
        self.conclude(statuses, results).await
    }

    /// What statuses show of recipients, beside the path of evidence.
    fn learn(&self, statuses: &[Routed<StatusItem>], results: &[ItemResult]) {
        for routed in statuses {
            if results[routed.index].outcome() != ItemOutcome::Erased {
                self.learner.learn(recipient(routed));
            }
        }
    }

    /// Draws the conclusions of messages that Meta did not deliver.
    async fn conclude(&self, statuses: &[Routed<StatusItem>], results: &[ItemResult]) -> Result<(), Fault> {
        let refused: Vec<_> = statuses
            .iter()
            .filter_map(|routed| {
                // Only what belongs to a message names one.
                let message = Uuid::from_slice(&results[routed.index].message_id).ok()?;
                Refused::by_status(message, &routed.item)
            })
            .collect();
        if refused.is_empty() || self.aftermath.conclude(refused).await {
            Ok(())
        } else {
            Err(Fault::unavailable("what follows from a refusal could not be noted"))
        }
    }

    /// Answers what carries callback data of ours, which proves an acceptance that is not known yet; gives back the rest.
    async fn by_callback<'a>(
        &self,
        questions: Vec<Question<'a>>,
        results: &mut [ItemResult],
    ) -> Result<Vec<Question<'a>>, Fault> {
        let asked: Vec<_> = questions
            .iter()
            .enumerate()
            .filter_map(|(ordinal, question)| Some((ordinal as i64, question.callback?.message.uuid())))
            .collect();
        if asked.is_empty() {
            return Ok(questions);
        }
        let found = run!(self.db, "message.by_id", |conn| message::by_id(conn, &asked))?;
        let mut suspects: HashMap<i64, Suspect> = found.into_iter().map(|suspect| (suspect.ordinal, suspect)).collect();
        let mut rest = Vec::new();
        let mut proofs = Vec::new();
        for (ordinal, question) in questions.into_iter().enumerate() {
            let proven = suspects
                .remove(&(ordinal as i64))
                .zip(question.callback)
                .filter(|(suspect, callback)| question.is_about(suspect, *callback));
            let Some((suspect, callback)) = proven else {
                rest.push(question);
                continue;
            };
            if suspect.erased {
                results[question.routed.index] = erased();
                continue;
            }
            results[question.routed.index] = applied(suspect.id);
            // No answer has named the recipient.
            self.learner.learn(Sighting {
                contact: Some(suspect.contact),
                ..recipient(question.routed)
            });
            proofs.push(self.proof(&question, &suspect, callback));
        }
        // All are submitted before the first is waited for, so that they share a flush.
        let recorded =
            futures_util::future::join_all(proofs.into_iter().map(|note| self.recorder.try_record(note))).await;
        if recorded.iter().any(Option::is_none) {
            return Err(Fault::unavailable("evidence of acceptance could not be recorded"));
        }
        Ok(rest)
    }

    /// Answers what carries a wamid that is known; gives back the rest.
    async fn by_wamid<'a>(
        &self,
        questions: Vec<Question<'a>>,
        results: &mut [ItemResult],
    ) -> Result<Vec<Question<'a>>, Fault> {
        if questions.is_empty() {
            return Ok(questions);
        }
        let asked: Vec<_> = questions
            .iter()
            .enumerate()
            .map(|(ordinal, question)| (ordinal as i64, question.hash.as_slice()))
            .collect();
        let found = run!(self.db, "message.by_wamid", |conn| message::by_wamid(conn, &asked))?;
        let found: HashMap<i64, Mapped> = found.into_iter().map(|mapped| (mapped.ordinal, mapped)).collect();
        let mut rest = Vec::new();
        for (ordinal, question) in questions.into_iter().enumerate() {
            match found.get(&(ordinal as i64)) {
                // The number belonged to another application when the message was sent: its events are not this one's.
                Some(mapped) if mapped.application != question.routed.application.uuid() => {
                    results[question.routed.index] = refused(reason::FOREIGN_MESSAGE);
                }
                Some(mapped) if mapped.erased => results[question.routed.index] = erased(),
                Some(mapped) => results[question.routed.index] = applied(mapped.message),
                None => rest.push(question),
            }
        }
        Ok(rest)
    }

    /// Keeps statuses of messages that are not known, then looks again: whoever records an acceptance does it the other way round, so that neither misses the other.
    async fn keep(&self, questions: Vec<Question<'_>>, results: &mut [ItemResult]) -> Result<(), Fault> {
        if questions.is_empty() {
            return Ok(());
        }
        let mut orphans: Vec<Orphan> = questions.iter().map(|question| self.orphan(question)).collect();
        orphans.sort_unstable_by(|one, other| (&one.hash, one.id).cmp(&(&other.hash, other.id)));
        orphans.dedup_by(|one, other| one.hash == other.hash && one.id == other.id);
        run!(self.db, "orphan.keep", |conn| store::keep_orphans(conn, &orphans))?;
        let mut known = Vec::new();
        for question in &questions {
            results[question.routed.index] = ItemResult {
                outcome: ItemOutcome::Orphaned.into(),
                ..ItemResult::default()
            };
            known.push((question.hash.to_vec(), orphan_id(question)));
        }
        let mut left = self.by_wamid(questions, results).await?;
        // What is answered now need not be kept; what is still unknown must be.
        known.retain(|(hash, id)| {
            !left
                .iter()
                .any(|question| question.hash.as_slice() == hash && orphan_id(question) == *id)
        });
        left.clear();
        if !known.is_empty() {
            known.sort_unstable();
            run!(self.db, "orphan.forget", |conn| store::forget_orphans(conn, &known))?;
        }
        Ok(())
    }

    fn orphan(&self, question: &Question<'_>) -> Orphan {
        let routed = question.routed;
        let received = routed
            .item
            .receive_time
            .as_ref()
            .and_then(timestamp::from_proto)
            .unwrap_or_else(|| self.clock.now());
        Orphan {
            hash: question.hash.to_vec(),
            id: orphan_id(question),
            application: routed.application.uuid(),
            connection: routed.connection.id.uuid(),
            received_at: received,
            sealed: self.vault.seal_status(routed.application, &question.hash, &routed.item),
        }
    }

    fn proof(&self, question: &Question<'_>, suspect: &Suspect, callback: Callback) -> Note {
        metrics::counter!("messaging_echoes_total").increment(1);
        let subject = Subject {
            application: question.routed.application,
            connection: outeract_domain::ConnectionId::from_uuid(suspect.connection),
            message: EventId::from_uuid(suspect.id),
        };
        let row = Accepted {
            number: suspect.number.clone(),
            application: suspect.application,
            message: suspect.id,
            attempt: callback.attempt,
            wamid_hash: question.hash,
            wamid_sealed: self.vault.seal_wamid(suspect.application, suspect.id, &question.wamid),
        };
        Note {
            subject,
            finding: Finding::Accepted {
                row,
                wamid: question.wamid.clone(),
            },
        }
    }
}

// === impl Question ===

impl Question<'_> {
    /// The callback data is what we gave Meta: for a message of this number, of this application, and an attempt that was begun.
    fn is_about(&self, suspect: &Suspect, callback: Callback) -> bool {
        suspect.id == callback.message.uuid()
            && suspect.application == self.routed.application.uuid()
            && suspect.number == self.routed.connection.number.as_str()
            && (1..=suspect.attempt).contains(&callback.attempt)
    }
}

/// The recipient, as a status shows them.
fn recipient(routed: &Routed<StatusItem>) -> Sighting<'_> {
    let item = &routed.item;
    Sighting {
        application: routed.application.uuid(),
        wa_id: Some(item.recipient_wa_id.as_str()).filter(|id| is_wa_id(id)),
        user: Some(item.recipient_user_id.as_str()).filter(|id| is_id(id)),
        parent: Some(item.recipient_parent_user_id.as_str()).filter(|id| is_id(id)),
        ..Sighting::default()
    }
}

fn applied(message: Uuid) -> ItemResult {
    ItemResult {
        outcome: ItemOutcome::Applied.into(),
        message_id: message.as_bytes().to_vec(),
        contact_id: Vec::new(),
        reason: String::new(),
        file_id: Vec::new(),
    }
}

/// Nothing is kept of it.
fn erased() -> ItemResult {
    metrics::counter!("messaging_erased_statuses_total").increment(1);
    ItemResult {
        outcome: ItemOutcome::Erased.into(),
        ..ItemResult::default()
    }
}

/// The same for the same status, however often Meta reports it. The parent's id, which the event's own id rests on, is not known yet.
fn orphan_id(question: &Question<'_>) -> Uuid {
    let item = &question.routed.item;
    event_id::status(
        EventId::from_uuid(Uuid::nil()),
        &question.wamid,
        &item.status,
        item.error_code,
    )
    .uuid()
}
