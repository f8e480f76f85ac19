//! How often one user is written to: one message per interval in the long run, or a burst within one interval that is paid for by silence.
//!
//! Meta lends a burst from the future: after twenty messages at once the user can be written to again when twenty intervals have passed since the first. So a pair is two times: when its
//! burst began, and until when what was sent is paid for. Every lane of a user shares them. They are forgotten when they have run out, and when the number changes its owner: then Meta's
//! own refusal holds the lane up.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{LaneId, URGENT};
use crate::config::PairRate;

/// The users that a number has written to of late.
#[derive(Debug)]
pub(super) struct Pairs {
    rate: PairRate,
    users: HashMap<Uuid, Pair>,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    begun: Instant,
    paid_until: Instant,
    /// A burst is lent. Not to whom Meta has refused messages of late: what it counts is not known then.
    lent: bool,
}

/// Users that are remembered per number. Whoever is beyond is held up by Meta alone.
const MOST: usize = 65_536;
/// Between looks for what has run out.
pub(super) const LOOK: Duration = Duration::from_secs(30);
/// Of an interval, a part is a margin: one message may take longer to Meta than the next.
const MARGIN: u32 = 32;
/// Of a burst, a part is kept for urgent messages.
const KEPT: u32 = 8;

// === impl Pairs ===

impl Pairs {
    pub(super) fn new(rate: PairRate) -> Self {
        Self {
            rate,
            users: HashMap::new(),
        }
    }

    /// When the lane's user can be written to again. None: now.
    pub(super) fn next(&self, lane: LaneId, now: Instant) -> Option<Instant> {
        let pair = self.users.get(&lane.contact).filter(|pair| pair.paid_until > now)?;
        let kept = if lane.priority <= URGENT {
            0
        } else {
            self.rate.burst / KEPT
        };
        let most = self.rate.interval * self.rate.burst.saturating_sub(kept).max(1);
        let bursting = pair.lent && now < pair.begun + self.rate.interval;
        // One more must fit into what can be borrowed.
        let fits = pair.paid_until + self.rate.interval <= pair.begun + self.margin() + most;
        (!(bursting && fits)).then_some(pair.paid_until)
    }

    /// The lane's user is written to. True: it is the first who is remembered.
    pub(super) fn take(&mut self, lane: LaneId, now: Instant) -> bool {
        if self.rate.interval.is_zero() {
            return false;
        }
        let margin = self.margin();
        if let Some(pair) = self.users.get_mut(&lane.contact) {
            if pair.paid_until <= now {
                (pair.begun, pair.paid_until) = (now, now + margin);
            }
            pair.paid_until += self.rate.interval;
            return false;
        }
        if self.users.len() >= MOST {
            return false;
        }
        let pair = Pair {
            begun: now,
            paid_until: now + margin + self.rate.interval,
            lent: true,
        };
        self.users.insert(lane.contact, pair);
        self.users.len() == 1
    }

    /// The user was not written to after all, at this time.
    pub(super) fn refund(&mut self, contact: Uuid, at: Instant) {
        // What was taken in an earlier burst has been paid for by now.
        if let Some(pair) = self
            .users
            .get_mut(&contact)
            .filter(|pair| pair.lent && pair.begun <= at)
        {
            let paid = pair.paid_until.checked_sub(self.rate.interval);
            pair.paid_until = paid.map_or(pair.begun, |paid| paid.max(pair.begun));
        }
    }

    /// Meta takes nothing for this user until then. True: it is the first who is remembered.
    pub(super) fn hold(&mut self, contact: Uuid, until: Instant, now: Instant) -> bool {
        let pair = self.users.entry(contact).or_insert(Pair {
            begun: now,
            paid_until: until,
            lent: false,
        });
        (pair.paid_until, pair.lent) = (pair.paid_until.max(until), false);
        self.users.len() == 1
    }

    /// Forgets what has run out. True: something is left.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        self.users.retain(|_, pair| pair.paid_until > now);
        if self.users.capacity() > 4 * self.users.len() {
            self.users.shrink_to_fit();
        }
        !self.users.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.users = HashMap::new();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    fn margin(&self) -> Duration {
        self.rate.interval / MARGIN
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dispatch::scheduler::{BULK, NORMAL};

    const RATE: PairRate = PairRate {
        interval: Duration::from_secs(6),
        burst: 45,
    };

    fn lane(priority: i16, contact: u128) -> LaneId {
        LaneId {
            priority,
            contact: Uuid::from_u128(contact),
        }
    }

    /// How many can be sent at once.
    fn burst(pairs: &mut Pairs, lane: LaneId, now: Instant) -> u32 {
        let mut sent = 0;
        while pairs.next(lane, now).is_none() && sent < 1_000 {
            pairs.take(lane, now);
            sent += 1;
        }
        sent
    }

    #[test]
    fn twenty_at_once_are_followed_by_two_minutes_of_silence() {
        let (mut pairs, now) = (Pairs::new(RATE), Instant::now());
        for index in 0..20 {
            let at = now + Duration::from_millis(index);
            assert_eq!(pairs.next(lane(NORMAL, 1), at), None);
            pairs.take(lane(NORMAL, 1), at);
        }
        let again = pairs.next(lane(NORMAL, 1), now + RATE.interval).expect("silence");
        let silence = again.duration_since(now);
        assert!(
            (Duration::from_mins(2)..Duration::from_secs(121)).contains(&silence),
            "{silence:?}"
        );
        assert_eq!(pairs.next(lane(NORMAL, 2), now), None, "another user is not concerned");
        assert_eq!(pairs.next(lane(NORMAL, 1), again), None);
    }

    #[test]
    fn a_part_of_the_burst_is_kept_for_urgent_messages() {
        let (mut pairs, now) = (Pairs::new(RATE), Instant::now());
        assert_eq!(burst(&mut pairs, lane(BULK, 1), now), 40);
        assert_eq!(burst(&mut pairs, lane(NORMAL, 1), now), 0);
        assert_eq!(burst(&mut pairs, lane(URGENT, 1), now), 5);
        let single = PairRate { burst: 1, ..RATE };
        assert_eq!(burst(&mut Pairs::new(single), lane(BULK, 1), now), 1);
    }

    #[test]
    fn a_user_for_whom_meta_takes_nothing_is_not_lent_a_burst_afterwards() {
        let (mut pairs, now) = (Pairs::new(RATE), Instant::now());
        let until = now + Duration::from_secs(16);
        assert!(pairs.hold(Uuid::from_u128(1), until, now));
        for priority in [URGENT, BULK] {
            assert_eq!(pairs.next(lane(priority, 1), now), Some(until));
        }
        assert_eq!(burst(&mut pairs, lane(NORMAL, 1), until), 1);
        // Without a limit of our own Meta's still holds.
        let mut off = Pairs::new(PairRate::OFF);
        off.hold(Uuid::from_u128(1), until, now);
        assert_eq!(off.next(lane(NORMAL, 1), now), Some(until));
        assert_eq!(off.next(lane(NORMAL, 1), until), None);
    }

    #[test]
    fn who_was_not_written_to_after_all_does_not_wait_for_it() {
        let (mut pairs, now) = (Pairs::new(RATE), Instant::now());
        assert_eq!(burst(&mut pairs, lane(URGENT, 1), now), 45);
        pairs.refund(Uuid::from_u128(1), now);
        assert_eq!(burst(&mut pairs, lane(URGENT, 1), now), 1);
        let mut single = Pairs::new(PairRate { burst: 1, ..RATE });
        single.take(lane(NORMAL, 1), now);
        assert!(single.next(lane(NORMAL, 1), now).is_some());
        single.refund(
            Uuid::from_u128(1),
            now.checked_sub(Duration::from_secs(1)).expect("a time"),
        );
        assert!(single.next(lane(NORMAL, 1), now + Duration::from_secs(1)).is_some());
        single.refund(Uuid::from_u128(1), now);
        let margin = RATE.interval / MARGIN;
        assert_eq!(single.next(lane(NORMAL, 1), now + margin), None);
    }

    #[test]
    fn without_an_interval_nothing_is_limited_or_remembered() {
        let off = PairRate {
            interval: Duration::ZERO,
            ..RATE
        };
        let mut pairs = Pairs::new(off);
        assert_eq!(burst(&mut pairs, lane(BULK, 1), Instant::now()), 1_000);
        assert_eq!(pairs.len(), 0);
    }

    #[test]
    fn what_has_run_out_is_forgotten_and_what_is_remembered_is_bounded() {
        let (mut pairs, now) = (Pairs::new(RATE), Instant::now());
        assert!(pairs.take(lane(NORMAL, 0), now), "the first");
        for contact in 1..=MOST as u128 {
            assert!(!pairs.take(lane(NORMAL, contact), now));
        }
        assert_eq!(pairs.len(), MOST);
        assert!(pairs.expire(now + Duration::from_secs(6)));
        assert!(!pairs.expire(now + Duration::from_secs(7)));
        assert_eq!(pairs.len(), 0);
    }

    proptest! {
        /// In any stretch of time no more than a burst and what the interval allows; and who waits as told can go.
        #[test]
        fn never_more_than_a_burst_and_one_per_interval(
            interval in 1_u64..10_000, burst in 1_u32..60, steps in prop::collection::vec((0_u64..20_000, 1_i16..=3, 1_u32..60), 1..60),
        ) {
            let rate = PairRate { interval: Duration::from_millis(interval), burst };
            let (start, mut pairs) = (Instant::now(), Pairs::new(rate));
            let (mut now, mut sent) = (start, Vec::new());
            for (pause, priority, wanted) in steps {
                now += Duration::from_millis(pause);
                for _ in 0..wanted {
                    let lane = lane(priority, 1);
                    match pairs.next(lane, now) {
                        None => {
                            pairs.take(lane, now);
                            sent.push(now);
                        }
                        Some(at) => {
                            prop_assert!(at > now);
                            prop_assert_eq!(pairs.next(lane, at), None);
                            break;
                        }
                    }
                }
            }
            for (index, since) in sent.iter().enumerate() {
                for (further, until) in sent[index..].iter().enumerate() {
                    let elapsed = until.duration_since(*since).as_millis() as u64;
                    // The burst that the stretch begins in may have been paid for before it.
                    prop_assert!(further as u64 <= u64::from(burst) + elapsed / interval);
                }
            }
        }
    }
}
