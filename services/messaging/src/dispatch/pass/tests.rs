//! Readings and scheduler together, over a table in memory.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::config::PairRate;
use crate::dispatch::scheduler::{
    Admission, BULK, LaneId, Limits, NORMAL, Offer, Offered, Outcome, Scheduler, URGENT, class,
};

const INTERVAL: Duration = Duration::from_secs(5);
const LIMITS: Limits = Limits {
    calls: 4,
    window: 32,
    messages: 10_000,
    patience: Duration::from_secs(30),
    pair: PairRate::OFF,
};

/// A queued message in the table.
#[derive(Debug, Clone)]
struct Stored {
    lane: LaneId,
    ready: Instant,
    held: bool,
}

struct World {
    table: BTreeMap<Uuid, Stored>,
    scheduler: Scheduler<()>,
    passes: Passes,
    number: NumberId,
    now: Instant,
    last: u128,
    /// Readings that are under way, with what they saw.
    reading: Vec<Page>,
    readings: usize,
    /// Rows that readings looked at.
    looked_at: usize,
    flying: Vec<Admission<()>>,
    sent: Vec<(LaneId, Uuid)>,
}

// === impl World ===

impl World {
    fn new() -> Self {
        let mut world = Self {
            table: BTreeMap::new(),
            scheduler: Scheduler::new(LIMITS),
            passes: Passes::default(),
            number: Arc::from("1"),
            now: Instant::now(),
            last: 0,
            reading: Vec::new(),
            readings: 0,
            looked_at: 0,
            flying: Vec::new(),
            sent: Vec::new(),
        };
        world.own(1);
        world
    }

    fn own(&mut self, epoch: i64) {
        self.scheduler.disown("1");
        self.flying.clear();
        self.scheduler = Scheduler::new(LIMITS);
        self.scheduler.own(&self.number, epoch, true);
        self.passes.add(&self.number, epoch, INTERVAL, self.now);
    }

    /// Stores a message, and says so unless the hint is lost.
    fn store(&mut self, priority: i16, contact: u128, delay: Duration, hinted: bool) -> Uuid {
        self.last += 10;
        let message = Uuid::from_u128(self.last);
        let lane = LaneId {
            priority,
            contact: Uuid::from_u128(contact),
        };
        let stored = Stored {
            lane,
            ready: self.now + delay,
            held: false,
        };
        self.table.insert(message, stored);
        if hinted {
            let offer = self.offer(message);
            if self.scheduler.fresh("1", offer, self.now) == Offered::Full {
                self.passes.left("1", lane.class(), message);
            }
        }
        message
    }

    fn offer(&self, message: Uuid) -> Offer<()> {
        let stored = &self.table[&message];
        Offer {
            message,
            lane: stored.lane,
            place: message.as_u128() as i64,
            ready: stored.ready,
            scheduled: stored.ready > self.now,
            awaited: false,
            cargo: (),
        }
    }

    /// What the database would answer.
    fn look(&mut self, read: &Read) -> Vec<Row> {
        let look = &read.look;
        let mut rows = Vec::new();
        let rest = self
            .table
            .range((std::ops::Bound::Excluded(look.after), std::ops::Bound::Unbounded));
        let mut ordinal = 0;
        for (message, stored) in rest {
            if read.urgent && stored.lane.priority > URGENT {
                continue;
            }
            self.looked_at += 1;
            ordinal += 1;
            let class = stored.lane.class();
            let wanted = (look.priorities.0..=look.priorities.1).contains(&stored.lane.priority)
                && !stored.held
                && stored.ready <= self.now + Duration::from_secs_f64(look.horizon)
                && *message <= look.until[class];
            let ready_in = stored.ready.saturating_duration_since(self.now).as_secs_f64();
            if wanted && (rows.len() as i64) < look.limit {
                rows.push(row(*message, stored, ready_in, false));
            }
            if ordinal == if read.urgent { look.limit } else { look.span } {
                rows.push(row(*message, stored, ready_in, true));
                break;
            }
        }
        rows
    }

    /// Begins what is due.
    fn begin(&mut self) {
        while let Some(mut read) = self.passes.next(self.now) {
            self.readings += 1;
            (read.look.span, read.look.limit) = if read.job == Job::Fill && read.look.span == PAGE {
                (10, 10)
            } else {
                (40, 10)
            };
            let rows = self.look(&read);
            self.reading.push(Page::new(read, Ok(rows), Duration::from_millis(1)));
        }
    }

    /// Ends a reading, as the driver does.
    fn end(&mut self) {
        if self.reading.is_empty() {
            return;
        }
        let page = self.reading.remove(0);
        let mut refused = [None; CLASSES];
        for row in page.rows.as_ref().expect("rows") {
            let class = class(row.priority);
            if refused[class].is_none() && self.table.contains_key(&row.message) {
                let offer = self.offer(row.message);
                if self.scheduler.offer("1", offer, self.now) == Offered::Full {
                    refused[class] = Some(row.message);
                }
            }
        }
        if page.read.job == Job::Sweep {
            for (class, message) in refused.iter().enumerate() {
                if let Some(message) = message {
                    self.passes.left("1", class, *message);
                }
            }
        }
        for (class, all) in self.passes.read(&page, &refused, INTERVAL, self.now) {
            self.scheduler.read("1", class, all);
        }
        self.refill();
    }

    fn refill(&mut self) {
        for (class, hungry) in self.scheduler.hungry("1").into_iter().enumerate() {
            if hungry {
                self.passes.resume(&self.number, class, self.now);
            }
        }
    }

    /// Sends what can be sent.
    fn send(&mut self) {
        self.scheduler.tick(self.now);
        loop {
            while let Some(admission) = self.scheduler.next(self.now) {
                self.flying.push(admission);
            }
            let wants = self.scheduler.wants();
            if wants.is_empty() {
                break;
            }
            for want in wants {
                self.scheduler.granted(&want.number, want.tokens, None, self.now);
            }
        }
        self.scheduler.surplus();
        // The whole window of urgent messages, seven eighths of conversations, a half of campaigns.
        assert!(self.scheduler.waiting() <= LIMITS.window * 19 / 8);
    }

    /// A call comes to its end: the message is gone, or comes back later.
    fn finish(&mut self, again: Option<Duration>) {
        if self.flying.is_empty() {
            return;
        }
        let admission = self.flying.remove(0);
        let outcome = match again {
            None => {
                self.table.remove(&admission.message);
                self.sent.push((admission.lane, admission.message));
                Outcome::Ended
            }
            Some(wait) => {
                let ready = self.now + wait;
                if let Some(stored) = self.table.get_mut(&admission.message) {
                    stored.ready = ready;
                }
                Outcome::Again { ready, cargo: () }
            }
        };
        let Admission {
            number,
            lane,
            message,
            place,
            ..
        } = admission;
        self.scheduler
            .finished(&number, lane, message, place, outcome, self.now);
        self.refill();
    }

    /// One round of everything.
    fn turn(&mut self) {
        self.begin();
        while !self.reading.is_empty() {
            self.end();
        }
        self.send();
        while !self.flying.is_empty() {
            self.finish(None);
        }
    }

    /// Rounds until the table is empty or only holds what is held, or `time` has passed.
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until && self.table.values().any(|stored| !stored.held) {
            self.turn();
            self.now += Duration::from_millis(10);
        }
    }

    /// Rounds while nothing happens.
    fn rest(&mut self) {
        for _ in 0..1_000 {
            self.turn();
            self.now += Duration::from_millis(10);
        }
    }
}

fn row(message: Uuid, stored: &Stored, ready_in: f64, edge: bool) -> Row {
    Row {
        message,
        contact: stored.lane.contact,
        connection: Uuid::nil(),
        place: message.as_u128() as i64,
        epoch: 0,
        attempt: 0,
        state: 1,
        priority: stored.lane.priority,
        held: stored.held,
        ready_in,
        intent_age: None,
        expired: false,
        scheduled: false,
        edge,
    }
}

#[test]
fn a_short_queue_is_read_once_and_then_swept_now_and_then() {
    let mut world = World::new();
    for contact in 0..5 {
        world.store(NORMAL, contact, Duration::ZERO, false);
    }
    world.run(Duration::from_mins(1));
    assert_eq!((world.readings, world.sent.len()), (1, 5));
    assert_eq!(world.passes.backlogged(), 0);
    // New messages need no reading, except that of the sweep.
    world.store(NORMAL, 7, Duration::ZERO, true);
    world.turn();
    assert_eq!((world.readings, world.sent.len()), (1, 6));
    world.store(NORMAL, 8, Duration::ZERO, false);
    world.run(INTERVAL * 2);
    assert_eq!((world.readings, world.sent.len()), (2, 7), "a lost hint");
}

#[test]
fn urgent_messages_behind_a_long_backlog_are_sent_at_once_after_a_takeover_and_conversations_soon() {
    let mut world = World::new();
    for contact in 0..2_000 {
        world.store(BULK, contact, Duration::ZERO, false);
    }
    let normal = world.store(NORMAL, 5_000, Duration::ZERO, false);
    let urgent = world.store(URGENT, 5_001, Duration::ZERO, false);
    world.own(2);
    let sent = |world: &World, message| world.sent.iter().any(|(_, sent)| *sent == message);
    world.turn();
    world.turn();
    world.turn();
    assert!(sent(&world, urgent), "after the first look, the next is for it");
    let begun = world.now;
    while !sent(&world, normal) {
        world.turn();
        world.now += Duration::from_millis(10);
    }
    // Fifty strides of forty rows, and the pauses between them.
    assert!(world.now - begun < HASTE * 100, "{:?}", world.now - begun);
    assert!(world.table.len() > 1_000, "campaigns did not have to go first");
}

#[test]
fn what_stands_at_the_front_and_does_not_leave_is_passed_by_once() {
    let mut world = World::new();
    for contact in 0..1_000 {
        world.store(NORMAL, contact, Duration::from_hours(9), false);
        let held = world.store(NORMAL, contact, Duration::ZERO, false);
        world.table.get_mut(&held).expect("stored").held = true;
    }
    for contact in 0..1_000 {
        world.store(NORMAL, 5_000 + contact, Duration::ZERO, false);
    }
    world.own(2);
    let begun = world.now;
    while world.sent.len() < 1_000 {
        world.turn();
        world.now += Duration::from_millis(10);
        assert!(world.now - begun < Duration::from_mins(1), "{} sent", world.sent.len());
    }
    // Each of 3,000 rows is looked at once by the filling and once each time the sweep comes round.
    let sweeps = (world.now - begun).as_millis() / INTERVAL.as_millis() + 1;
    assert!(
        world.looked_at < 3_500 + 3_000 * sweeps as usize,
        "{} looked at",
        world.looked_at
    );
}

#[test]
fn messages_for_later_are_sent_when_their_time_comes() {
    let mut world = World::new();
    let later = Duration::from_mins(10);
    for contact in 0..500 {
        world.store(NORMAL, contact, later, contact % 2 == 0);
    }
    world.run(later.saturating_sub(Duration::from_secs(1)));
    assert_eq!(world.sent.len(), 0);
    assert!(
        world.scheduler.waiting() <= LIMITS.window / 4 + 1,
        "{} in memory",
        world.scheduler.waiting()
    );
    // Meanwhile others are not held up.
    world.store(NORMAL, 1_000, Duration::ZERO, true);
    world.turn();
    assert_eq!(world.sent.len(), 1);
    // In this world a reading gives ten.
    world.run(INTERVAL / STRIDES * 60);
    assert_eq!(world.sent.len(), 501);
}

#[test]
fn messages_that_were_parked_by_the_hundred_do_not_fill_memory() {
    let mut world = World::new();
    for contact in 0..500 {
        world.store(NORMAL, contact, Duration::ZERO, true);
    }
    for _ in 0..2_000 {
        world.begin();
        while !world.reading.is_empty() {
            world.end();
        }
        world.send();
        while !world.flying.is_empty() {
            world.finish(Some(Duration::from_mins(5)));
        }
        world.now += Duration::from_millis(10);
    }
    assert!(world.scheduler.waiting() <= LIMITS.window);
    world.run(Duration::from_mins(10));
    assert_eq!(world.sent.len(), 500);
}

#[test]
fn sweeps_of_all_numbers_together_take_little_of_the_time_and_fillings_do_not_wait_for_them() {
    let (mut passes, mut now) = (Passes::default(), Instant::now());
    let numbers: Vec<NumberId> = (0..100).map(|name| Arc::from(format!("{name}"))).collect();
    let read = |passes: &mut Passes, read: Read, now| {
        let page = Page::new(read, Ok(Vec::new()), Duration::from_millis(5));
        passes.read(&page, &[None; CLASSES], INTERVAL, now);
    };
    for number in &numbers {
        passes.add(number, 1, INTERVAL, now);
    }
    let mut fills = 0;
    while let Some(fill) = passes.next(now) {
        assert_eq!(fill.job, Job::Fill);
        read(&mut passes, fill, now);
        fills += 1;
    }
    assert_eq!(fills, 100);
    let begun = now;
    let mut sweeps = 0;
    while now - begun < Duration::from_mins(1) {
        now = passes.wake_at().expect("something is due");
        while let Some(sweep) = passes.next(now) {
            read(&mut passes, sweep, now);
            sweeps += 1;
        }
    }
    // Five milliseconds each, of which a tenth of a second follows.
    assert!((500..600).contains(&sweeps), "{sweeps} sweeps in a minute");
    // A filling goes ahead of them.
    passes.left("7", 1, Uuid::from_u128(9));
    passes.resume(&numbers[7], 1, now);
    assert_eq!(passes.next(now).map(|read| read.job), Some(Job::Fill));
}

/// What can happen.
#[derive(Debug, Clone, Copy)]
enum Step {
    Store {
        priority: i16,
        contact: u128,
        delay: u64,
        hinted: bool,
    },
    Many {
        priority: i16,
        count: u128,
    },
    Begin,
    End,
    Send,
    Finish {
        again: Option<u64>,
    },
    Wait {
        millis: u64,
    },
    Own,
}

fn step(lost: bool, retried: bool) -> impl Strategy<Value = Step> {
    let delay = prop_oneof![6 => Just(0_u64), 1 => 0..200_000_u64];
    let again = prop_oneof![4 => Just(None), 1 => (0..100_000_u64).prop_map(Some)];
    prop_oneof![
        6 => (1..=3_i16, 0..6_u128, delay, any::<bool>()).prop_map(move |(priority, contact, delay, hinted)| Step::Store {
            priority, contact, delay: if retried { delay } else { 0 }, hinted: hinted || !lost,
        }),
        1 => (1..=3_i16, 1..60_u128).prop_map(|(priority, count)| Step::Many { priority, count }),
        4 => Just(Step::Begin),
        4 => Just(Step::End),
        6 => Just(Step::Send),
        8 => again.prop_map(move |again| Step::Finish { again: again.filter(|_| retried) }),
        2 => (0..8_000_u64).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Own),
    ]
}

fn apply(world: &mut World, step: Step) {
    match step {
        Step::Store {
            priority,
            contact,
            delay,
            hinted,
        } => {
            world.store(priority, contact, Duration::from_millis(delay), hinted);
        }
        Step::Many { priority, count } => {
            for contact in 0..count {
                world.store(priority, contact, Duration::ZERO, true);
            }
        }
        Step::Begin => world.begin(),
        Step::End => world.end(),
        Step::Send => world.send(),
        Step::Finish { again } => world.finish(again.map(Duration::from_millis)),
        Step::Wait { millis } => world.now += Duration::from_millis(millis),
        Step::Own => {
            // What was on its way has come to its end before another process owns the number.
            while !world.flying.is_empty() {
                world.finish(None);
            }
            world.reading.clear();
            world.passes = Passes::default();
            world.own(2);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_message_is_sent_and_memory_is_bounded(steps in proptest::collection::vec(step(true, true), 1..150)) {
        let mut world = World::new();
        for step in steps {
            apply(&mut world, step);
        }
        world.run(Duration::from_mins(10));
        world.rest();
        prop_assert!(world.table.is_empty(), "{} messages stay behind", world.table.len());
        prop_assert_eq!(world.scheduler.waiting(), 0);
        prop_assert_eq!(world.passes.backlogged(), 0);
    }

    #[test]
    fn a_lane_keeps_its_order_however_much_of_it_is_in_the_table(steps in proptest::collection::vec(step(false, false), 1..150)) {
        let mut world = World::new();
        for step in steps {
            apply(&mut world, step);
        }
        world.run(Duration::from_mins(5));
        prop_assert!(world.table.is_empty());
        let mut last: HashMap<LaneId, Uuid> = HashMap::new();
        for (lane, message) in world.sent {
            if let Some(before) = last.insert(lane, message) {
                prop_assert!(before < message, "{lane:?}");
            }
        }
    }
}
