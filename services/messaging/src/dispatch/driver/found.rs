//! What the driver finds in the queue: messages that were hinted at, and whatever the scan comes across.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use outeract_domain::{ConnectionId, EventId, Submission};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Chore, Driver};
use crate::dispatch::call::{Line, expiry};
use crate::dispatch::cargo::Cargo;
use crate::dispatch::hints::Hinted;
use crate::dispatch::pass::{Job, Page};
use crate::dispatch::record::{Finding, Note};
use crate::dispatch::scheduler::{CLASSES, LaneId, NumberId, Offer, Offered};
use crate::events::Subject;
use crate::problem::{self, OUTCOME_UNKNOWN};
use crate::status::{self, queued};
use crate::store::queue::{self, Row};
use crate::store::record::Missed;
use crate::store::settle::{self, Unsettled};
use crate::store::{DbError, message, run};
use crate::waiters::Waiters;

impl Driver {
    pub(super) fn look_up(&mut self, hinted: Vec<Hinted>) {
        let (mine, others): (Vec<_>, Vec<_>) = hinted
            .into_iter()
            .partition(|hint| self.scheduler.epoch(&hint.number).is_some());
        for hint in others {
            self.parts.waiters.tell(hint.message, queued());
        }
        if mine.is_empty() {
            return;
        }
        let db = self.parts.db.clone();
        self.chores.spawn(async move {
            let keys: Vec<_> = mine.iter().map(|hint| (hint.number.as_str(), hint.message)).collect();
            let rows = run!(db, "queue.rows", |conn| queue::rows(conn, &keys));
            Chore::Rows(mine, rows)
        });
    }

    pub(super) fn hinted(&mut self, hinted: &[Hinted], rows: Result<Vec<Row>, DbError>, now: Instant) {
        let rows = rows
            .inspect_err(|cause| {
                if self.away.again() {
                    tracing::warn!(%cause, "Hints could not be looked up");
                }
            })
            .unwrap_or_default();
        let mut rows: HashMap<Uuid, Row> = rows.into_iter().map(|row| (row.message, row)).collect();
        let mut gone = Vec::new();
        for hint in hinted {
            match rows.remove(&hint.message) {
                // It is on its way: whoever waits is told when it has come to its end.
                _ if self.scheduler.flies(&hint.number, hint.message) => {}
                Some(row) if row.state == Submission::Queued.code() && !row.held => {
                    let offer = offer(&row, hint.awaited, now);
                    self.take_in(&hint.number, offer, now);
                }
                Some(_) => {
                    self.scheduler.withdraw(&hint.number, hint.message, now);
                    self.parts.waiters.tell(hint.message, queued());
                }
                None => {
                    self.scheduler.withdraw(&hint.number, hint.message, now);
                    if hint.awaited || self.parts.waiters.awaited(hint.message) {
                        gone.push(hint.message);
                    }
                }
            }
        }
        if !gone.is_empty() {
            let (db, line, waiters) = (
                self.parts.db.clone(),
                Arc::clone(&self.parts.line),
                self.parts.waiters.clone(),
            );
            self.chores.spawn(async move {
                tell_ends(&db, &line, &waiters, gone).await;
                Chore::Settled
            });
        }
    }

    /// A message was stored a moment ago.
    pub(super) fn take_in(&mut self, number: &str, offer: Offer<Cargo>, now: Instant) {
        let (message, class) = (offer.message, offer.lane.class());
        match self.scheduler.fresh(number, offer, now) {
            Offered::Foreign => self.parts.waiters.tell(message, queued()),
            Offered::Full => self.passes.left(number, class, message),
            Offered::Taken | Offered::Known | Offered::Later => {}
        }
    }

    /// A part of a number's queue was read.
    pub(super) fn looked(&mut self, mut page: Page, now: Instant) {
        let interval = self.parts.line.timing.scan;
        let number = Arc::clone(&page.read.number);
        let mut refused = [None; CLASSES];
        if self.scheduler.epoch(&number) == Some(page.read.epoch) {
            match &mut page.rows {
                Ok(rows) => {
                    refused = self.found(&number, page.read.epoch, std::mem::take(rows), now);
                    if page.read.job == Job::Sweep {
                        for (class, message) in refused.iter().enumerate() {
                            if let Some(message) = message {
                                self.passes.left(&number, class, *message);
                            }
                        }
                    }
                }
                Err(cause) if self.away.again() => tracing::warn!(%cause, "A queue could not be read"),
                Err(_) => {}
            }
        }
        for (class, all) in self.passes.read(&page, &refused, interval, now) {
            self.scheduler.read(&number, class, all);
        }
        self.refill(&number, now);
    }

    /// Goes on reading a number's queue where there is room again.
    pub(super) fn refill(&mut self, number: &NumberId, now: Instant) {
        for (class, hungry) in self.scheduler.hungry(number).into_iter().enumerate() {
            if hungry {
                self.passes.resume(number, class, now);
            }
        }
    }

    /// Rows of an owned number's queue, in the order of ids. Gives the first message of each class for which there was no room: what is behind it stays in the table as well.
    fn found(&mut self, number: &NumberId, epoch: i64, rows: Vec<Row>, now: Instant) -> [Option<Uuid>; CLASSES] {
        let timing = self.parts.line.timing;
        let mut gone = Vec::new();
        let mut expired = Vec::new();
        let mut unsettled = Vec::new();
        let mut refused = [None; CLASSES];
        for row in rows {
            if self.scheduler.flies(number, row.message) {
                continue;
            }
            let lane = LaneId {
                priority: row.priority,
                contact: row.contact,
            };
            let age = Duration::try_from_secs_f64(row.intent_age.unwrap_or(0.0)).unwrap_or_default();
            match Submission::try_from(row.state) {
                Ok(Submission::Queued) if row.expired => {
                    self.scheduler.withdraw(number, row.message, now);
                    expired.push(row);
                }
                Ok(Submission::Queued) if !row.held && refused[lane.class()].is_none() => {
                    let offer = offer(&row, self.parts.waiters.awaited(row.message), now);
                    if self.scheduler.offer(number, offer, now) == Offered::Full {
                        refused[lane.class()] = Some(row.message);
                    }
                }
                // Of this epoch, and not in memory: its process, this one, did not get to the end of it. Of an older one: its process has had the time that a call may take.
                Ok(Submission::Sending) if row.epoch >= epoch || age >= timing.call_budget => gone.push(row),
                Ok(Submission::Sending) => self.scheduler.block(number, lane, now + timing.patience, now),
                Ok(Submission::Unknown) => {
                    if let Some(left) = timing.patience.checked_sub(age) {
                        self.scheduler.block(number, lane, now + left, now);
                    }
                    if !row.held && age >= self.parts.unknown_after {
                        unsettled.push(Unsettled {
                            number: number.to_string(),
                            message: row.message,
                            attempt: row.attempt,
                        });
                    }
                }
                _ => {}
            }
        }
        self.sweep(number, gone);
        self.expire(number, expired);
        self.settle(unsettled);
        refused
    }

    /// Calls whose process is gone: their outcome is unknown.
    fn sweep(&mut self, number: &NumberId, gone: Vec<Row>) {
        for row in gone {
            let Some(connection) = self.parts.line.projection.known(row.connection) else {
                continue;
            };
            metrics::counter!("messaging_swept_total").increment(1);
            let subject = Subject {
                application: connection.application,
                connection: ConnectionId::from_uuid(row.connection),
                message: EventId::from_uuid(row.message),
            };
            let missed = Missed {
                number: number.to_string(),
                message: row.message,
                attempt: row.attempt,
                reason: OUTCOME_UNKNOWN,
                meta_code: None,
                http_status: None,
                fbtrace: None,
            };
            let error = problem::of_reason(OUTCOME_UNKNOWN, None, false);
            let recorder = self.parts.line.recorder.clone();
            self.chores.spawn(async move {
                // Whoever misses it is swept again.
                recorder
                    .try_record(Note {
                        subject,
                        finding: Finding::Unknown { row: missed, error },
                    })
                    .await;
                Chore::Settled
            });
        }
    }

    /// Messages whose time has run out. Whoever is missed is found again by the next scan.
    fn expire(&mut self, number: &NumberId, expired: Vec<Row>) {
        let notes: Vec<_> = expired
            .into_iter()
            .filter_map(|row| {
                let connection = self.parts.line.projection.known(row.connection)?;
                let subject = Subject {
                    application: connection.application,
                    connection: connection.id,
                    message: EventId::from_uuid(row.message),
                };
                let row = expiry(number, row.message);
                Some(Note {
                    subject,
                    finding: Finding::Withdrawn { row },
                })
            })
            .collect();
        if notes.is_empty() {
            return;
        }
        let recorder = self.parts.line.recorder.clone();
        self.chores.spawn(async move {
            // All are submitted before the first is waited for, so that they share statements.
            join_all(notes.into_iter().map(|note| recorder.try_record(note))).await;
            Chore::Settled
        });
    }

    /// Outcomes that stayed unknown for long enough, perhaps: the database decides.
    fn settle(&mut self, unsettled: Vec<Unsettled>) {
        if unsettled.is_empty() {
            return;
        }
        let db = self.parts.db.clone();
        let away = Arc::clone(&self.away);
        let patience = time::Duration::try_from(self.parts.unknown_after).unwrap_or(time::Duration::MAX);
        self.chores.spawn(async move {
            let settled = async {
                let moved = run!(db, "settle.hold_or_resend", |conn| settle::hold_or_resend(
                    conn, &unsettled, patience
                ))?;
                let failed = run!(db, "settle.fail", |conn| settle::fail(conn, &unsettled, patience))?;
                Ok::<_, DbError>((moved, failed))
            };
            match settled.await {
                Ok((moved, failed)) => {
                    let resent = moved.iter().filter(|settled| settled.resend).count();
                    metrics::counter!("messaging_settled_total", "policy" => "resend").increment(resent as u64);
                    metrics::counter!("messaging_settled_total", "policy" => "hold")
                        .increment((moved.len() - resent) as u64);
                    metrics::counter!("messaging_settled_total", "policy" => "fail").increment(failed.len() as u64);
                }
                Err(cause) if away.again() => tracing::warn!(%cause, "Unknown outcomes could not be settled"),
                Err(_) => {}
            }
            Chore::Settled
        });
    }
}

/// Messages that ended before their hint came: the scan was quicker.
async fn tell_ends(db: &PgPool, line: &Line, waiters: &Waiters, messages: Vec<Uuid>) {
    let ended = run!(db, "message.ended", |conn| message::ended(conn, &messages)).unwrap_or_default();
    for row in ended {
        let wamid = row
            .wamid_sealed
            .as_ref()
            .and_then(|sealed| line.vault.open_wamid(row.application, row.id, sealed).ok());
        let error = row
            .reason
            .as_deref()
            .map(|reason| problem::of_reason(reason, row.meta_code, false));
        if let Ok(state) = status::state(row.state) {
            waiters.tell(row.id, status::told(state, wamid.as_ref(), error));
        }
    }
    for message in messages {
        waiters.tell(message, queued());
    }
}

fn offer(row: &Row, awaited: bool, now: Instant) -> Offer<Cargo> {
    Offer {
        message: row.message,
        lane: LaneId {
            priority: row.priority,
            contact: row.contact,
        },
        place: row.place,
        ready: now + Duration::try_from_secs_f64(row.ready_in).unwrap_or_default(),
        scheduled: row.scheduled,
        awaited,
        cargo: Cargo {
            connection: row.connection,
            parcel: None,
        },
    }
}
