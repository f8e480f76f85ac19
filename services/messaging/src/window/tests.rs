//! The rule of what is remembered, against every kind of staleness that can come to it.

use super::*;

/// Numbers from a seed: the same cases in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A window's row after a commit. Times are seconds of the database's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_field_names, reason = "as the table has them")]
struct Row {
    last_inbound_at: f64,
    expires_at: f64,
    closed_at: Option<f64>,
}

/// What can be observed of one window, from one process.
struct History {
    /// Commits, with their times.
    rows: Vec<(f64, Row)>,
    open: Option<Instant>,
    closed: Option<Instant>,
    /// Until then another process's word that the window is closed need not be known here.
    excused_until: f64,
}

const DAY: f64 = 86_400.0;

impl Row {
    /// As `messaging.window_left` has it.
    fn left(self, now: f64) -> Option<f64> {
        self.closed_at
            .is_none_or(|closed| self.last_inbound_at > closed)
            .then_some(self.expires_at - now)
    }

    /// As the statement that opens windows has it.
    fn opened(self, at: f64) -> Self {
        if at <= self.last_inbound_at {
            return self;
        }
        Self {
            last_inbound_at: at,
            expires_at: self.expires_at.max(at + DAY),
            ..self
        }
    }

    /// As the statement that closes them has it.
    fn closed(self, at: f64) -> Self {
        Self {
            closed_at: Some(self.closed_at.map_or(at, |known| known.max(at))),
            ..self
        }
    }
}

impl History {
    fn new() -> Self {
        let row = Row {
            last_inbound_at: -10.0 * DAY,
            expires_at: -9.0 * DAY,
            closed_at: None,
        };
        Self {
            rows: vec![(f64::MIN, row)],
            open: None,
            closed: None,
            excused_until: f64::MIN,
        }
    }

    fn row_at(&self, time: f64) -> Row {
        let seen = self.rows.iter().rev().find(|(at, _)| *at <= time);
        seen.map_or(self.rows[0].1, |(_, row)| *row)
    }

    fn commit(&mut self, at: f64, row: Row) {
        self.rows.push((at, row));
    }

    /// One thing happens; it takes until the time it gives.
    fn step(&mut self, now: f64, dice: &mut Dice, instant: impl Fn(f64) -> Instant) -> f64 {
        let last = self.row_at(f64::MAX);
        match dice.below(10) {
            // A message of the user's, in order or late, by as much as a replay of seven days.
            0..=2 => {
                let late = [0.0, 1.0, 3_600.0, DAY - 90.0, DAY - 30.0, DAY + 60.0, 7.0 * DAY][dice.below(7) as usize];
                let row = last.opened(now - late);
                self.commit(now, row);
                if row != last && dice.below(4) > 0 {
                    // Written through, unless that is lost.
                    self.learn(row.left(now), now, &instant);
                }
                now
            }
            // Meta says here that it is closed. An answer that was on its way meanwhile comes in between, or after all.
            3 => {
                let (asked, committed, returned) = (now + 0.01, now + 0.02, now + 0.03);
                self.forget(instant(now));
                let left = self.row_at(asked).left(asked);
                self.commit(committed, last.closed(now));
                let before = dice.below(2) == 0;
                if before {
                    self.learn(left, asked, &instant);
                }
                self.forget(instant(returned));
                if !before {
                    self.learn(left, asked, &instant);
                }
                returned
            }
            // Meta says so to another process.
            4 => {
                self.commit(now, last.closed(now));
                self.excused_until = now + TRUST.as_secs_f64();
                now
            }
            // Out of memory.
            5 => {
                self.open = None;
                now
            }
            // Postgres is asked: the answer may be of a while ago, and another may overtake it.
            _ => {
                let asked = now - dice.below(20) as f64 / 10.0;
                let snapshot = asked + dice.below(10) as f64 * (now - asked) / 10.0;
                self.learn(self.row_at(snapshot).left(snapshot), asked, &instant);
                now
            }
        }
    }

    fn forget(&mut self, now: Instant) {
        (self.open, self.closed) = (None, Some(now));
    }

    fn learn(&mut self, left: Option<f64>, asked: f64, instant: impl Fn(f64) -> Instant) {
        if let Some(open_for) = open_for(left) {
            let until = instant(asked) + open_for.min(TRUST);
            self.open = learned(self.open, until, instant(asked), self.closed).or(self.open);
        }
    }

    /// What this process would do at `now`, against what is true then.
    fn check(&self, now: f64, instant: impl Fn(f64) -> Instant) -> bool {
        let open = self.open.is_some_and(|until| instant(now) < until);
        let left = self.row_at(now).left(now);
        if open {
            // Of what Meta closed elsewhere a moment ago nothing need be known; the 24 hours are never exceeded all the same.
            let expires = self.rows.iter().map(|(_, row)| row.expires_at).fold(f64::MIN, f64::max);
            assert!(
                open_for(left).is_some() || now < self.excused_until,
                "open at {now}: {left:?}"
            );
            assert!(
                now < expires - MARGIN.as_secs_f64(),
                "open at {now}, beyond its 24 hours"
            );
        }
        open
    }
}

#[test]
fn in_two_hundred_thousand_stale_cases_a_closed_window_never_counts_as_open() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let origin = Instant::now() + Duration::from_hours(24 * 365);
    let instant = |seconds: f64| origin + Duration::from_secs_f64(seconds);
    let (mut cases, mut trusted) = (0, 0);
    while cases < 200_000 {
        let mut history = History::new();
        let mut now = 0.0;
        for _ in 0..20 {
            now += [
                0.001,
                0.5,
                30.0,
                59.0,
                61.0,
                240.0,
                301.0,
                3_600.0,
                DAY - 61.0,
                DAY - 59.0,
            ][dice.below(10) as usize];
            now = history.step(now, &mut dice, instant);
            // At once, and around the edges.
            for later in [0.0, 1.0, 60.0, 299.0] {
                trusted += u32::from(history.check(now + later, instant));
                cases += 1;
            }
        }
    }
    assert!(trusted > 20_000, "only {trusted} of {cases} answers came from memory");
}

#[test]
fn a_window_is_open_until_a_minute_before_its_end() {
    assert_eq!(open_for(None), None);
    assert_eq!(open_for(Some(-1.0)), None);
    assert_eq!(open_for(Some(60.0)), None);
    assert_eq!(open_for(Some(61.0)), Some(Duration::from_secs(1)));
    assert_eq!(open_for(Some(f64::NAN)), None);
}

#[test]
fn an_answer_from_before_metas_word_does_not_open_the_window_again() {
    let windows = Windows::new();
    let (number, contact): (Arc<str>, _) = ("1".into(), Uuid::from_u128(7));
    let asked = Instant::now();
    assert!(windows.learn(&number, contact, Some(3_600.0), asked));
    assert!(windows.is_open(&number, contact));
    windows.close(&number, contact);
    windows.learn(&number, contact, Some(3_600.0), asked);
    assert!(!windows.is_open(&number, contact));
    windows.learn(&number, contact, Some(3_600.0), Instant::now());
    assert!(
        windows.is_open(&number, contact),
        "the user wrote again, and Postgres knew"
    );
    assert!(!windows.is_open(&number, Uuid::from_u128(8)) && !windows.is_open(&"2".into(), contact));
}
