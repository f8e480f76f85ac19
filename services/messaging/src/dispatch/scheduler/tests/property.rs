//! Whatever happens.

use proptest::prelude::*;

use super::*;

/// What can happen to a scheduler.
#[derive(Debug, Clone, Copy)]
enum Step {
    Offer {
        number: usize,
        priority: i16,
        lane: u128,
        place: i64,
        delay: u64,
        scheduled: bool,
    },
    Withdraw {
        number: usize,
        priority: i16,
        lane: u128,
        place: i64,
    },
    Grant {
        share: u32,
    },
    Answer {
        pick: usize,
    },
    Finish {
        pick: usize,
        outcome: u8,
    },
    Wait {
        millis: u64,
    },
    Own {
        number: usize,
        owned: bool,
    },
    Brake {
        number: usize,
        millis: u64,
        probe: bool,
    },
    Block {
        number: usize,
        lane: u128,
        millis: u64,
    },
    Open {
        number: usize,
        open: bool,
    },
    BrakeBulk {
        number: usize,
        millis: u64,
    },
    HoldUp {
        number: usize,
        contact: u128,
        millis: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3_usize, 1..=3_i16, 0..4_u128, 0..60_i64, prop_oneof![Just(0_u64), 0..60_000_u64], any::<bool>())
            .prop_map(|(number, priority, lane, place, delay, scheduled)| Step::Offer { number, priority, lane, place, delay, scheduled }),
        2 => (0..3_usize, 1..=3_i16, 0..4_u128, 0..60_i64)
            .prop_map(|(number, priority, lane, place)| Step::Withdraw { number, priority, lane, place }),
        6 => (0..4_u32).prop_map(|share| Step::Grant { share }),
        3 => any::<usize>().prop_map(|pick| Step::Answer { pick }),
        6 => (any::<usize>(), 0..6_u8).prop_map(|(pick, outcome)| Step::Finish { pick, outcome }),
        3 => (0..40_000_u64).prop_map(|millis| Step::Wait { millis }),
        1 => (0..3_usize, any::<bool>()).prop_map(|(number, owned)| Step::Own { number, owned }),
        1 => (0..3_usize, 0..10_000_u64, any::<bool>()).prop_map(|(number, millis, probe)| Step::Brake { number, millis, probe }),
        1 => (0..3_usize, 0..4_u128, 0..30_000_u64).prop_map(|(number, lane, millis)| Step::Block { number, lane, millis }),
        1 => (0..3_usize, any::<bool>()).prop_map(|(number, open)| Step::Open { number, open }),
        1 => (0..3_usize, 0..10_000_u64).prop_map(|(number, millis)| Step::BrakeBulk { number, millis }),
        1 => (0..3_usize, 0..4_u128, 0..30_000_u64).prop_map(|(number, contact, millis)| Step::HoldUp { number, contact, millis }),
    ]
}

/// A message keeps its lane and number.
fn message(number: usize, priority: i16, contact: u128, place: i64) -> Uuid {
    Uuid::from_u128((number as u128) << 96 | (priority as u128) << 80 | contact << 64 | place as u128)
}

/// Runs steps and checks what must hold at every moment.
struct World {
    scheduler: Scheduler<()>,
    now: Instant,
    flying: Vec<Admission<()>>,
    /// Those among them that Meta has answered.
    answered: HashSet<Uuid>,
    tokens: HashMap<String, i64>,
    /// When each user was written to from each number since its owner came to it.
    sent: HashMap<(String, Uuid), Vec<Instant>>,
}

const PAIR: PairRate = PairRate {
    interval: Duration::from_secs(6),
    burst: 5,
};

impl World {
    fn take(&mut self) {
        while let Some(admission) = self.scheduler.next(self.now) {
            *self.tokens.entry(admission.number.to_string()).or_default() -= 1;
            assert!(
                !self.flying.iter().any(|other| other.number == admission.number
                    && (other.lane == admission.lane || other.message == admission.message)),
                "one at a time in a lane"
            );
            let sent = self
                .sent
                .entry((admission.number.to_string(), admission.lane.contact))
                .or_default();
            for (before, at) in sent.iter().rev().enumerate() {
                let elapsed = self.now.duration_since(*at).as_secs() / PAIR.interval.as_secs();
                assert!(
                    (before as u64) < u64::from(PAIR.burst) + elapsed,
                    "too many to one user"
                );
            }
            sent.push(self.now);
            self.flying.push(admission);
        }
        for surplus in self.scheduler.surplus() {
            *self.tokens.entry(surplus.number.to_string()).or_default() -= i64::from(surplus.tokens);
        }
        assert!(
            self.tokens.values().all(|tokens| *tokens >= 0),
            "nothing is sent without a token: {:?}",
            self.tokens
        );
        let calling = self
            .flying
            .iter()
            .filter(|sent| !self.answered.contains(&sent.message))
            .count();
        assert!(calling <= 16 && self.flying.len() <= 64);
        assert_eq!(
            (calling, self.flying.len()),
            (self.scheduler.calling, self.scheduler.in_flight())
        );
    }

    fn finish(&mut self, pick: usize, outcome: u8) {
        if self.flying.is_empty() {
            return;
        }
        let sent = self.flying.swap_remove(pick % self.flying.len());
        self.answered.remove(&sent.message);
        let free = outcome == 3;
        let outcome = match outcome {
            0 => Outcome::Again {
                ready: self.now + Duration::from_secs(45),
                cargo: (),
            },
            1 => Outcome::Again {
                ready: self.now,
                cargo: (),
            },
            2 => Outcome::Unknown {
                until: self.now + PATIENCE,
            },
            _ => Outcome::Ended,
        };
        self.scheduler.calm(&sent.number);
        let since = finish(&mut self.scheduler, &sent, outcome, self.now);
        if let (true, Some(since)) = (free, since) {
            // A number that is forgotten has no tokens.
            let known = self.scheduler.numbers.contains_key(&sent.number);
            *self.tokens.entry(sent.number.to_string()).or_default() += i64::from(known);
            self.scheduler.refund(&sent.number, sent.lane.contact, since);
            let sends = self
                .sent
                .entry((sent.number.to_string(), sent.lane.contact))
                .or_default();
            if let Some(place) = sends.iter().position(|at| *at == since) {
                sends.remove(place);
            }
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Offer {
                number,
                priority,
                lane: contact,
                place,
                delay,
                scheduled,
            } => {
                let mut offer = offer(place, of(priority, contact), self.now + Duration::from_millis(delay));
                offer.message = message(number, priority, contact, place);
                offer.scheduled = scheduled;
                self.scheduler.offer(&number.to_string(), offer, self.now);
            }
            Step::Withdraw {
                number,
                priority,
                lane: contact,
                place,
            } => {
                let message = message(number, priority, contact, place);
                self.scheduler.withdraw(&number.to_string(), message, self.now);
            }
            Step::Grant { share } => {
                for want in self.scheduler.wants() {
                    let tokens = want.tokens * share / 3;
                    *self.tokens.entry(want.number.to_string()).or_default() += i64::from(tokens);
                    let more = (tokens < want.tokens).then_some(self.now + Duration::from_millis(50));
                    self.scheduler.granted(&want.number, tokens, more, self.now);
                }
            }
            Step::Answer { pick } => {
                if let Some(sent) = self.flying.get(pick % self.flying.len().max(1)) {
                    self.scheduler.answered(&sent.number, sent.message);
                    self.answered.insert(sent.message);
                }
            }
            Step::Finish { pick, outcome } => self.finish(pick, outcome),
            Step::Wait { millis } => self.now += Duration::from_millis(millis),
            Step::Own {
                number: name,
                owned: true,
            } => self.scheduler.own(&number(name), 1, true),
            Step::Own { number, owned: false } => {
                self.scheduler.disown(&number.to_string());
                self.sent.retain(|(name, _), _| *name != number.to_string());
            }
            Step::Brake { number, millis, probe } => {
                self.scheduler
                    .brake(&number.to_string(), self.now + Duration::from_millis(millis), probe);
            }
            Step::Block {
                number,
                lane: contact,
                millis,
            } => {
                self.scheduler.block(
                    &number.to_string(),
                    lane(contact),
                    self.now + Duration::from_millis(millis),
                    self.now,
                );
            }
            Step::Open { number, open } => self.scheduler.open(&number.to_string(), open),
            Step::BrakeBulk { number, millis } => {
                self.scheduler
                    .brake_bulk(&number.to_string(), self.now + Duration::from_millis(millis));
            }
            Step::HoldUp {
                number,
                contact,
                millis,
            } => {
                let until = self.now + Duration::from_millis(millis);
                self.scheduler
                    .hold_up(&number.to_string(), Uuid::from_u128(contact), until, self.now);
            }
        }
        self.scheduler.tick(self.now);
        self.take();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_sent_twice_at_a_time_or_without_a_token_and_nothing_stays_behind(steps in proptest::collection::vec(step(), 1..200)) {
        let mut scheduler = Scheduler::new(Limits { pair: PAIR, ..limits() });
        for name in 0..3 {
            scheduler.own(&number(name), 1, true);
        }
        let mut world = World { scheduler, now: Instant::now(), flying: Vec::new(), answered: HashSet::new(), tokens: HashMap::new(), sent: HashMap::new() };
        for step in steps {
            world.run(step);
        }
        // Then everything is well again, and all that was taken in is sent.
        for name in 0..3 {
            world.scheduler.own(&number(name), 2, true);
            world.scheduler.open(&name.to_string(), true);
        }
        for _ in 0..2_000 {
            if world.scheduler.waiting() == 0 && world.flying.is_empty() {
                break;
            }
            world.run(Step::Wait { millis: 1_000 });
            world.run(Step::Grant { share: 3 });
            world.run(Step::Finish { pick: 0, outcome: 5 });
        }
        prop_assert_eq!(world.scheduler.waiting(), 0);
        prop_assert!(world.flying.is_empty());
        // Every token was used or given back.
        prop_assert!(world.tokens.values().all(|tokens| *tokens == 0), "{:?}", world.tokens);
    }

    #[test]
    fn a_one_time_code_waits_for_one_turn_at_most_whatever_campaigns_wait(before in 0..40_usize, campaigns in 0..300_u128, others in 1..4_usize) {
        let now = Instant::now();
        let mut scheduler = Scheduler::new(Limits { calls: 8, ..limits() });
        for name in 0..others {
            scheduler.own(&number(name), 1, true);
            for contact in 0..campaigns {
                let place = (name * 1_000) as i64 + contact as i64;
                scheduler.offer(&name.to_string(), offer(place, of(BULK, contact), now), now);
            }
        }
        // Some campaigns go, so that it may be anybody's turn.
        for _ in 0..before {
            if let Some(sent) = admit(&mut scheduler, now) {
                finish(&mut scheduler, &sent, Outcome::Ended, now);
            }
        }
        let code = offer(9_999, of(URGENT, 7_777), now);
        let message = code.message;
        scheduler.offer("0", code, now);
        let mut turns = 0;
        while let Some(sent) = admit(&mut scheduler, now) {
            if &*sent.number == "0" {
                turns += 1;
            }
            if sent.message == message {
                prop_assert!(turns <= 2, "{turns} turns of its number");
                return Ok(());
            }
            finish(&mut scheduler, &sent, Outcome::Ended, now);
        }
        prop_assert!(false, "it was not sent");
    }
}
