//! Whose turn it is among the lanes of a number that can send.

use std::collections::VecDeque;

use super::{CLASSES, LaneId};

/// Lanes that can send, by class; within a class they take turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lanes: [VecDeque<LaneId>; CLASSES],
    count: usize,
    turn: u32,
}

/// Of so many turns, one goes to the classes below the highest that can send; of those, again one in so many to the classes below the second.
const SHARE: u32 = 5;

// === impl Turns ===

impl Turns {
    pub(super) fn push(&mut self, lane: LaneId) {
        self.lanes[lane.class()].push_back(lane);
        self.count += 1;
    }

    /// Lanes that can send.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The highest class that can send.
    pub(super) fn best(&self) -> Option<usize> {
        self.lanes.iter().position(|lanes| !lanes.is_empty())
    }

    /// The next lane, of the classes down to `lowest`.
    pub(super) fn pop(&mut self, lowest: usize) -> Option<LaneId> {
        let mut class = self.best().filter(|class| *class <= lowest)?;
        self.turn = self.turn.wrapping_add(1);
        let mut turn = self.turn;
        while turn.is_multiple_of(SHARE) {
            let lower = (class + 1..=lowest.min(CLASSES - 1)).find(|lower| !self.lanes[*lower].is_empty());
            let Some(lower) = lower else { break };
            (class, turn) = (lower, turn / SHARE);
        }
        let lane = self.lanes[class].pop_front()?;
        self.count -= 1;
        Some(lane)
    }

    pub(super) fn clear(&mut self) {
        self.lanes = Default::default();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::dispatch::scheduler::{BULK, NORMAL, URGENT};

    fn turns(priorities: &[i16]) -> Turns {
        let mut turns = Turns::default();
        for contact in 0..200 {
            for priority in priorities {
                turns.push(LaneId {
                    priority: *priority,
                    contact: Uuid::from_u128(contact),
                });
            }
        }
        turns
    }

    fn counts(turns: &mut Turns, lowest: usize) -> [usize; CLASSES] {
        let mut counts = [0; CLASSES];
        for _ in 0..100 {
            if let Some(lane) = turns.pop(lowest) {
                counts[lane.class()] += 1;
            }
        }
        counts
    }

    #[test]
    fn four_of_five_turns_go_to_the_highest_class_and_none_starves() {
        assert_eq!(counts(&mut turns(&[URGENT, NORMAL, BULK]), 2), [80, 16, 4]);
        assert_eq!(counts(&mut turns(&[NORMAL, BULK]), 2), [0, 80, 20]);
        assert_eq!(counts(&mut turns(&[URGENT, BULK]), 2), [80, 0, 20]);
        assert_eq!(counts(&mut turns(&[BULK]), 2), [0, 0, 100]);
    }

    #[test]
    fn a_class_that_may_not_send_gets_no_turn() {
        assert_eq!(counts(&mut turns(&[URGENT, NORMAL, BULK]), 1), [80, 20, 0]);
        assert_eq!(counts(&mut turns(&[URGENT, BULK]), 0), [100, 0, 0]);
        assert_eq!(counts(&mut turns(&[BULK]), 1), [0; CLASSES]);
    }
}
