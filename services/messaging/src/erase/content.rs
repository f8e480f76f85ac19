//! What was said: messages, media and what hangs on them, and events. The tracking service, which can look for a contact's events, knows which messages there are.

use outeract_domain::ApplicationId;
use outeract_postgres::run_tx;
use outeract_proto::messaging::internal::v1::StatusItem;
use outeract_proto::tracking::internal::v1::{EraseUserRequest, ListUserMessagesRequest};
use uuid::Uuid;

use super::{Eraser, Ids, PATIENCE, Trouble, counted};
use crate::store::apply;
use crate::store::erase::{self as data, Blanked};
use crate::store::erasure::{self as store, Job, Next, service, step};
use crate::store::run;

/// Files of one slice.
const FILES: i64 = 100;
/// Kept statuses of one look.
const STATUSES: i64 = 500;

// === impl Eraser ===

impl Eraser {
    /// Blanks a page of messages.
    pub(super) async fn messages(&self, job: &Job) -> Result<(), Trouble> {
        let Some(contact) = at(job) else {
            return self.go_on(job, job.to(step::REST)).await;
        };
        let mut request = tonic::Request::new(ListUserMessagesRequest {
            application_id: job.application.as_bytes().to_vec(),
            contact_id: contact.as_bytes().to_vec(),
            after: job.after,
        });
        request.set_timeout(PATIENCE);
        let answer = self.tracking.clone().list_user_messages(request).await;
        let page = answer.map_err(|status| tracking(&status))?.into_inner();
        let messages = page.message_ids.iter().filter_map(|id| Uuid::from_slice(id).ok());
        let messages: Vec<Uuid> = messages.collect();
        let next = further(job, page.next, page.next == 0);
        let owned = job.clone();
        let blanked = run_tx(&self.db, "erasure.messages", async move |conn| {
            if !store::hold(&mut *conn, &owned).await? {
                return Ok(None);
            }
            let blanked = data::blank(&mut *conn, owned.application, &messages).await?;
            store::add(&mut *conn, &owned, service::MESSAGING, &counts(blanked), true).await?;
            store::go_on(&mut *conn, &owned, next).await?;
            Ok::<_, sqlx::Error>(Some(blanked))
        })
        .await?;
        for (what, rows) in blanked.map(counts).into_iter().flatten() {
            counted(what, rows);
        }
        Ok(())
    }

    /// Deletes windows, receipts and media, and statuses that are kept for a message that was never known.
    pub(super) async fn rest(&self, job: &Job) -> Result<(), Trouble> {
        let owned = job.clone();
        let gone = run_tx(&self.db, "erasure.rest", async move |conn| {
            if !store::hold(&mut *conn, &owned).await? {
                return Ok(None);
            }
            let (windows, receipts) = data::windows(&mut *conn, owned.application, &owned.contacts).await?;
            let files = data::files(&mut *conn, owned.application, &owned.contacts, FILES).await?;
            let counts = [
                ("service_window", windows),
                ("receipt", receipts),
                ("file", files.len() as i64),
            ];
            store::add(&mut *conn, &owned, service::MESSAGING, &counts, true).await?;
            Ok::<_, sqlx::Error>(Some((counts, files)))
        })
        .await?;
        let Some((counts, files)) = gone else { return Ok(()) };
        for (what, rows) in counts {
            counted(what, rows);
        }
        let more = files.len() as i64 == FILES;
        self.files.clear_away(ApplicationId::from_uuid(job.application), files);
        if more {
            return self.go_on(job, job.here()).await;
        }
        self.statuses(job).await?;
        self.go_on(job, job.to(step::EVENTS)).await
    }

    /// Statuses that are kept name their recipients, inside.
    async fn statuses(&self, job: &Job) -> Result<(), Trouble> {
        let ids = self.ids(job)?;
        let mut after = (Vec::new(), Uuid::nil());
        loop {
            let (kept, last) = run!(self.db, "erase.kept", |conn| data::kept(
                conn,
                job.application,
                (&after.0, after.1),
                STATUSES
            ))?;
            let mut keys = Vec::new();
            for one in kept {
                // Opening is plain work: in between, others have their turn.
                tokio::task::consume_budget().await;
                let status = self.vault.open_status(job.application, &one.hash, &one.sealed);
                if status.is_ok_and(|status| is_about(&status, &ids)) {
                    keys.push((one.hash, one.id));
                }
            }
            if !keys.is_empty() {
                let owned = job.clone();
                run_tx(&self.db, "erasure.statuses", async move |conn| {
                    if store::hold(&mut *conn, &owned).await? {
                        apply::forget_orphans(&mut *conn, &keys).await?;
                        let counts = [("orphan_status", keys.len() as i64)];
                        store::add(&mut *conn, &owned, service::MESSAGING, &counts, true).await?;
                    }
                    Ok::<_, sqlx::Error>(())
                })
                .await?;
            }
            let Some(last) = last else { return Ok(()) };
            after = last;
        }
    }

    /// Blanks a page of events; after the last, the pass is over.
    pub(super) async fn events(&self, job: &Job) -> Result<(), Trouble> {
        let Some(contact) = at(job) else {
            return self.over(job).await;
        };
        let mut request = tonic::Request::new(EraseUserRequest {
            application_id: job.application.as_bytes().to_vec(),
            erasure_id: job.id.as_bytes().to_vec(),
            contact_id: contact.as_bytes().to_vec(),
            after: job.after,
        });
        request.set_timeout(PATIENCE);
        let answer = self.tracking.clone().erase_user(request).await;
        let page = answer.map_err(|status| tracking(&status))?.into_inner();
        let next = further(job, page.next, page.done);
        let owned = job.clone();
        run_tx(&self.db, "erasure.events", async move |conn| {
            if store::hold(&mut *conn, &owned).await? {
                let counts = [("event", page.events), ("delivery", page.deliveries)];
                store::note(&mut *conn, &owned, service::TRACKING, &counts).await?;
                store::go_on(&mut *conn, &owned, next).await?;
            }
            Ok::<_, sqlx::Error>(())
        })
        .await?;
        Ok(())
    }
}

/// Which of the contacts it is about now; none: all are done.
fn at(job: &Job) -> Option<Uuid> {
    job.contacts.get(usize::try_from(job.place).ok()?).copied()
}

/// The next page, or the next contact.
fn further(job: &Job, next: i64, done: bool) -> Next {
    if done {
        Next {
            place: job.place + 1,
            after: 0,
            ..job.here()
        }
    } else {
        Next {
            after: next,
            ..job.here()
        }
    }
}

fn is_about(status: &StatusItem, ids: &Ids) -> bool {
    let digits = ids.digits();
    let users = ids.users();
    digits.contains(&status.recipient_wa_id)
        || [&status.recipient_user_id, &status.recipient_parent_user_id]
            .into_iter()
            .any(|id| users.contains(id))
}

fn tracking(status: &tonic::Status) -> Trouble {
    Trouble::Sibling("tracking", status.code())
}

fn counts(blanked: Blanked) -> [(&'static str, i64); 4] {
    [
        ("message", blanked.messages),
        ("ending", blanked.endings),
        ("wamid", blanked.wamids),
        ("idempotency", blanked.keys),
    ]
}
