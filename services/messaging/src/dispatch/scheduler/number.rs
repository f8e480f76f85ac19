//! One number: its lanes, its tokens, and why it may have to wait.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::lane::{Lane, Row, Turn};
use super::pair::{self, Pairs};
use super::turns::Turns;
use super::window::Window;
use super::{Alarm, BULK, CLASSES, LaneId, NORMAL, Offer, class};
use crate::config::PairRate;

/// Messages by the time they are ready.
type Aside<C> = BTreeMap<(Instant, Uuid), (LaneId, Row<C>)>;

/// A message that is sent within this time is about to be sent.
const SOON: Duration = Duration::from_millis(500);

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Number<C> {
    /// None: this process does not own it, and only waits for what is on its way.
    pub(super) epoch: Option<i64>,
    pub(super) open: bool,
    /// It stands in one of the scheduler's lists.
    pub(super) listed: bool,
    /// It waits for a slot, and the highest class that does.
    pub(super) capped: Option<usize>,
    /// It stands in the queue for campaigns' slots.
    pub(super) queued_for_bulk: bool,
    pub(super) tokens: u32,
    /// Tokens a second.
    pub(super) rate: u32,
    pub(super) limited_until: Option<Instant>,
    pub(super) braked_until: Option<Instant>,
    /// Until then campaigns wait.
    pub(super) bulk_braked_until: Option<Instant>,
    /// One message at a time.
    pub(super) probing: bool,
    /// What is in memory of the queue table.
    pub(super) window: Window,
    /// Messages that wait, a caller with them, and are about to be sent as far as their lane goes.
    pub(super) awaited: HashSet<Uuid>,
    lanes: HashMap<LaneId, Lane<C>>,
    /// Where each waiting message is.
    index: HashMap<Uuid, Spot>,
    /// Heads that were stepped over, by class, by the time they are ready.
    aside: [Aside<C>; CLASSES],
    turns: Turns,
    pairs: Pairs,
    /// Messages on their way.
    flying: HashMap<Uuid, Flying>,
    /// Those among them that hold a slot, and the urgent ones of these.
    calling: usize,
    urgent_calling: usize,
}

/// A message on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flying {
    pub(super) class: usize,
    pub(super) since: Instant,
    /// Meta has not answered yet.
    pub(super) calling: bool,
}

#[derive(Debug, Clone, Copy)]
enum Spot {
    Lane(LaneId, i64),
    Aside(LaneId, Instant),
}

// === impl Number ===

impl<C> Number<C> {
    pub(super) fn new(pair: PairRate) -> Self {
        Self {
            epoch: None,
            open: false,
            listed: false,
            capped: None,
            queued_for_bulk: false,
            tokens: 0,
            rate: u32::MAX,
            limited_until: None,
            braked_until: None,
            bulk_braked_until: None,
            probing: false,
            window: Window::new(),
            awaited: HashSet::new(),
            lanes: HashMap::new(),
            index: HashMap::new(),
            aside: Default::default(),
            turns: Turns::default(),
            pairs: Pairs::new(pair),
            flying: HashMap::new(),
            calling: 0,
            urgent_calling: 0,
        }
    }

    pub(super) fn own(&mut self, epoch: i64, open: bool) {
        self.epoch = Some(epoch);
        self.open = open;
        self.window.begin();
    }

    /// Forgets everything but what is on its way. Gives how many messages it forgot.
    pub(super) fn clear(&mut self, stalled: &mut Vec<Uuid>) -> usize {
        self.stall(stalled);
        stalled.extend(self.window.clear());
        let forgotten = self.index.len();
        self.epoch = None;
        self.index.clear();
        self.aside = Default::default();
        self.turns.clear();
        self.pairs.clear();
        self.lanes.retain(|_, lane| {
            lane.rows.clear();
            lane.listed = false;
            lane.calling.is_some()
        });
        forgotten
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flying.len()
    }

    pub(super) fn calling(&self) -> usize {
        self.calling
    }

    pub(super) fn urgent_calling(&self) -> usize {
        self.urgent_calling
    }

    pub(super) fn flies(&self, message: Uuid) -> bool {
        self.flying.contains_key(&message)
    }

    /// Lanes that can send.
    pub(super) fn ready(&self) -> usize {
        self.turns.len()
    }

    /// It waits for a slot, and a higher class than before can send.
    pub(super) fn outgrew_its_cap(&self) -> bool {
        self.capped
            .is_some_and(|capped| self.turns.best().is_some_and(|best| best < capped))
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
        self.tokens == 0 && self.limited(now) && self.turns.len() as f64 > soon
    }

    pub(super) fn braked(&self, now: Instant) -> bool {
        self.braked_until.is_some_and(|until| until > now)
    }

    /// The lowest class that may send.
    fn lowest(&self, now: Instant) -> usize {
        let braked = self.bulk_braked_until.is_some_and(|until| until > now);
        class(if braked { NORMAL } else { BULK })
    }

    /// The highest class that can send, given a slot; and given tokens, or the prospect of some.
    pub(super) fn best(&self, now: Instant) -> Option<usize> {
        let eligible = self.epoch.is_some()
            && self.open
            && !self.braked(now)
            && (self.tokens > 0 || !self.limited(now))
            && !(self.probing && self.in_flight() > 0);
        let best = self.turns.best().filter(|_| eligible)?;
        (best <= self.lowest(now)).then_some(best)
    }

    /// Forgets what has run out.
    pub(super) fn expire(&mut self, now: Instant) {
        for until in [
            &mut self.limited_until,
            &mut self.braked_until,
            &mut self.bulk_braked_until,
        ] {
            *until = until.filter(|until| *until > now);
        }
    }

    /// Forgets users that can be written to again. True: look again later.
    pub(super) fn expire_pairs(&mut self, now: Instant) -> bool {
        self.pairs.expire(now)
    }

    /// Nothing that waits here is about to be sent.
    pub(super) fn stall(&mut self, stalled: &mut Vec<Uuid>) {
        stalled.extend(self.awaited.drain());
    }

    /// No campaign that waits here is about to be sent.
    pub(super) fn stall_bulk(&mut self, stalled: &mut Vec<Uuid>) {
        let index = &self.index;
        let bulk = |message: &Uuid| matches!(index.get(message), Some(Spot::Lane(id, _)) if id.class() == class(BULK));
        stalled.extend(self.awaited.extract_if(bulk));
    }

    /// The user was not written to after all, at this time.
    pub(super) fn refund_pair(&mut self, contact: Uuid, at: Instant) {
        self.pairs.refund(contact, at);
    }

    /// Meta takes nothing for this user until then.
    pub(super) fn hold_up(&mut self, contact: Uuid, until: Instant, now: Instant) -> Option<(Instant, Alarm)> {
        let first = self.pairs.hold(contact, until, now);
        first.then_some((now + pair::LOOK, Alarm::Pairs))
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
        self.window.add(offer.lane.class());
        if offer.scheduled && offer.ready > now {
            return Some(self.put_aside(offer.lane, row));
        }
        self.put(offer.lane, row);
        None
    }

    /// Forgets a message that waits. Gives its lane.
    pub(super) fn remove(&mut self, message: Uuid) -> Option<LaneId> {
        self.awaited.remove(&message);
        let id = match self.index.remove(&message)? {
            Spot::Lane(id, place) => {
                if let Some(lane) = self.lanes.get_mut(&id) {
                    lane.rows.remove(&(place, message));
                }
                id
            }
            Spot::Aside(id, at) => {
                self.aside[id.class()].remove(&(at, message));
                id
            }
        };
        self.window.remove(id.class());
        Some(id)
    }

    /// A caller waits for this message: it is told when the message has come to the end of its way, or now that it is not about
    /// to be sent. False: now.
    pub(super) fn awaits(&mut self, message: Uuid, now: Instant) -> bool {
        let about = match self.index.get(&message) {
            Some(Spot::Lane(id, place)) => self.lanes.get(id).is_some_and(|lane| {
                let head = lane.rows.keys().next();
                head == Some(&(*place, message))
                    && lane.goes(now)
                    && id.class() <= self.lowest(now)
                    && self.pairs.next(*id, now).is_none()
            }),
            Some(Spot::Aside(..)) => false,
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
            Spot::Aside(id, at) if at > ready => {
                let (_, row) = self.aside[id.class()].get(&(at, message))?;
                // The same time, read once more.
                if row.scheduled && ready > now {
                    return None;
                }
                let (id, row) = self.aside[id.class()].remove(&(at, message))?;
                self.put(id, Row { ready, ..row });
                Some(id)
            }
            Spot::Aside(..) => None,
        }
    }

    /// Forgets the message that has longest to wait among those of this class and the lower ones that were stepped over.
    pub(super) fn evict(&mut self, class: usize) -> bool {
        let evicted = (class..CLASSES)
            .rev()
            .find_map(|class| Some((class, self.aside[class].pop_last()?)));
        let Some((class, ((_, message), _))) = evicted else {
            return false;
        };
        self.index.remove(&message);
        self.window.remove(class);
        true
    }

    /// A message that was stepped over is ready: back into its lane.
    pub(super) fn recall(&mut self, message: Uuid, now: Instant) -> Option<LaneId> {
        let Spot::Aside(id, at) = *self.index.get(&message)? else {
            return None;
        };
        if at > now {
            return None;
        }
        let (id, row) = self.aside[id.class()].remove(&(at, message))?;
        self.put(id, row);
        Some(id)
    }

    pub(super) fn block(&mut self, lane: LaneId, until: Instant) {
        let lane = self.lanes.entry(lane).or_insert_with(Lane::new);
        lane.blocked_until = Some(lane.blocked_until.map_or(until, |known| known.max(until)));
    }

    /// Looks at a lane: lists it if it can send, steps over a head that has waited for too long, and says what to look at when.
    /// Counts those that wait for their user's rate.
    pub(super) fn look(
        &mut self,
        id: LaneId,
        now: Instant,
        patience: Duration,
        held_up: &mut u64,
    ) -> Vec<(Instant, Alarm)> {
        let mut alarms = Vec::new();
        loop {
            let Some(lane) = self.lanes.get_mut(&id) else {
                return alarms;
            };
            let next = self.pairs.next(id, now);
            match lane.turn(now, patience, next) {
                Turn::Ready => {
                    if !lane.listed {
                        lane.listed = true;
                        self.turns.push(id);
                    }
                    return alarms;
                }
                Turn::Later(at) => {
                    *held_up += u64::from(next == Some(at));
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

    /// Sends a message on its way: the head of the lane whose turn it is, of the classes down to `lowest`. Lanes that turn out to have to wait are looked at again when `alarms` ring.
    pub(super) fn depart(
        &mut self,
        lowest: usize,
        now: Instant,
        alarms: &mut Vec<(Instant, Alarm)>,
        stalled: &mut Vec<Uuid>,
    ) -> Option<(LaneId, Row<C>)> {
        let lowest = lowest.min(self.lowest(now));
        while let Some(id) = self.turns.pop(lowest) {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.listed = false;
            if !lane.goes(now) {
                continue;
            }
            // Another lane of this user was quicker.
            if let Some(at) = self.pairs.next(id, now) {
                alarms.push((at, Alarm::Lane(id)));
                let head = lane.rows.values().next().map(|head| head.message);
                stalled.extend(head.filter(|head| self.awaited.remove(head)));
                continue;
            }
            let Some((_, row)) = lane.rows.pop_first() else {
                continue;
            };
            lane.calling = Some(row.message);
            self.index.remove(&row.message);
            self.window.remove(id.class());
            self.awaited.remove(&row.message);
            let flying = Flying {
                class: id.class(),
                since: now,
                calling: true,
            };
            self.flying.insert(row.message, flying);
            self.calling += 1;
            self.urgent_calling += usize::from(id.class() == 0);
            if self.pairs.take(id, now) {
                alarms.push((now + pair::LOOK, Alarm::Pairs));
            }
            return Some((id, row));
        }
        None
    }

    /// Meta has answered. Gives the message's class, unless that was known.
    pub(super) fn answered(&mut self, message: Uuid) -> Option<usize> {
        let flying = self.flying.get_mut(&message)?;
        if !std::mem::replace(&mut flying.calling, false) {
            return None;
        }
        let class = flying.class;
        self.calling -= 1;
        self.urgent_calling -= usize::from(class == 0);
        Some(class)
    }

    /// A message, answered or not, has come to the end of its way.
    pub(super) fn arrive(&mut self, lane: LaneId, message: Uuid) -> Option<Flying> {
        let flying = self.flying.remove(&message)?;
        if flying.calling {
            self.calling -= 1;
            self.urgent_calling -= usize::from(flying.class == 0);
        }
        if let Some(lane) = self.lanes.get_mut(&lane).filter(|lane| lane.calling == Some(message)) {
            lane.calling = None;
        }
        Some(flying)
    }

    fn put_aside(&mut self, id: LaneId, row: Row<C>) -> (Instant, Alarm) {
        let (message, ready) = (row.message, row.ready);
        self.index.insert(message, Spot::Aside(id, ready));
        self.aside[id.class()].insert((ready, message), (id, row));
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
