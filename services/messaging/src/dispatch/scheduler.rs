//! Which message is sent next: a pure state machine. Time is an argument, nothing waits, and no operation looks at more than the messages it is about.
//!
//! Numbers take turns, one message each, so one number's backlog delays no other. Within a number the lanes (recipient and priority) take turns, and a lane has at most one message on its
//! way. A lane's head that waits for its own reason is stepped over after [`Limits::patience`]. Numbers that wait, for tokens, for a pause to end, for a connection, stand aside and cost
//! nothing until something happens to them.
//!
//! Priorities: of five turns of a number four go to its highest class that can send ([`turns`]); campaigns hold neither all of the slots ([`slots`]) nor all of the room in memory
//! ([`window`]), and leave urgent messages a part of what one user may be sent at once ([`pair`]). So a one-time code waits for the next token and no longer, whatever campaigns wait.

mod brakes;
mod lane;
mod number;
mod offers;
mod pair;
mod slots;
mod terms;
#[cfg(test)]
mod tests;
mod turns;
mod window;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use self::number::Number;

pub(crate) use self::terms::{
    Admission, BULK, CLASSES, LaneId, Limits, NORMAL, NumberId, Offer, Offered, Outcome, URGENT, Want, class,
};

/// The state machine. `C` is what travels with a message.
#[derive(Debug)]
pub(crate) struct Scheduler<C> {
    limits: Limits,
    numbers: HashMap<NumberId, Number<C>>,
    /// Numbers that can send, in the order of their turns.
    ring: VecDeque<NumberId>,
    /// Numbers that could send if they had tokens.
    wanting: Vec<NumberId>,
    /// Numbers that have their share of the slots.
    capped: Vec<NumberId>,
    /// Numbers whose campaigns wait until others' have fewer slots.
    bulk_queue: VecDeque<NumberId>,
    timers: BinaryHeap<Reverse<(Instant, NumberId, Alarm)>>,
    /// Messages on their way.
    in_flight: usize,
    /// Those among them that hold a slot, and the campaigns of these.
    calling: usize,
    bulk_calling: usize,
    /// Nothing is sent now: no caller need wait.
    halted: bool,
    /// Messages that wait.
    waiting: usize,
    /// Messages that had to wait for their user's rate.
    held_up: u64,
    /// Awaited messages that are not about to be sent.
    stalled: Vec<Uuid>,
    /// Tokens that were not needed.
    surplus: Vec<Want>,
}

/// What a timer looks at. It may ring too often; it never rings too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Number,
    Lane(LaneId),
    Aside(Uuid),
    /// The users that were written to.
    Pairs,
}

/// Most tokens that one number asks for at a time.
const MOST_TOKENS: usize = 64;

// === impl Scheduler ===

impl<C> Scheduler<C> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            numbers: HashMap::new(),
            ring: VecDeque::new(),
            wanting: Vec::new(),
            capped: Vec::new(),
            bulk_queue: VecDeque::new(),
            timers: BinaryHeap::new(),
            in_flight: 0,
            calling: 0,
            bulk_calling: 0,
            halted: false,
            waiting: 0,
            held_up: 0,
            stalled: Vec::new(),
            surplus: Vec::new(),
        }
    }

    /// This process owns `number` at `epoch`.
    pub(crate) fn own(&mut self, number: &NumberId, epoch: i64, open: bool) {
        self.numbers
            .entry(Arc::clone(number))
            .or_insert_with(|| Number::new(self.limits.pair))
            .own(epoch, open);
        self.enlist(number);
    }

    /// How many messages a second may be sent from `number`.
    pub(crate) fn rate(&mut self, number: &str, rate: u32) {
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.rate = rate;
        }
    }

    /// This process sends nothing more from `number`. What is on its way comes to its end.
    pub(crate) fn disown(&mut self, number: &str) {
        let Some(entry) = self.numbers.get_mut(number) else {
            return;
        };
        self.waiting -= entry.clear(&mut self.stalled);
        self.give_back(number);
        self.drop_if_done(number);
    }

    /// The epoch at which this process owns `number`.
    pub(crate) fn epoch(&self, number: &str) -> Option<i64> {
        self.numbers.get(number).and_then(|entry| entry.epoch)
    }

    /// Messages of `number` are on their way.
    pub(crate) fn busy(&self, number: &str) -> bool {
        self.numbers.get(number).is_some_and(|entry| entry.in_flight() > 0)
    }

    /// Messages on their way.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// This message is on its way, or its outcome is being recorded.
    pub(crate) fn flies(&self, number: &str, message: Uuid) -> bool {
        self.numbers.get(number).is_some_and(|entry| entry.flies(message))
    }

    /// Messages that wait in memory.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// A message to this user, on its way `since` then, needed neither the token that was taken for it nor a call.
    pub(crate) fn refund(&mut self, number: &str, contact: Uuid, since: Instant) {
        let Some((key, _)) = self.numbers.get_key_value(number) else {
            return;
        };
        let key = Arc::clone(key);
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.tokens += 1;
            entry.refund_pair(contact, since);
            if entry.epoch.is_none() {
                self.give_back(number);
            }
        }
        self.enlist(&key);
    }

    /// The numbers that this process owns.
    pub(crate) fn owned(&self) -> Vec<(NumberId, i64)> {
        self.numbers
            .iter()
            .filter_map(|(number, entry)| Some((Arc::clone(number), entry.epoch?)))
            .collect()
    }

    /// The next message to send, if there is one, and a slot and a token for it.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Admission<C>> {
        let mut alarms = Vec::new();
        while self.has_slot() {
            let slots = self.slots();
            let Some(key) = self.ring.pop_front() else {
                if slots.room_for_bulk() && self.uncap_bulk() {
                    continue;
                }
                return None;
            };
            let Some(entry) = self.numbers.get_mut(&key) else {
                continue;
            };
            entry.listed = false;
            let Some(best) = entry.best(now) else {
                self.give_back(&key);
                continue;
            };
            let Some(lowest) = slots
                .lowest(entry.calling(), entry.urgent_calling())
                .filter(|lowest| best <= *lowest)
            else {
                self.cap(key, best, slots);
                continue;
            };
            if entry.tokens == 0 {
                entry.listed = true;
                self.wanting.push(key);
                continue;
            }
            let departed = entry.depart(lowest, now, &mut alarms, &mut self.stalled);
            for (at, alarm) in alarms.drain(..) {
                self.timers.push(Reverse((at, Arc::clone(&key), alarm)));
            }
            let Some((lane, row)) = departed else {
                self.give_back(&key);
                self.enlist(&key);
                continue;
            };
            entry.tokens -= 1;
            self.waiting -= 1;
            self.in_flight += 1;
            self.calling += 1;
            self.bulk_calling += usize::from(lane.class() == class(BULK));
            if entry.crowded(now) {
                entry.stall(&mut self.stalled);
            }
            let epoch = entry.epoch.unwrap_or_default();
            self.enlist(&key);
            return Some(Admission {
                number: key,
                epoch,
                message: row.message,
                lane,
                place: row.place,
                cargo: row.cargo,
            });
        }
        None
    }

    /// What became of an admitted message. Gives since when it was on its way.
    pub(crate) fn finished(
        &mut self,
        number: &str,
        lane: LaneId,
        message: Uuid,
        place: i64,
        outcome: Outcome<C>,
        now: Instant,
    ) -> Option<Instant> {
        let (key, _) = self.numbers.get_key_value(number)?;
        let key = Arc::clone(key);
        let entry = self.numbers.get_mut(number)?;
        let flying = entry.arrive(lane, message)?;
        let class_of = flying.class;
        self.in_flight -= 1;
        match outcome {
            Outcome::Ended => {}
            Outcome::Again { ready, cargo } => {
                // What has long to wait stays in the table alone when there is no room for it.
                let kept = ready <= now + self.limits.patience
                    || entry.window.room_for_later(class_of, &self.limits, self.waiting);
                if entry.epoch.is_some() && kept {
                    let offer = Offer {
                        message,
                        lane,
                        place,
                        ready,
                        scheduled: false,
                        awaited: false,
                        cargo,
                    };
                    entry.insert(offer, now);
                    self.waiting += 1;
                }
            }
            Outcome::Unknown { until } => entry.block(lane, until),
        }
        self.look(&key, lane, now);
        if flying.calling {
            self.free(class_of);
        }
        self.drop_if_done(number);
        Some(flying.since)
    }

    /// Numbers that need tokens now, each asked for once.
    pub(crate) fn wants(&mut self) -> Vec<Want> {
        let slots = self.limits.calls - self.calling.min(self.limits.calls);
        let mut wants = Vec::new();
        for number in std::mem::take(&mut self.wanting) {
            let Some(entry) = self.numbers.get_mut(&number) else {
                continue;
            };
            let most = if entry.probing { 1 } else { MOST_TOKENS };
            let tokens = entry.ready().min(slots).clamp(1, most) as u32;
            // It stays listed, so that it is not asked for twice.
            wants.push(Want { number, tokens });
        }
        wants
    }

    /// The answer to a [`Want`]: tokens, and when there will be more if there were too few.
    pub(crate) fn granted(&mut self, number: &str, tokens: u32, more: Option<Instant>, now: Instant) {
        let Some((key, _)) = self.numbers.get_key_value(number) else {
            return;
        };
        let key = Arc::clone(key);
        let Some(entry) = self.numbers.get_mut(number) else {
            return;
        };
        entry.listed = false;
        entry.tokens += tokens;
        if let Some(more) = more {
            entry.limited_until = Some(more);
            self.timers.push(Reverse((more, Arc::clone(&key), Alarm::Number)));
            if entry.crowded(now) {
                entry.stall(&mut self.stalled);
            }
        }
        if entry.epoch.is_none() {
            self.give_back(number);
            self.drop_if_done(number);
        } else {
            self.enlist(&key);
        }
    }

    /// Looks at whatever was to be looked at by now.
    pub(crate) fn tick(&mut self, now: Instant) {
        while self.timers.peek().is_some_and(|Reverse((at, _, _))| *at <= now) {
            let Some(Reverse((_, number, alarm))) = self.timers.pop() else {
                return;
            };
            match alarm {
                Alarm::Number => {
                    if let Some(entry) = self.numbers.get_mut(&number) {
                        entry.expire(now);
                    }
                    self.enlist(&number);
                }
                Alarm::Lane(lane) => self.look(&number, lane, now),
                Alarm::Pairs => {
                    if self
                        .numbers
                        .get_mut(&number)
                        .is_some_and(|entry| entry.expire_pairs(now))
                    {
                        self.timers.push(Reverse((now + pair::LOOK, number, Alarm::Pairs)));
                    }
                }
                Alarm::Aside(message) => {
                    if let Some(lane) = self
                        .numbers
                        .get_mut(&number)
                        .and_then(|entry| entry.recall(message, now))
                    {
                        self.look(&number, lane, now);
                    }
                }
            }
        }
    }

    /// When [`Scheduler::tick`] has something to do.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _, _))| *at)
    }

    /// How often a message had to wait for its user's rate, since the last call.
    pub(crate) fn held_up(&mut self) -> u64 {
        std::mem::take(&mut self.held_up)
    }

    /// Awaited messages that turned out not to be about to be sent, since the last call.
    pub(crate) fn stalled(&mut self) -> Vec<Uuid> {
        std::mem::take(&mut self.stalled)
    }

    /// Tokens that were taken and are not needed, since the last call. Call it when [`Scheduler::next`] had nothing more to give.
    pub(crate) fn surplus(&mut self) -> Vec<Want> {
        std::mem::take(&mut self.surplus)
    }

    /// Puts a number into the ring, if it can send and is in no list.
    fn enlist(&mut self, number: &NumberId) {
        if let Some(entry) = self.numbers.get_mut(number) {
            if entry.outgrew_its_cap() {
                (entry.capped, entry.listed) = (None, false);
            }
            if !entry.listed && entry.open && entry.epoch.is_some() && entry.ready() > 0 {
                entry.listed = true;
                self.ring.push_back(Arc::clone(number));
            } else if entry.ready() == 0 && entry.tokens > 0 {
                self.give_back(number);
            }
        }
    }

    fn look(&mut self, number: &NumberId, lane: LaneId, now: Instant) {
        if let Some(entry) = self.numbers.get_mut(number) {
            for (at, alarm) in entry.look(lane, now, self.limits.patience, &mut self.held_up) {
                self.timers.push(Reverse((at, Arc::clone(number), alarm)));
            }
        }
        self.enlist(number);
    }

    fn give_back(&mut self, number: &str) {
        if let Some((key, entry)) = self.numbers.get_key_value(number)
            && entry.tokens > 0
        {
            let want = Want {
                number: Arc::clone(key),
                tokens: entry.tokens,
            };
            self.surplus.push(want);
            if let Some(entry) = self.numbers.get_mut(number) {
                entry.tokens = 0;
            }
        }
    }

    fn drop_if_done(&mut self, number: &str) {
        if self
            .numbers
            .get(number)
            .is_some_and(|entry| entry.epoch.is_none() && entry.in_flight() == 0)
        {
            self.numbers.remove(number);
        }
    }
}
