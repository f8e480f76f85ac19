//! The owner's scan: page by page through a number's queue, every few seconds. It finds messages whose hint was lost, calls whose process is gone, and outcomes that nobody settles.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use uuid::Uuid;

use super::scheduler::NumberId;
use crate::store::queue::{self, Row};
use crate::store::{DbError, run};

/// Rows of one page.
pub(crate) const PAGE: i64 = 2_048;
/// Pages of a pass that follow one another at once; a longer backlog is read at leisure.
const AT_ONCE: u32 = 4;
const LEISURE: Duration = Duration::from_millis(100);
/// Pages that are read at a time.
const READERS: usize = 2;

/// When each owned number is scanned next, and how far its pass is.
#[derive(Debug, Default)]
pub(crate) struct Passes {
    numbers: HashMap<NumberId, Pass>,
    due: BTreeSet<(Instant, NumberId)>,
    reading: usize,
}

#[derive(Debug)]
struct Pass {
    epoch: i64,
    after: Uuid,
    pages: u32,
    due: Option<Instant>,
}

/// A page, or why there is none.
#[derive(Debug)]
pub(crate) struct Page {
    pub number: NumberId,
    pub epoch: i64,
    pub rows: Result<Vec<Row>, DbError>,
}

// === impl Passes ===

impl Passes {
    /// Begins to scan a number, at once.
    pub(crate) fn add(&mut self, number: &NumberId, epoch: i64, now: Instant) {
        self.remove(number);
        self.numbers.insert(
            Arc::clone(number),
            Pass {
                epoch,
                after: Uuid::nil(),
                pages: 0,
                due: Some(now),
            },
        );
        self.due.insert((now, Arc::clone(number)));
    }

    pub(crate) fn remove(&mut self, number: &NumberId) {
        if let Some(Pass { due: Some(due), .. }) = self.numbers.remove(number) {
            self.due.remove(&(due, Arc::clone(number)));
        }
    }

    /// Scans a number from the beginning now: its window has room again.
    pub(crate) fn hurry(&mut self, number: &NumberId, now: Instant) {
        let Some(pass) = self.numbers.get_mut(number) else {
            return;
        };
        // One whose page is being read goes on by itself.
        let Some(due) = pass.due else { return };
        *pass = Pass {
            epoch: pass.epoch,
            after: Uuid::nil(),
            pages: 0,
            due: Some(now),
        };
        self.due.remove(&(due, Arc::clone(number)));
        self.due.insert((now, Arc::clone(number)));
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        (self.reading < READERS)
            .then(|| self.due.first().map(|(at, _)| *at))
            .flatten()
    }

    /// The next page to read, if one is due and a reader is free.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(NumberId, i64, Uuid)> {
        if self.reading >= READERS || self.due.first()?.0 > now {
            return None;
        }
        let (_, number) = self.due.pop_first()?;
        let pass = self.numbers.get_mut(&number)?;
        pass.due = None;
        self.reading += 1;
        Some((number, pass.epoch, pass.after))
    }

    /// A page was read, or not: goes on with the next, or begins anew after `interval`.
    pub(crate) fn read(&mut self, page: &Page, interval: Duration, now: Instant) {
        self.reading -= 1;
        let Some(pass) = self
            .numbers
            .get_mut(&page.number)
            .filter(|pass| pass.epoch == page.epoch && pass.due.is_none())
        else {
            return;
        };
        let more = page
            .rows
            .as_ref()
            .ok()
            .filter(|rows| rows.len() as i64 == PAGE)
            .and_then(|rows| rows.last());
        let due = if let Some(last) = more {
            pass.after = last.message;
            pass.pages += 1;
            if pass.pages < AT_ONCE { now } else { now + LEISURE }
        } else {
            (pass.after, pass.pages) = (Uuid::nil(), 0);
            now + interval
        };
        pass.due = Some(due);
        self.due.insert((due, Arc::clone(&page.number)));
    }
}

/// Reads one page.
pub(crate) async fn read(db: PgPool, number: NumberId, epoch: i64, after: Uuid) -> Page {
    let rows = run!(db, "queue.page", |conn| queue::page(conn, &number, after, PAGE));
    Page { number, epoch, rows }
}
