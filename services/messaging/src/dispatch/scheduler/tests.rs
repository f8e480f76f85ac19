mod classes;
mod property;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

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

fn finish(scheduler: &mut Scheduler<()>, sent: &Admission<()>, outcome: Outcome<()>, now: Instant) -> Option<Instant> {
    scheduler.finished(&sent.number, sent.lane, sent.message, sent.place, outcome, now)
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
fn an_answered_message_leaves_its_slot_to_the_next_and_its_lane_waits_until_that_is_recorded() {
    let now = Instant::now();
    let mut scheduler = Scheduler::new(Limits { calls: 2, ..limits() });
    scheduler.own(&number(1), 1, true);
    for contact in 0..20 {
        scheduler.offer("1", offer(contact, lane(contact as u128 / 2), now), now);
    }
    let mut sent = Vec::new();
    // No outcome is recorded: nothing is sent beyond four times the slots.
    for turn in 1..=8 {
        let next = admit(&mut scheduler, now).expect("a slot is free");
        assert_eq!(next.place, (turn - 1) * 2, "the head of the next lane");
        scheduler.answered("1", next.message);
        scheduler.answered("1", next.message);
        sent.push(next);
    }
    assert_eq!((scheduler.in_flight(), scheduler.calling), (8, 0));
    assert!(admit(&mut scheduler, now).is_none());
    finish(&mut scheduler, &sent.remove(0), Outcome::Ended, now);
    assert_eq!((scheduler.in_flight(), scheduler.calling), (7, 0));
    let next = admit(&mut scheduler, now).expect("room");
    assert_eq!(next.place, 16);
    // Its answer was not told before its end.
    finish(&mut scheduler, &next, Outcome::Ended, now);
    assert_eq!((scheduler.in_flight(), scheduler.calling), (7, 0));
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
    scheduler.refund("1", Uuid::from_u128(1), now);
    let second = next(&mut scheduler).expect("the same token");
    finish(&mut scheduler, &second, Outcome::Ended, now);
    scheduler.refund("1", Uuid::from_u128(1), now);
    assert_eq!(
        scheduler.surplus(),
        [Want {
            number: number(1),
            tokens: 1
        }]
    );
    scheduler.disown("1");
    scheduler.refund("1", Uuid::from_u128(1), now);
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
