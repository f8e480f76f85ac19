//! One post's account and list, after some of its items were decoded again: pure, so that it can be shown to add up.

use std::collections::{HashMap, HashSet};

use crate::decode::account::{Fate, Head, Owner, Place, text};
use crate::store::Outcome;
use crate::store::account::Account;
use crate::store::again::Row;
use crate::store::replay::Met;

use super::Stand;

/// An item as it is read today.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    /// Where it stands; the pointer as rows keep it.
    pub place: Place,
    /// How it was listed when that was decided: the contract's number. `None`: not at all.
    pub seen: Option<i16>,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody asked for it.
    NotAsked,
    /// It was asked for, and left as it was.
    Kept,
    /// The decoder says.
    Fate(Fate),
}

/// What is to be written of a post.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    /// Its account.
    pub account: Account,
    /// All of its items that are listed; `None`: nothing has changed.
    pub rows: Option<Vec<Row>>,
    /// What came of the items that were asked for.
    pub met: Met,
    /// How they stand.
    pub stand: Vec<Stand>,
}

/// Rows by place. Another version may have read an item as several, or several as one: a row belongs to the item at its place or, where there is none today, to those below and above it.
pub(crate) struct Index<'a> {
    rows: &'a [Row],
    exact: HashMap<&'a str, usize>,
    loose: HashMap<&'a str, usize>,
    below: HashMap<&'a str, Vec<usize>>,
}

/// How one item ends.
enum End {
    Applied,
    Duplicate,
    Listed(Row),
}

// === impl Index ===

impl<'a> Index<'a> {
    /// Of these rows, with the places of today's items.
    pub(crate) fn of(rows: &'a [Row], today: &HashSet<&str>) -> Self {
        let mut index = Self {
            rows,
            exact: HashMap::new(),
            loose: HashMap::new(),
            below: HashMap::new(),
        };
        for (number, row) in rows.iter().enumerate() {
            if today.contains(&*row.pointer) {
                index.exact.entry(&row.pointer).or_insert(number);
                continue;
            }
            index.loose.entry(&row.pointer).or_insert(number);
            for above in above(&row.pointer) {
                index.below.entry(above).or_default().push(number);
            }
        }
        index
    }

    /// The row that an item at this place is listed by, if it is.
    pub(crate) fn first(&self, pointer: &str) -> Option<&'a Row> {
        self.related(pointer).next().and_then(|number| self.rows.get(number))
    }

    fn related(&self, pointer: &str) -> impl Iterator<Item = usize> {
        let exact = self.exact.get(pointer).copied();
        let open = exact.is_none();
        let above = above(pointer).filter(move |_| open);
        let above = above.filter_map(|above| self.loose.get(above).copied());
        let below = self.below.get(pointer).filter(|_| open).into_iter().flatten().copied();
        exact.into_iter().chain(above).chain(below)
    }
}

/// The places above a place, nearest first.
fn above(pointer: &str) -> impl Iterator<Item = &str> {
    pointer.rmatch_indices('/').filter_map(|(at, _)| pointer.get(..at))
}

/// What is to be written of a post with this account and these rows. Items that are not listed were applied before, and stay so whatever is said of them now.
pub(crate) fn plan(head: &Head, account: Account, rows: &[Row], now: &[Now]) -> Planned {
    if unreadable(rows, now, account) {
        return Planned::untouched(account, now);
    }
    let mut planned = Planned::default();
    let mut listed: Vec<Row> = Vec::with_capacity(rows.len());
    let today = now.iter().map(|item| &*item.place.pointer).collect();
    let index = Index::of(rows, &today);
    let mut claimed = vec![false; rows.len()];
    let (mut settled, mut applied, mut duplicate) = (0, 0, 0);
    for item in now {
        let Some(row) = index.first(&item.place.pointer) else {
            settled += 1;
            planned.meet_settled(head, item);
            continue;
        };
        index
            .related(&item.place.pointer)
            .for_each(|number| claimed[number] = true);
        let end = end(row, item);
        planned.meet(head, item, &end, row);
        match end {
            End::Applied => applied += 1,
            End::Duplicate => duplicate += 1,
            End::Listed(row) => listed.push(row),
        }
    }
    // What is no longer found stays listed, behind the others.
    let lost = rows.iter().zip(&claimed).filter(|(_, claimed)| !**claimed);
    let behind = now.len() as i32;
    for (number, (row, _)) in lost.enumerate() {
        let ordinal = behind + number as i32;
        listed.push(Row { ordinal, ..row.clone() });
    }
    let before = account.duplicate.min(settled);
    planned.account = totals(settled - before + applied, before + duplicate, &listed);
    if listed != rows || planned.account != account {
        planned.rows = Some(listed);
    }
    planned
}

/// This version cannot read the body at all, which another could: nothing is to be learned from that.
fn unreadable(rows: &[Row], now: &[Now], account: Account) -> bool {
    let whole = |pointer: &str| pointer.is_empty();
    let nothing = now.is_empty() || (now.len() == 1 && now.iter().all(|item| whole(&item.place.pointer)));
    nothing && (account.items != 1 || rows.iter().any(|row| !whole(&row.pointer)) || rows.is_empty())
}

fn totals(applied: i32, duplicate: i32, listed: &[Row]) -> Account {
    let count = |outcome: Outcome| listed.iter().filter(|row| row.outcome == outcome.code()).count() as i32;
    Account {
        items: applied + duplicate + listed.len() as i32,
        applied,
        duplicate,
        parked: count(Outcome::Parked),
        unsupported: count(Outcome::Unsupported),
        quarantined: count(Outcome::Quarantined),
        discarded: count(Outcome::Discarded),
    }
}

/// How a listed item ends. What is parked, and what was decided otherwise meanwhile, stays.
fn end(row: &Row, item: &Now) -> End {
    let stays = row.outcome == Outcome::Parked.code() || item.seen != Some(row.outcome);
    match &item.verdict {
        Verdict::Fate(Fate::Applied) if !stays => End::Applied,
        Verdict::Fate(Fate::Duplicate) if !stays => End::Duplicate,
        Verdict::Fate(Fate::Listed(outcome @ (Outcome::Unsupported | Outcome::Quarantined), why, owner)) if !stays => {
            let known = row.application_id.is_some();
            let Owner {
                application_id,
                connection_id,
            } = *owner;
            End::Listed(Row {
                outcome: outcome.code(),
                reason: text(why),
                application_id: if known { row.application_id } else { application_id },
                connection_id: if known { row.connection_id } else { connection_id },
                ..moved(row, item)
            })
        }
        Verdict::Fate(_) | Verdict::Kept | Verdict::NotAsked => End::Listed(moved(row, item)),
    }
}

/// The row where its item stands today.
fn moved(row: &Row, item: &Now) -> Row {
    let place = &item.place;
    let same = row.pointer == place.pointer;
    Row {
        ordinal: place.ordinal,
        pointer: place.pointer.clone(),
        field: if same { row.field.clone() } else { text(&place.field) },
        phone_number_id: if same {
            row.phone_number_id.clone()
        } else {
            text(&place.phone_number_id)
        },
        ..row.clone()
    }
}

// === impl Planned ===

impl Planned {
    fn untouched(account: Account, now: &[Now]) -> Self {
        let asked = now.iter().filter(|item| item.verdict != Verdict::NotAsked);
        Self {
            account,
            met: Met {
                kept: asked.count() as i64,
                ..Met::default()
            },
            ..Self::default()
        }
    }

    fn meet_settled(&mut self, head: &Head, item: &Now) {
        let (met, outcome) = match &item.verdict {
            Verdict::NotAsked => return,
            // Its event had been lost.
            Verdict::Fate(Fate::Applied) => (&mut self.met.applied, 1),
            Verdict::Fate(Fate::Duplicate) => (&mut self.met.duplicate, 2),
            Verdict::Kept | Verdict::Fate(Fate::Listed(..)) => (&mut self.met.kept, 1),
        };
        *met += 1;
        self.stand.push(Stand {
            post_id: head.id,
            pointer: item.place.pointer.clone(),
            outcome,
            reason: String::new(),
            kept: false,
        });
    }

    fn meet(&mut self, head: &Head, item: &Now, end: &End, row: &Row) {
        if item.verdict == Verdict::NotAsked {
            return;
        }
        let settles = !matches!(
            &item.verdict,
            Verdict::Kept | Verdict::Fate(Fate::Listed(Outcome::Parked | Outcome::Discarded, ..))
        );
        let stays = row.outcome == Outcome::Parked.code() || item.seen != Some(row.outcome);
        let kept = stays || !settles;
        let (met, outcome, reason) = match end {
            End::Applied => (&mut self.met.applied, 1, ""),
            End::Duplicate => (&mut self.met.duplicate, 2, ""),
            End::Listed(row) if kept => (&mut self.met.kept, row.outcome, &*row.reason),
            End::Listed(row) if row.outcome == Outcome::Unsupported.code() => {
                (&mut self.met.unsupported, row.outcome, &*row.reason)
            }
            End::Listed(row) => (&mut self.met.quarantined, row.outcome, &*row.reason),
        };
        *met += 1;
        self.stand.push(Stand {
            post_id: head.id,
            pointer: row.pointer.clone(),
            outcome,
            reason: reason.to_owned(),
            kept: kept && matches!(end, End::Listed(_)),
        });
    }
}

#[cfg(test)]
mod tests;
