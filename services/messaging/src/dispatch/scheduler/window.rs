//! How many messages of a number are in memory, class by class; the others wait in the queue table. A class leaves room to the higher ones and none to the lower ones, so together they have
//! less than two and a half times the limit.
//!
//! While the table has more of a class than memory, whatever is new of that class stays in the table as well: it would overtake what was accepted before it. The table is read in the order of
//! acceptance as far as there is room, from where the last reading stopped.

use uuid::Uuid;

use super::{CLASSES, Limits};

/// What a number has in memory.
#[derive(Debug)]
pub(super) struct Window {
    /// Messages that wait, by class.
    held: [usize; CLASSES],
    tables: [Table; CLASSES],
    /// Awaited messages that stay in the table until its first reading tells whether they are about to be sent.
    undecided: Vec<(usize, Uuid)>,
}

/// What is known of a class's messages in the queue table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    /// It is being read for the first time.
    Unread,
    /// It has more than memory.
    More,
    /// All that can be sent is in memory.
    All,
}

/// Messages that each number can have in memory when those of all numbers together are too many.
const LEAST: usize = 64;

// === impl Window ===

impl Window {
    pub(super) fn new() -> Self {
        Self {
            held: [0; CLASSES],
            tables: [Table::Unread; CLASSES],
            undecided: Vec::new(),
        }
    }

    /// The table is read from its beginning.
    pub(super) fn begin(&mut self) {
        self.tables = [Table::Unread; CLASSES];
    }

    pub(super) fn add(&mut self, class: usize) {
        self.held[class] += 1;
    }

    pub(super) fn remove(&mut self, class: usize) {
        self.held[class] = self.held[class].saturating_sub(1);
    }

    /// There is room for one more. Lower classes leave some to higher ones.
    pub(super) fn room(&self, class: usize, limits: &Limits, all: usize) -> bool {
        self.fits(class, 1, limits, all)
    }

    /// There is room for one more that cannot go yet: such messages take a quarter at most.
    pub(super) fn room_for_later(&self, class: usize, limits: &Limits, all: usize) -> bool {
        let beside: usize = self.held[class..].iter().sum();
        beside < most(limits.window, class).div_ceil(4) && self.room(class, limits, all)
    }

    /// The table has more of this class, and there is room for it.
    pub(super) fn hungry(&self, class: usize, limits: &Limits, all: usize) -> bool {
        let step = match class {
            0 => limits.window / 16,
            _ => limits.window / 4,
        };
        let empty = self.held[..=class].iter().all(|held| *held == 0);
        self.tables[class] == Table::More
            && (self.fits(class, step.max(1), limits, all) || empty && self.fits(class, 1, limits, all))
    }

    fn fits(&self, class: usize, count: usize, limits: &Limits, all: usize) -> bool {
        let beside: usize = self.held[class..].iter().sum();
        let before: usize = self.held[..=class].iter().sum();
        let most = most(limits.window, class);
        beside + count <= most && (all + count <= limits.messages || before + count <= LEAST.min(most))
    }

    /// Whatever is new of this class waits in the table, behind what is there.
    pub(super) fn behind(&self, class: usize) -> bool {
        self.tables[class] != Table::All
    }

    /// A message stays in the table. True: a caller waits for it, and need not.
    pub(super) fn leave(&mut self, class: usize, message: Uuid, awaited: bool) -> bool {
        if self.tables[class] != Table::Unread {
            self.tables[class] = Table::More;
            return awaited;
        }
        if awaited {
            self.undecided.push((class, message));
        }
        false
    }

    /// The table was read, as far as there was room or to its end. Gives the messages whose callers need not wait for them.
    pub(super) fn read(&mut self, class: usize, all: bool) -> Vec<Uuid> {
        self.tables[class] = if all { Table::All } else { Table::More };
        let decided = self.undecided.extract_if(.., |(of, _)| *of == class);
        let decided: Vec<_> = decided.map(|(_, message)| message).collect();
        if all { Vec::new() } else { decided }
    }

    /// Nothing is in memory, and nothing is known of the table. Gives the messages whose callers need not wait for them.
    pub(super) fn clear(&mut self) -> Vec<Uuid> {
        let undecided = std::mem::replace(self, Self::new()).undecided;
        undecided.into_iter().map(|(_, message)| message).collect()
    }
}

/// Most messages of a class and the lower ones.
fn most(window: usize, class: usize) -> usize {
    match class {
        0 => window,
        1 => window - window / 8,
        _ => window.div_ceil(2),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::PairRate;

    const LIMITS: Limits = Limits {
        calls: 16,
        window: 64,
        messages: 1_000,
        patience: Duration::from_secs(30),
        pair: PairRate::OFF,
    };

    #[test]
    fn campaigns_leave_room_for_conversations_and_both_for_one_time_codes() {
        let mut window = Window::new();
        let fill = |window: &mut Window, class| {
            let mut count = 0;
            while window.room(class, &LIMITS, 0) {
                window.add(class);
                count += 1;
            }
            count
        };
        assert_eq!(
            [fill(&mut window, 2), fill(&mut window, 1), fill(&mut window, 0)],
            [32, 24, 8]
        );
    }

    #[test]
    fn a_number_gets_some_room_whatever_the_others_hold() {
        let full = Limits {
            window: 8_192,
            messages: 10,
            ..LIMITS
        };
        let mut window = Window::new();
        for _ in 0..LEAST {
            assert!(window.room(2, &full, 10));
            window.add(2);
        }
        assert!(!window.room(2, &full, 10) && window.room(0, &full, 10));
        // Once its few are gone it gets some again, and not one by one.
        window.read(2, false);
        assert!(!window.hungry(2, &full, 10));
        window.remove(2);
        assert!(!window.hungry(2, &full, 10));
        for _ in 1..LEAST {
            window.remove(2);
        }
        assert!(window.hungry(2, &full, 10));
    }

    #[test]
    fn callers_wait_for_the_first_reading_and_no_other() {
        let mut window = Window::new();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!(!window.leave(1, one, true) && !window.leave(2, two, true));
        assert!(
            window.read(1, true).is_empty(),
            "it was taken in, or will be told otherwise"
        );
        assert_eq!(window.read(2, false), [two]);
        assert!(window.leave(1, one, true) && window.behind(1));
        assert!(!window.leave(1, two, false));
        assert!(window.clear().is_empty());
        assert!(!window.leave(1, one, true));
        assert_eq!(window.clear(), [one]);
    }
}
