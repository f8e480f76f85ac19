//! Which message is sent next: a pure state machine. Time is an argument, nothing waits, and no operation looks at more than the messages it is about.
//!
//! Numbers take turns, one message each, so one number's backlog delays no other. Within a number the lanes (recipient and priority) take turns, and a lane has at most one message on its
//! way. A lane's head that waits for its own reason is stepped over after [`Limits::patience`]. Numbers that wait, for tokens, for a pause to end, for a connection, stand aside and cost
//! nothing until something happens to them.

mod lane;
mod number;
mod terms;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use self::number::Number;

pub(crate) use self::terms::{Admission, LaneId, Limits, NumberId, Offer, Offered, Outcome, Want};

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
    timers: BinaryHeap<Reverse<(Instant, NumberId, Alarm)>>,
    /// Messages on their way.
    in_flight: usize,
    /// Messages that wait.
    waiting: usize,
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
            timers: BinaryHeap::new(),
            in_flight: 0,
            waiting: 0,
            stalled: Vec::new(),
            surplus: Vec::new(),
        }
    }

    /// This process owns `number` at `epoch`.
    pub(crate) fn own(&mut self, number: &NumberId, epoch: i64, open: bool) {
        self.numbers
            .entry(Arc::clone(number))
            .or_insert_with(Number::new)
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

    /// Whether messages of `number` can be sent at all: its connection is active and nobody paused it.
    pub(crate) fn open(&mut self, number: &str, open: bool) {
        let Some((key, entry)) = self.numbers.get_key_value(number) else {
            return;
        };
        if entry.open == open {
            return;
        }
        let key = Arc::clone(key);
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.open = open;
            if !open {
                entry.stall(&mut self.stalled);
            }
        }
        self.enlist(&key);
    }

    /// Takes a queued message in.
    pub(crate) fn offer(&mut self, number: &str, offer: Offer<C>, now: Instant) -> Offered {
        let Some((key, entry)) = self.numbers.get_key_value(number) else {
            return Offered::Foreign;
        };
        if entry.epoch.is_none() {
            return Offered::Foreign;
        }
        let key = Arc::clone(key);
        let message = offer.message;
        let awaited = offer.awaited;
        let lane = offer.lane;
        let room = self.waiting < self.limits.messages || entry.len() < self.limits.window.min(64);
        let full = entry.len() >= self.limits.window || !room;
        let Some(entry) = self.numbers.get_mut(number) else {
            return Offered::Foreign;
        };
        if entry.knows(message) {
            let sooner = entry.hasten(message, offer.ready, now);
            if awaited && !entry.awaits(message, now) {
                self.stalled.push(message);
            }
            if let Some(lane) = sooner {
                self.look(&key, lane, now);
            }
            return Offered::Known;
        }
        if full {
            // What waits for a time of its own makes room for what can go.
            if offer.ready > now || !entry.evict() {
                entry.more = true;
                if awaited {
                    self.stalled.push(message);
                }
                return Offered::Full;
            }
            self.waiting -= 1;
        }
        if let Some((at, alarm)) = entry.insert(offer, now) {
            self.timers.push(Reverse((at, Arc::clone(&key), alarm)));
        }
        self.waiting += 1;
        if awaited && !entry.awaits(message, now) {
            self.stalled.push(message);
        }
        self.look(&key, lane, now);
        Offered::Taken
    }

    /// A message that waits is not to be sent any more. One that is on its way comes to its end.
    pub(crate) fn withdraw(&mut self, number: &str, message: Uuid, now: Instant) {
        let Some((key, _)) = self.numbers.get_key_value(number) else {
            return;
        };
        let key = Arc::clone(key);
        if let Some(lane) = self.numbers.get_mut(number).and_then(|entry| entry.remove(message)) {
            self.waiting -= 1;
            self.look(&key, lane, now);
        }
    }

    /// A message went without the token that was taken for it.
    pub(crate) fn refund(&mut self, number: &str) {
        let Some((key, _)) = self.numbers.get_key_value(number) else {
            return;
        };
        let key = Arc::clone(key);
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.tokens += 1;
            if entry.epoch.is_none() {
                self.give_back(number);
            }
        }
        self.enlist(&key);
    }

    /// A message of this lane is on its way elsewhere, or its outcome is not known: the lane waits until then.
    pub(crate) fn block(&mut self, number: &str, lane: LaneId, until: Instant, now: Instant) {
        let Some((key, _)) = self.numbers.get_key_value(number) else {
            return;
        };
        let key = Arc::clone(key);
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.block(lane, until);
        }
        self.look(&key, lane, now);
    }

    /// Nothing is sent from `number` until then. With `probe`, one message at a time after it, until one call shows that the trouble is over ([`Scheduler::calm`]).
    pub(crate) fn brake(&mut self, number: &str, until: Instant, probe: bool) {
        let Some((key, _)) = self.numbers.get_key_value(number) else {
            return;
        };
        let key = Arc::clone(key);
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.braked_until = Some(entry.braked_until.map_or(until, |known| known.max(until)));
            entry.probing |= probe;
            entry.stall(&mut self.stalled);
        }
        self.timers.push(Reverse((until, key, Alarm::Number)));
        self.give_back(number);
    }

    /// Whatever was waited for has come: nothing holds `number` back but its tokens.
    pub(crate) fn unbrake(&mut self, number: &str) {
        let Some((key, _)) = self.numbers.get_key_value(number) else {
            return;
        };
        let key = Arc::clone(key);
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.braked_until = None;
            entry.probing = false;
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

    /// A call from `number` went well.
    pub(crate) fn calm(&mut self, number: &str) {
        let Some((key, entry)) = self.numbers.get_key_value(number) else {
            return;
        };
        if !entry.probing {
            return;
        }
        let key = Arc::clone(key);
        if let Some(entry) = self.numbers.get_mut(number) {
            entry.probing = false;
        }
        self.enlist(&key);
    }

    /// The next message to send, if there is one, and a slot and a token for it.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Admission<C>> {
        while self.in_flight < self.limits.calls {
            let key = self.ring.pop_front()?;
            // Whoever else wants a slot now: then nobody may have more than half of them. The last eighth is kept for whoever comes next.
            let others = !self.ring.is_empty() || !self.wanting.is_empty();
            let share = if others {
                self.limits.calls / 2
            } else {
                self.limits.calls - self.limits.calls / 8
            };
            let Some(entry) = self.numbers.get_mut(&key) else {
                continue;
            };
            entry.listed = false;
            if !entry.eligible(now) {
                self.give_back(&key);
                continue;
            }
            if entry.in_flight() >= share.max(1) {
                entry.listed = true;
                self.capped.push(key);
                continue;
            }
            if entry.tokens == 0 {
                entry.listed = true;
                self.wanting.push(key);
                continue;
            }
            let Some((lane, row)) = entry.depart(now) else {
                self.give_back(&key);
                continue;
            };
            entry.tokens -= 1;
            self.waiting -= 1;
            self.in_flight += 1;
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

    /// What became of an admitted message.
    pub(crate) fn finished(
        &mut self,
        number: &str,
        lane: LaneId,
        message: Uuid,
        place: i64,
        outcome: Outcome<C>,
        now: Instant,
    ) {
        let Some((key, _)) = self.numbers.get_key_value(number) else {
            return;
        };
        let key = Arc::clone(key);
        let Some(entry) = self.numbers.get_mut(number) else {
            return;
        };
        if !entry.arrive(lane, message) {
            return;
        }
        self.in_flight -= 1;
        match outcome {
            Outcome::Ended => {}
            Outcome::Again { ready, cargo } => {
                if entry.epoch.is_some() {
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
        // At most two numbers can have their share at a time.
        for capped in std::mem::take(&mut self.capped) {
            if let Some(entry) = self.numbers.get_mut(&capped) {
                entry.listed = false;
            }
            self.enlist(&capped);
        }
        self.drop_if_done(number);
    }

    /// Numbers that need tokens now, each asked for once.
    pub(crate) fn wants(&mut self) -> Vec<Want> {
        let slots = self.limits.calls - self.in_flight.min(self.limits.calls);
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

    /// Awaited messages that turned out not to be about to be sent, since the last call.
    pub(crate) fn stalled(&mut self) -> Vec<Uuid> {
        std::mem::take(&mut self.stalled)
    }

    /// Tokens that were taken and are not needed, since the last call. Call it when [`Scheduler::next`] had nothing more to give.
    pub(crate) fn surplus(&mut self) -> Vec<Want> {
        std::mem::take(&mut self.surplus)
    }

    /// Numbers whose window is at most half full although there is more in the queue table; each once until the next refusal.
    pub(crate) fn hungry(&mut self, number: &str) -> bool {
        let window = self.limits.window;
        self.numbers.get_mut(number).is_some_and(|entry| {
            let hungry = entry.more && entry.len() <= window / 2;
            entry.more &= !hungry;
            hungry
        })
    }

    /// Puts a number into the ring, if it can send and is in no list.
    fn enlist(&mut self, number: &NumberId) {
        if let Some(entry) = self.numbers.get_mut(number) {
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
            for (at, alarm) in entry.look(lane, now, self.limits.patience) {
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
