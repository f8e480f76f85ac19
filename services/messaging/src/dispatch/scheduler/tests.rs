use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::PairRate;

const PATIENCE: Duration = Duration::from_secs(30);

fn limits() -> Limits {
    Limits {
        calls: 16,
        window: 8_192,
        messages: 100_000,
        patience: PATIENCE,
        pair: PairRate::OFF,
    }
}

fn number(name: usize) -> NumberId {
    Arc::from(format!("{name}"))
}

fn lane(contact: u128) -> LaneId {
    LaneId {
        priority: NORMAL,
        contact: Uuid::from_u128(contact),
    }
}

fn offer(place: i64, lane: LaneId, ready: Instant) -> Offer<()> {
    Offer {
        message: Uuid::from_u128(1 << 64 | place as u128),
        lane,
        place,
        ready,
        scheduled: false,
        awaited: true,
        cargo: (),
    }
}

/// Grants every token that is asked for.
fn pump(scheduler: &mut Scheduler<()>, now: Instant) -> Vec<Admission<()>> {
    let mut sent = Vec::new();
    loop {
        while let Some(admission) = scheduler.next(now) {
            sent.push(admission);
        }
        let wants = scheduler.wants();
        if wants.is_empty() {
            return sent;
        }
        for want in wants {
            scheduler.granted(&want.number, want.tokens, None, now);
        }
    }
}

/// Sends one message, with a token of its own.
fn admit(scheduler: &mut Scheduler<()>, now: Instant) -> Option<Admission<()>> {
    loop {
        if let Some(admission) = scheduler.next(now) {
            return Some(admission);
        }
        let wants = scheduler.wants();
        if wants.is_empty() {
            return None;
        }
        for want in wants {
            scheduler.granted(&want.number, 1, None, now);
        }
    }
}

fn finish(scheduler: &mut Scheduler<()>, sent: &Admission<()>, outcome: Outcome<()>, now: Instant) {
    scheduler.finished(&sent.number, sent.lane, sent.message, sent.place, outcome, now);
}

fn owned(names: impl IntoIterator<Item = usize>) -> Scheduler<()> {
    let mut scheduler = Scheduler::new(limits());
    for name in names {
        scheduler.own(&number(name), 1, true);
    }
    scheduler
}

#[test]
fn a_lane_sends_one_at_a_time_in_the_order_of_acceptance() {
    let now = Instant::now();
    let mut scheduler = owned([1]);
    for place in [3, 1, 2] {
        scheduler.offer("1", offer(place, lane(1), now), now);
    }
    for place in 1..=3 {
        let sent = pump(&mut scheduler, now);
        assert_eq!(sent.iter().map(|sent| sent.place).collect::<Vec<_>>(), [place]);
        finish(&mut scheduler, &sent[0], Outcome::Ended, now);
    }
    assert!(pump(&mut scheduler, now).is_empty());
    assert_eq!((scheduler.waiting(), scheduler.in_flight()), (0, 0));
}

#[test]
fn a_head_that_waits_is_stepped_over_after_thirty_seconds_and_goes_first_when_it_is_ready() {
    let now = Instant::now();
    let mut scheduler = owned([1]);
    scheduler.offer("1", offer(1, lane(1), now + Duration::from_mins(5)), now);
    scheduler.offer("1", offer(2, lane(1), now), now);
    scheduler.offer("1", offer(3, lane(1), now), now);
    assert!(pump(&mut scheduler, now).is_empty());

    let almost = now + Duration::from_millis(29_999);
    scheduler.tick(almost);
    assert!(pump(&mut scheduler, almost).is_empty());
    assert_eq!(scheduler.wake_at(), Some(now + PATIENCE));

    let over = now + PATIENCE;
    scheduler.tick(over);
    let sent = pump(&mut scheduler, over);
    assert_eq!(sent[0].place, 2);
    // By the time the second has ended, the first is ready: it goes before the third.
    let ready = now + Duration::from_mins(5);
    scheduler.tick(ready);
    finish(&mut scheduler, &sent[0], Outcome::Ended, ready);
    assert_eq!(pump(&mut scheduler, ready)[0].place, 1);
}

#[test]
fn a_message_for_a_later_time_holds_nobody_up_and_goes_first_when_its_time_comes() {
    let now = Instant::now();
    let mut scheduler = owned([1]);
    let (sooner, later) = (now + Duration::from_millis(3_599_997), now + Duration::from_hours(1));
    let planned = |ready| Offer {
        scheduled: true,
        ..offer(1, lane(1), ready)
    };
    scheduler.offer("1", planned(later), now);
    scheduler.offer("1", offer(2, lane(1), now), now);
    let sent = pump(&mut scheduler, now);
    assert_eq!(sent[0].place, 2);
    finish(&mut scheduler, &sent[0], Outcome::Ended, now);
    // Read again by the scan, a moment sooner: it stays aside.
    scheduler.offer("1", planned(sooner), now);
    scheduler.offer("1", offer(3, lane(1), now), now);
    let sent = pump(&mut scheduler, now);
    assert_eq!(sent[0].place, 3);
    finish(&mut scheduler, &sent[0], Outcome::Ended, now);
    assert_eq!(scheduler.waiting(), 1);
    scheduler.tick(later);
    scheduler.offer("1", offer(4, lane(1), later), later);
    assert_eq!(pump(&mut scheduler, later)[0].place, 1);
}

#[test]
fn a_withdrawn_message_is_forgotten_wherever_it_waits() {
    let now = Instant::now();
    let mut scheduler = owned([1]);
    let later = now + Duration::from_hours(1);
    for place in 1..=3 {
        scheduler.offer("1", offer(place, lane(1), now), now);
    }
    scheduler.offer(
        "1",
        Offer {
            scheduled: true,
            ..offer(4, lane(1), later)
        },
        now,
    );
    let message = |place: i64| offer(place, lane(1), now).message;
    // The head, one behind it, and one that stands aside.
    for place in [1, 3, 4] {
        scheduler.withdraw("1", message(place), now);
        scheduler.withdraw("1", message(place), now);
    }
    assert_eq!(scheduler.waiting(), 1);
    let sent = pump(&mut scheduler, now);
    assert_eq!(sent.iter().map(|sent| sent.place).collect::<Vec<_>>(), [2]);
    // One that is on its way comes to its end.
    scheduler.withdraw("1", message(2), now);
    assert!(scheduler.flies("1", message(2)));
    finish(&mut scheduler, &sent[0], Outcome::Ended, now);
    scheduler.tick(later);
    assert!(pump(&mut scheduler, later).is_empty());
    assert_eq!((scheduler.waiting(), scheduler.in_flight()), (0, 0));
}

#[test]
fn a_token_that_was_not_needed_serves_the_next_message_or_is_given_back() {
    let now = Instant::now();
    let mut scheduler = owned([1]);
    for place in 1..=2 {
        scheduler.offer("1", offer(place, lane(place as u128), now), now);
    }
    let next = |scheduler: &mut Scheduler<()>| scheduler.next(now);
    assert!(next(&mut scheduler).is_none());
    let wants = scheduler.wants();
    assert_eq!(wants.len(), 1);
    scheduler.granted("1", 1, Some(now + Duration::from_secs(1)), now);
    let first = next(&mut scheduler).expect("one token");
    assert!(next(&mut scheduler).is_none(), "there is no second");
    finish(&mut scheduler, &first, Outcome::Ended, now);
    scheduler.refund("1");
    let second = next(&mut scheduler).expect("the same token");
    finish(&mut scheduler, &second, Outcome::Ended, now);
    scheduler.refund("1");
    assert_eq!(
        scheduler.surplus(),
        [Want {
            number: number(1),
            tokens: 1
        }]
    );
    scheduler.disown("1");
    scheduler.refund("1");
    assert!(scheduler.surplus().is_empty());
}

#[test]
fn an_unknown_outcome_blocks_its_lane_for_a_while_and_no_other() {
    let now = Instant::now();
    let mut scheduler = owned([1]);
    scheduler.offer("1", offer(1, lane(1), now), now);
    scheduler.offer("1", offer(2, lane(1), now), now);
    scheduler.offer("1", offer(3, lane(2), now), now);
    let sent = pump(&mut scheduler, now);
    assert_eq!(sent.len(), 2);
    finish(
        &mut scheduler,
        &sent[0],
        Outcome::Unknown { until: now + PATIENCE },
        now,
    );
    finish(&mut scheduler, &sent[1], Outcome::Ended, now);
    assert!(pump(&mut scheduler, now).is_empty());
    scheduler.tick(now + PATIENCE);
    assert_eq!(pump(&mut scheduler, now + PATIENCE)[0].place, 2);
}

#[test]
fn callers_wait_only_for_what_is_about_to_be_sent() {
    let now = Instant::now();
    let mut scheduler = owned([1, 2]);
    let (first, behind, later) = (
        offer(1, lane(1), now),
        offer(2, lane(1), now),
        offer(3, lane(2), now + PATIENCE),
    );
    let (behind_id, later_id) = (behind.message, later.message);
    scheduler.offer("1", first, now);
    assert!(scheduler.stalled().is_empty());
    scheduler.offer("1", behind, now);
    scheduler.offer("1", later, now);
    assert_eq!(scheduler.stalled(), [behind_id, later_id]);

    // Too few tokens for long: whoever waits is told, and so is who comes later.
    scheduler.rate("2", 10);
    let mut waiting = HashSet::new();
    for place in 10..20 {
        let offer = offer(place, lane(place as u128), now);
        waiting.insert(offer.message);
        scheduler.offer("2", offer, now);
    }
    assert!(scheduler.next(now).is_none());
    for want in scheduler.wants() {
        let granted = if &*want.number == "2" { 3 } else { want.tokens };
        scheduler.granted(
            &want.number,
            granted,
            (granted < want.tokens).then_some(now + Duration::from_secs(1)),
            now,
        );
    }
    let mut sent = HashSet::new();
    while let Some(admission) = scheduler.next(now) {
        sent.insert(admission.message);
    }
    assert_eq!(sent.len(), 4);
    assert_eq!(
        scheduler.stalled().into_iter().collect::<HashSet<_>>(),
        waiting.difference(&sent).copied().collect()
    );
    let late = offer(30, lane(30), now);
    let latecomer = late.message;
    scheduler.offer("2", late, now);
    assert_eq!(scheduler.stalled(), [latecomer]);

    // At a hundred a second the same eight are sent soon.
    scheduler.rate("2", 100);
    scheduler.offer("2", offer(31, lane(31), now), now);
    assert!(scheduler.stalled().is_empty());
}

#[test]
fn thousands_waiting_on_one_number_delay_no_other() {
    let now = Instant::now();
    let mut scheduler = owned([1, 2]);
    for place in 0..5_000 {
        scheduler.offer("1", offer(place, lane(place as u128), now), now);
    }
    let backlog = pump(&mut scheduler, now);
    assert_eq!(backlog.len(), 14, "the last eighth of the slots is kept");
    scheduler.offer("2", offer(9_000, lane(1), now), now);
    let sent = pump(&mut scheduler, now);
    assert_eq!(&*sent[0].number, "2");
    // While the other has work, the first gets no more than half.
    for place in 9_001..9_100 {
        scheduler.offer("2", offer(place, lane(place as u128), now), now);
    }
    for call in &backlog {
        finish(&mut scheduler, call, Outcome::Ended, now);
    }
    let mut counts = HashMap::new();
    for call in pump(&mut scheduler, now) {
        *counts.entry(call.number.to_string()).or_insert(0) += 1;
    }
    assert_eq!(counts, HashMap::from([("1".to_owned(), 8), ("2".to_owned(), 7)]));
}

#[test]
fn a_number_without_tokens_costs_nothing_until_there_are_some() {
    let now = Instant::now();
    let mut scheduler = owned([1]);
    for place in 0..100 {
        scheduler.offer("1", offer(place, lane(place as u128), now), now);
    }
    assert!(scheduler.next(now).is_none());
    let want = scheduler.wants();
    assert_eq!(
        want,
        [Want {
            number: number(1),
            tokens: 16
        }]
    );
    assert!(scheduler.wants().is_empty(), "asked for once");
    let more = now + Duration::from_millis(100);
    scheduler.granted("1", 0, Some(more), now);
    assert!(scheduler.next(now).is_none() && scheduler.wants().is_empty());
    assert_eq!(scheduler.wake_at(), Some(more));
    scheduler.tick(more);
    assert!(scheduler.next(more).is_none());
    assert_eq!(scheduler.wants().len(), 1);
}

#[test]
fn tokens_that_are_not_needed_are_given_back() {
    let now = Instant::now();
    let mut scheduler = owned([1]);
    scheduler.offer("1", offer(1, lane(1), now), now);
    assert!(scheduler.next(now).is_none());
    assert_eq!(scheduler.wants()[0].tokens, 1);
    scheduler.granted("1", 5, None, now);
    assert!(scheduler.next(now).is_some());
    assert_eq!(
        scheduler.surplus(),
        [Want {
            number: number(1),
            tokens: 4
        }]
    );

    scheduler.offer("1", offer(2, lane(2), now), now);
    assert!(scheduler.next(now).is_none());
    scheduler.wants();
    scheduler.disown("1");
    scheduler.granted("1", 1, None, now);
    assert_eq!(
        scheduler.surplus(),
        [Want {
            number: number(1),
            tokens: 1
        }]
    );
}

#[test]
fn a_braked_number_waits_and_then_probes() {
    let now = Instant::now();
    let mut scheduler = owned([1]);
    for place in 0..10 {
        scheduler.offer("1", offer(place, lane(place as u128), now), now);
    }
    let until = now + Duration::from_secs(5);
    scheduler.brake("1", until, true);
    assert_eq!(scheduler.stalled().len(), 10);
    assert!(pump(&mut scheduler, now).is_empty());
    scheduler.tick(until);
    let probe = pump(&mut scheduler, until);
    assert_eq!(probe.len(), 1);
    finish(&mut scheduler, &probe[0], Outcome::Ended, until);
    assert_eq!(pump(&mut scheduler, until).len(), 1);
    scheduler.calm("1");
    assert_eq!(pump(&mut scheduler, until).len(), 8);
}

#[test]
fn a_number_that_is_closed_or_lost_sends_nothing() {
    let now = Instant::now();
    let mut scheduler = owned([1]);
    scheduler.offer("1", offer(1, lane(1), now), now);
    scheduler.open("1", false);
    assert!(pump(&mut scheduler, now).is_empty());
    scheduler.open("1", true);
    let sent = pump(&mut scheduler, now);
    scheduler.offer("1", offer(2, lane(2), now), now);
    scheduler.disown("1");
    assert!(scheduler.busy("1") && scheduler.flies("1", sent[0].message));
    assert!(pump(&mut scheduler, now).is_empty());
    assert_eq!(scheduler.offer("1", offer(3, lane(3), now), now), Offered::Foreign);
    finish(&mut scheduler, &sent[0], Outcome::Again { ready: now, cargo: () }, now);
    assert_eq!(
        (scheduler.waiting(), scheduler.in_flight(), scheduler.epoch("1")),
        (0, 0, None)
    );
    scheduler.own(&number(1), 2, true);
    scheduler.offer("1", offer(2, lane(2), now), now);
    assert_eq!(pump(&mut scheduler, now)[0].epoch, 2);
}

#[test]
fn the_window_is_bounded_and_what_waits_makes_room_for_what_can_go() {
    let now = Instant::now();
    let mut scheduler = Scheduler::new(Limits { window: 8, ..limits() });
    scheduler.own(&number(1), 1, true);
    let later = now + Duration::from_hours(1);
    // What cannot go takes a quarter at most.
    let offered: Vec<_> = (0..3)
        .map(|place| scheduler.offer("1", offer(place, lane(place as u128), later), now))
        .collect();
    assert_eq!(offered, [Offered::Taken, Offered::Taken, Offered::Later]);
    for place in 10..15 {
        assert_eq!(
            scheduler.offer("1", offer(place, lane(place as u128), now), now),
            Offered::Taken
        );
    }
    assert_eq!(scheduler.offer("1", offer(20, lane(20), now), now), Offered::Full);
    let over = now + PATIENCE;
    scheduler.tick(over);
    assert_eq!(scheduler.offer("1", offer(20, lane(20), now), over), Offered::Taken);
    assert_eq!(scheduler.offer("1", offer(20, lane(20), now), over), Offered::Known);
    assert_eq!(scheduler.waiting(), 7);
    assert_eq!(scheduler.hungry("1"), [false; 3]);
}

#[test]
fn what_is_new_waits_behind_what_is_in_the_table() {
    let now = Instant::now();
    let mut scheduler = Scheduler::new(Limits { window: 8, ..limits() });
    scheduler.own(&number(1), 1, true);
    let unread = offer(1, lane(1), now);
    let first = unread.message;
    assert_eq!(scheduler.fresh("1", unread.clone(), now), Offered::Full);
    assert!(scheduler.stalled().is_empty(), "the first reading will tell");
    scheduler.offer("1", unread, now);
    scheduler.read("1", 1, true);
    assert_eq!(scheduler.fresh("1", offer(2, lane(2), now), now), Offered::Taken);
    assert!(scheduler.stalled().is_empty(), "both are about to be sent");

    for place in 3..8 {
        scheduler.fresh("1", offer(place, lane(place as u128), now), now);
    }
    assert_eq!(scheduler.fresh("1", offer(8, lane(8), now), now), Offered::Full);
    assert_eq!(scheduler.stalled().len(), 1);
    // Even when there is room again: others came before it.
    let sent = pump(&mut scheduler, now);
    assert!(sent.iter().any(|sent| sent.message == first));
    assert_eq!(scheduler.fresh("1", offer(9, lane(8), now), now), Offered::Full);
    assert_eq!(scheduler.stalled().len(), 1);
    assert_eq!(scheduler.hungry("1"), [false, true, false]);
    assert_eq!(scheduler.offer("1", offer(8, lane(8), now), now), Offered::Taken);
    // Another class is not concerned.
    scheduler.read("1", 0, true);
    let urgent = LaneId {
        priority: URGENT,
        ..lane(8)
    };
    assert_eq!(scheduler.fresh("1", offer(10, urgent, now), now), Offered::Taken);
}

#[test]
fn urgent_messages_pass_and_the_others_still_get_their_turn() {
    let now = Instant::now();
    let mut scheduler = Scheduler::new(Limits { calls: 1, ..limits() });
    scheduler.own(&number(1), 1, true);
    for place in 0..50 {
        let priority = if place % 2 == 0 { 0 } else { 2 };
        let lane = LaneId {
            priority,
            contact: Uuid::from_u128(place as u128),
        };
        scheduler.offer("1", offer(place, lane, now), now);
    }
    let mut order = Vec::new();
    for _ in 0..20 {
        let sent = pump(&mut scheduler, now);
        order.push(sent[0].lane.priority);
        finish(&mut scheduler, &sent[0], Outcome::Ended, now);
    }
    assert_eq!(order.iter().filter(|priority| **priority == 2).count(), 4);
}

fn of(priority: i16, contact: u128) -> LaneId {
    LaneId {
        priority,
        ..lane(contact)
    }
}

#[test]
fn calls_that_hang_leave_slots_to_higher_classes() {
    let now = Instant::now();
    let mut scheduler = owned([1, 2]);
    let mut place = 0;
    let mut send = |scheduler: &mut Scheduler<()>, number: &str, priority| {
        for _ in 0..20 {
            place += 1;
            scheduler.offer(number, offer(place, of(priority, place as u128), now), now);
        }
        pump(scheduler, now)
    };
    let bulk = send(&mut scheduler, "1", BULK);
    assert_eq!(bulk.len(), 13);
    assert_eq!(send(&mut scheduler, "1", NORMAL).len(), 1, "its share is fourteen");
    assert_eq!(
        send(&mut scheduler, "2", BULK).len(),
        1,
        "campaigns have all that they may have"
    );
    assert_eq!(send(&mut scheduler, "1", URGENT).len(), 1, "the last slot");
    // Whoever waits gets what comes free: one-time codes and the other number, not the campaign that had it.
    for call in &bulk[..3] {
        finish(&mut scheduler, call, Outcome::Ended, now);
    }
    let sent: Vec<_> = pump(&mut scheduler, now)
        .iter()
        .map(|sent| (sent.number.to_string(), sent.lane.priority))
        .collect();
    assert_eq!(sent.len(), 3);
    assert_eq!(sent[0], ("1".to_owned(), URGENT));
    assert!(sent.iter().any(|(number, _)| number == "2"), "{sent:?}");
    assert!(!sent.contains(&("1".to_owned(), BULK)), "{sent:?}");
}

#[test]
fn campaigns_that_wait_for_slots_all_get_their_turn() {
    let now = Instant::now();
    let mut scheduler = owned(1..=40);
    for name in 1..=40_i64 {
        for place in 0..5 {
            let lane = of(BULK, (name * 100 + place) as u128);
            scheduler.offer(&name.to_string(), offer(name * 100 + place, lane, now), now);
        }
    }
    let mut flying = pump(&mut scheduler, now);
    assert_eq!(flying.len(), 14);
    let mut order = Vec::new();
    while !flying.is_empty() {
        let call = flying.remove(0);
        order.push(call.number.to_string());
        finish(&mut scheduler, &call, Outcome::Ended, now);
        flying.extend(pump(&mut scheduler, now));
    }
    assert_eq!(order.len(), 200);
    let first: HashSet<_> = order[..60].iter().collect();
    assert_eq!(first.len(), 40, "numbers take turns");
}

#[test]
fn one_user_is_written_to_at_the_pairs_rate_over_all_lanes_and_others_are_not_held_up() {
    let now = Instant::now();
    let pair = PairRate {
        interval: Duration::from_secs(6),
        burst: 2,
    };
    let mut scheduler = Scheduler::new(Limits { pair, ..limits() });
    scheduler.own(&number(1), 1, true);
    for place in 0..2 {
        scheduler.offer("1", offer(place, of(NORMAL, 1), now), now);
        scheduler.offer("1", offer(10 + place, of(URGENT, 1), now), now);
    }
    scheduler.offer("1", offer(20, lane(2), now), now);
    let sent = pump(&mut scheduler, now);
    let places = |sent: &[Admission<()>]| sent.iter().map(|sent| sent.place).collect::<Vec<_>>();
    assert_eq!(places(&sent), [10, 0, 20], "a burst of two, and another user");
    for call in &sent {
        finish(&mut scheduler, call, Outcome::Ended, now);
    }
    assert!(pump(&mut scheduler, now).is_empty());
    assert!(scheduler.held_up() > 0);
    // Whoever waits for one of the user's messages is told at once.
    scheduler.stalled();
    scheduler.offer("1", offer(30, of(BULK, 1), now), now);
    assert_eq!(scheduler.stalled().len(), 1);

    let mut at = now;
    let mut order = Vec::new();
    while order.len() < 3 {
        at = scheduler.wake_at().expect("an alarm");
        scheduler.tick(at);
        let sent = pump(&mut scheduler, at);
        for call in &sent {
            finish(&mut scheduler, call, Outcome::Ended, at);
        }
        order.extend(places(&sent));
    }
    assert_eq!(order.len(), 3, "{order:?}");
    assert_eq!(order[0], 11, "urgent ones first");
    assert!(at - now < Duration::from_secs(26), "{:?}", at - now);
}

#[test]
fn a_number_whose_campaigns_pause_sends_the_rest() {
    let now = Instant::now();
    let mut scheduler = owned([1]);
    for place in 0..4 {
        scheduler.offer("1", offer(place, of(BULK, place as u128), now), now);
    }
    let until = now + Duration::from_hours(1);
    assert!(scheduler.stalled().is_empty());
    scheduler.offer("1", offer(10, lane(10), now), now);
    scheduler.brake_bulk("1", until);
    assert_eq!(scheduler.stalled().len(), 4, "their callers need not wait");
    let sent = pump(&mut scheduler, now);
    assert_eq!(sent.iter().map(|sent| sent.place).collect::<Vec<_>>(), [10]);
    scheduler.tick(until);
    assert_eq!(pump(&mut scheduler, until).len(), 4);
}

#[test]
fn nobody_waits_while_everything_is_halted() {
    let now = Instant::now();
    let mut scheduler = owned([1]);
    scheduler.offer("1", offer(1, lane(1), now), now);
    assert!(scheduler.stalled().is_empty());
    scheduler.halt(true);
    assert_eq!(scheduler.stalled().len(), 1);
    scheduler.offer("1", offer(2, lane(2), now), now);
    assert_eq!(scheduler.stalled().len(), 1);
    scheduler.halt(false);
    scheduler.offer("1", offer(3, lane(3), now), now);
    assert!(scheduler.stalled().is_empty());
}

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
        assert!(self.flying.len() <= 16);
        assert_eq!(self.flying.len(), self.scheduler.in_flight());
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
            Step::Finish { pick, outcome } => {
                if !self.flying.is_empty() {
                    let sent = self.flying.swap_remove(pick % self.flying.len());
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
                    finish(&mut self.scheduler, &sent, outcome, self.now);
                    if free {
                        // A number that is forgotten has no tokens.
                        let known = self.scheduler.numbers.contains_key(&sent.number);
                        *self.tokens.entry(sent.number.to_string()).or_default() += i64::from(known);
                        self.scheduler.refund(&sent.number);
                    }
                }
            }
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
        let mut world = World { scheduler, now: Instant::now(), flying: Vec::new(), tokens: HashMap::new(), sent: HashMap::new() };
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
