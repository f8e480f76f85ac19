//! Classes of priority, users' rates, and what is halted.

use std::collections::HashSet;

use super::*;

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
