//! One number: its lanes, its tokens, and why it may have to wait.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::lane::{Lane, Row, Turn};
use super::{Alarm, LaneId, Offer};

/// A message that is sent within this time is about to be sent.
const SOON: Duration = Duration::from_millis(500);
/// Of five turns, one goes to the lowest priority that can send; the others to the highest.
const TURNS: u32 = 5;

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts")]
pub(super) struct Number<C> {
    /// None: this process does not own it, and only waits for what is on its way.
    pub(super) epoch: Option<i64>,
    pub(super) open: bool,
    /// It stands in one of the scheduler's lists.
    pub(super) listed: bool,
    pub(super) tokens: u32,
    /// Tokens a second.
    pub(super) rate: u32,
    pub(super) limited_until: Option<Instant>,
    pub(super) braked_until: Option<Instant>,
    /// One message at a time.
    pub(super) probing: bool,
    /// The queue table has more than the window.
    pub(super) more: bool,
    /// Messages that wait, a caller with them, and are about to be sent as far as their lane goes.
    pub(super) awaited: HashSet<Uuid>,
    lanes: HashMap<LaneId, Lane<C>>,
    /// Where each waiting message is.
    index: HashMap<Uuid, Spot>,
    /// Heads that were stepped over, by the time they are ready.
    aside: BTreeMap<(Instant, Uuid), (LaneId, Row<C>)>,
    /// Lanes that can send, by priority.
    ready: BTreeMap<i16, VecDeque<LaneId>>,
    ready_count: usize,
    turn: u32,
    flying: HashSet<Uuid>,
}

#[derive(Debug, Clone, Copy)]
enum Spot {
    Lane(LaneId, i64),
    Aside(Instant),
}

// === impl Number ===

impl<C> Number<C> {
    pub(super) fn new() -> Self {
        Self {
            epoch: None,
            open: false,
            listed: false,
            tokens: 0,
            rate: u32::MAX,
            limited_until: None,
            braked_until: None,
            probing: false,
            more: false,
            awaited: HashSet::new(),
            lanes: HashMap::new(),
            index: HashMap::new(),
            aside: BTreeMap::new(),
            ready: BTreeMap::new(),
            ready_count: 0,
            turn: 0,
            flying: HashSet::new(),
        }
    }

    pub(super) fn own(&mut self, epoch: i64, open: bool) {
        self.epoch = Some(epoch);
        self.open = open;
    }

    /// Forgets everything but what is on its way. Gives how many messages it forgot.
    pub(super) fn clear(&mut self, stalled: &mut Vec<Uuid>) -> usize {
        self.stall(stalled);
        let forgotten = self.index.len();
        self.epoch = None;
        self.more = false;
        self.index.clear();
        self.aside.clear();
        self.ready.clear();
        self.ready_count = 0;
        self.lanes.retain(|_, lane| {
            lane.rows.clear();
            lane.listed = false;
            lane.calling.is_some()
        });
        forgotten
    }

    /// Messages that wait.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flying.len()
    }

    pub(super) fn flies(&self, message: Uuid) -> bool {
        self.flying.contains(&message)
    }

    /// Lanes that can send.
    pub(super) fn ready(&self) -> usize {
        self.ready_count
    }

    pub(super) fn knows(&self, message: Uuid) -> bool {
        self.flies(message) || self.index.contains_key(&message)
    }

    pub(super) fn limited(&self, now: Instant) -> bool {
        self.limited_until.is_some_and(|until| until > now)
    }

    /// It is limited, and what waits will take longer than a caller calls soon.
    pub(super) fn crowded(&self, now: Instant) -> bool {
        let soon = SOON.as_secs_f64() * f64::from(self.rate);
        self.tokens == 0 && self.limited(now) && self.ready_count as f64 > soon
    }

    pub(super) fn braked(&self, now: Instant) -> bool {
        self.braked_until.is_some_and(|until| until > now)
    }

    /// It can send, given a slot; and given tokens, or the prospect of some.
    pub(super) fn eligible(&self, now: Instant) -> bool {
        self.epoch.is_some()
            && self.open
            && self.ready_count > 0
            && !self.braked(now)
            && (self.tokens > 0 || !self.limited(now))
            && !(self.probing && self.in_flight() > 0)
    }

    /// Forgets what has run out.
    pub(super) fn expire(&mut self, now: Instant) {
        self.limited_until = self.limited_until.filter(|until| *until > now);
        self.braked_until = self.braked_until.filter(|until| *until > now);
    }

    /// Nothing that waits here is about to be sent.
    pub(super) fn stall(&mut self, stalled: &mut Vec<Uuid>) {
        stalled.extend(self.awaited.drain());
    }

    /// Takes a message in. Gives what to look at when, if it stands aside.
    pub(super) fn insert(&mut self, offer: Offer<C>, now: Instant) -> Option<(Instant, Alarm)> {
        let row = Row {
            message: offer.message,
            place: offer.place,
            ready: offer.ready,
            since: now,
            scheduled: offer.scheduled,
            cargo: offer.cargo,
        };
        if offer.scheduled && offer.ready > now {
            return Some(self.put_aside(offer.lane, row));
        }
        self.put(offer.lane, row);
        None
    }

    /// Forgets a message that waits. Gives its lane.
    pub(super) fn remove(&mut self, message: Uuid) -> Option<LaneId> {
        self.awaited.remove(&message);
        match self.index.remove(&message)? {
            Spot::Lane(id, place) => {
                if let Some(lane) = self.lanes.get_mut(&id) {
                    lane.rows.remove(&(place, message));
                }
                Some(id)
            }
            Spot::Aside(at) => self.aside.remove(&(at, message)).map(|(id, _)| id),
        }
    }

    /// A caller waits for this message: it is told when the message has come to the end of its way, or now that it is not about
    /// to be sent. False: now.
    pub(super) fn awaits(&mut self, message: Uuid, now: Instant) -> bool {
        let about = match self.index.get(&message) {
            Some(Spot::Lane(id, place)) => self.lanes.get(id).is_some_and(|lane| {
                let head = lane.rows.keys().next();
                head == Some(&(*place, message)) && lane.goes(now)
            }),
            Some(Spot::Aside(_)) => false,
            None => return self.flies(message),
        };
        let about = about && self.open && !self.braked(now) && !self.crowded(now);
        if about {
            self.awaited.insert(message);
        }
        about
    }

    /// A waiting message may go sooner than was known. Gives its lane if that changes anything.
    pub(super) fn hasten(&mut self, message: Uuid, ready: Instant, now: Instant) -> Option<LaneId> {
        match *self.index.get(&message)? {
            Spot::Lane(id, place) => {
                let row = self.lanes.get_mut(&id)?.rows.get_mut(&(place, message))?;
                (row.ready > ready).then(|| {
                    row.ready = ready;
                    id
                })
            }
            Spot::Aside(at) if at > ready => {
                let (_, row) = self.aside.get(&(at, message))?;
                // The same time, read once more.
                if row.scheduled && ready > now {
                    return None;
                }
                let (id, row) = self.aside.remove(&(at, message))?;
                self.put(id, Row { ready, ..row });
                Some(id)
            }
            Spot::Aside(_) => None,
        }
    }

    /// Forgets the message that has longest to wait among those that were stepped over.
    pub(super) fn evict(&mut self) -> bool {
        let Some(((_, message), _)) = self.aside.pop_last() else {
            return false;
        };
        self.index.remove(&message);
        self.more = true;
        true
    }

    /// A message that was stepped over is ready: back into its lane.
    pub(super) fn recall(&mut self, message: Uuid, now: Instant) -> Option<LaneId> {
        let Spot::Aside(at) = *self.index.get(&message)? else {
            return None;
        };
        if at > now {
            return None;
        }
        let (id, row) = self.aside.remove(&(at, message))?;
        self.put(id, row);
        Some(id)
    }

    pub(super) fn block(&mut self, lane: LaneId, until: Instant) {
        let lane = self.lanes.entry(lane).or_insert_with(Lane::new);
        lane.blocked_until = Some(lane.blocked_until.map_or(until, |known| known.max(until)));
    }

    /// Looks at a lane: lists it if it can send, steps over a head that has waited for too long, and says what to look at when.
    pub(super) fn look(&mut self, id: LaneId, now: Instant, patience: Duration) -> Vec<(Instant, Alarm)> {
        let mut alarms = Vec::new();
        loop {
            let Some(lane) = self.lanes.get_mut(&id) else {
                return alarms;
            };
            match lane.turn(now, patience) {
                Turn::Ready => {
                    if !lane.listed {
                        lane.listed = true;
                        self.ready.entry(id.priority).or_default().push_back(id);
                        self.ready_count += 1;
                    }
                    return alarms;
                }
                Turn::Later(at) => {
                    alarms.push((at, Alarm::Lane(id)));
                    return alarms;
                }
                Turn::Busy => return alarms,
                Turn::StepAside => {
                    if let Some((_, row)) = lane.rows.pop_first() {
                        alarms.push(self.put_aside(id, row));
                    }
                }
                Turn::Empty => {
                    self.lanes.remove(&id);
                    return alarms;
                }
            }
        }
    }

    /// Sends a message on its way: the head of the lane whose turn it is.
    pub(super) fn depart(&mut self, now: Instant) -> Option<(LaneId, Row<C>)> {
        while self.ready_count > 0 {
            self.turn = (self.turn + 1) % TURNS;
            let mut class = if self.turn == 0 {
                self.ready.last_entry()
            } else {
                self.ready.first_entry()
            }?;
            let id = class.get_mut().pop_front();
            if class.get().is_empty() {
                class.remove();
            }
            let Some(id) = id else { continue };
            self.ready_count -= 1;
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.listed = false;
            if !lane.goes(now) {
                continue;
            }
            let Some((_, row)) = lane.rows.pop_first() else {
                continue;
            };
            lane.calling = Some(row.message);
            self.index.remove(&row.message);
            self.awaited.remove(&row.message);
            self.flying.insert(row.message);
            return Some((id, row));
        }
        None
    }

    /// A message has come to the end of its way.
    pub(super) fn arrive(&mut self, lane: LaneId, message: Uuid) -> bool {
        if !self.flying.remove(&message) {
            return false;
        }
        if let Some(lane) = self.lanes.get_mut(&lane).filter(|lane| lane.calling == Some(message)) {
            lane.calling = None;
        }
        true
    }

    fn put_aside(&mut self, id: LaneId, row: Row<C>) -> (Instant, Alarm) {
        let (message, ready) = (row.message, row.ready);
        self.index.insert(message, Spot::Aside(ready));
        self.aside.insert((ready, message), (id, row));
        (ready, Alarm::Aside(message))
    }

    fn put(&mut self, id: LaneId, row: Row<C>) {
        self.index.insert(row.message, Spot::Lane(id, row.place));
        self.lanes
            .entry(id)
            .or_insert_with(Lane::new)
            .rows
            .insert((row.place, row.message), row);
    }
}
