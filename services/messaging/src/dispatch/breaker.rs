//! Whether Meta's host answers at all. When it fails for many, calling it less helps it and us: all sending pauses, then a single call tells whether it goes on.
//!
//! What counts as a failure: an answer of the host's (5xx, or 429) that is not about the number or the account, no answer, no connection. One number's own troubles trip nothing while others send.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// What the host is known by, shared between the calls and the driver.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<Circuit>);

/// The state machine. Time is an argument.
#[derive(Debug, Default)]
struct Circuit {
    state: State,
    /// The calls of the last half minute.
    spans: VecDeque<Span>,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    /// Calls are made.
    #[default]
    Closed,
    /// None is made until then.
    Open { until: Instant, pause: Duration },
    /// The call for this message tells.
    Probing { message: Uuid, pause: Duration },
}

/// The calls of a few seconds.
#[derive(Debug)]
struct Span {
    begun: Instant,
    calls: u32,
    failed: u32,
    /// Numbers that called, and those whose calls failed: two are enough to know.
    callers: Few,
    failing: Few,
}

#[derive(Debug, Default)]
struct Few([Option<Arc<str>>; 2]);

/// What a call says of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Well,
    Failed,
}

const SPAN: Duration = Duration::from_secs(5);
const SPANS: usize = 6;
/// Fewer calls say nothing.
const LEAST: u32 = 50;
/// One in five.
const FAILED: u32 = 5;
const PAUSE_FIRST: Duration = Duration::from_secs(5);
const PAUSE_MOST: Duration = Duration::from_secs(30);

// === impl Breaker ===

impl Breaker {
    /// A call may be made now.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        self.circuit().admits(now)
    }

    /// No call may be made before something happens, or until [`Breaker::wake_at`].
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.circuit().state, State::Closed)
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        match self.circuit().state {
            State::Open { until, .. } => Some(until),
            State::Closed | State::Probing { .. } => None,
        }
    }

    /// The call for this message is on its way.
    pub(crate) fn began(&self, message: Uuid) {
        self.circuit().began(message);
    }

    /// The call for this message was answered, or not.
    pub(crate) fn answered(&self, number: &Arc<str>, message: Uuid, sign: Sign, now: Instant) {
        self.circuit().answered(number, message, sign, now);
    }

    /// The way of this message has come to its end, whether a call was made or not.
    pub(crate) fn ended(&self, message: Uuid, now: Instant) {
        self.circuit().ended(message, now);
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Circuit ===

impl Circuit {
    fn admits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until, .. } => until <= now,
            State::Probing { .. } => false,
        }
    }

    fn began(&mut self, message: Uuid) {
        if let State::Open { pause, .. } = self.state {
            self.state = State::Probing { message, pause };
        }
    }

    fn answered(&mut self, number: &Arc<str>, message: Uuid, sign: Sign, now: Instant) {
        match self.state {
            State::Closed => {
                self.count(number, sign, now);
                if sign == Sign::Failed && self.trips(now) {
                    self.open(PAUSE_FIRST, now);
                }
            }
            State::Probing { message: probe, pause } if probe == message => match sign {
                Sign::Well => {
                    tracing::info!("Meta's host answers again: sending goes on");
                    metrics::gauge!("messaging_breaker_open").set(0.0);
                    (self.state, self.spans) = (State::Closed, VecDeque::new());
                }
                Sign::Failed => self.open((pause * 2).min(PAUSE_MOST), now),
            },
            // Calls that began before say nothing new.
            State::Open { .. } | State::Probing { .. } => {}
        }
    }

    /// A probe that made no call leaves the question to the next.
    fn ended(&mut self, message: Uuid, now: Instant) {
        if let State::Probing { message: probe, pause } = self.state
            && probe == message
        {
            self.state = State::Open { until: now, pause };
        }
    }

    fn open(&mut self, pause: Duration, now: Instant) {
        tracing::warn!(
            pause_ms = pause.as_millis() as u64,
            "Meta's host fails for many calls: sending pauses"
        );
        metrics::counter!("messaging_breaker_trips_total").increment(1);
        metrics::gauge!("messaging_breaker_open").set(1.0);
        let until = now + pause;
        (self.state, self.spans) = (State::Open { until, pause }, VecDeque::new());
    }

    fn count(&mut self, number: &Arc<str>, sign: Sign, now: Instant) {
        if self.spans.back().is_none_or(|span| span.begun + SPAN <= now) {
            if self.spans.len() == SPANS {
                self.spans.pop_front();
            }
            self.spans.push_back(Span {
                begun: now,
                calls: 0,
                failed: 0,
                callers: Few::default(),
                failing: Few::default(),
            });
        }
        if let Some(span) = self.spans.back_mut() {
            span.calls += 1;
            span.callers.add(number);
            if sign == Sign::Failed {
                span.failed += 1;
                span.failing.add(number);
            }
        }
    }

    fn trips(&self, now: Instant) -> bool {
        let recent = self.spans.iter().filter(|span| span.begun + SPAN * SPANS as u32 > now);
        let (mut calls, mut failed) = (0, 0);
        let (mut callers, mut failing) = (Few::default(), Few::default());
        for span in recent {
            calls += span.calls;
            failed += span.failed;
            span.callers.0.iter().flatten().for_each(|number| callers.add(number));
            span.failing.0.iter().flatten().for_each(|number| failing.add(number));
        }
        calls >= LEAST && failed * FAILED > calls && (failing.several() || !callers.several())
    }
}

// === impl Few ===

impl Few {
    fn add(&mut self, number: &Arc<str>) {
        let [first, second] = &mut self.0;
        if first.as_ref().is_none_or(|first| first == number) {
            first.get_or_insert_with(|| Arc::clone(number));
        } else {
            second.get_or_insert_with(|| Arc::clone(number));
        }
    }

    fn several(&self) -> bool {
        self.0[1].is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: Uuid = Uuid::from_u128(7);

    fn number(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    fn answers(circuit: &mut Circuit, name: &str, sign: Sign, count: u32, now: Instant) {
        for _ in 0..count {
            circuit.answered(&number(name), OTHER, sign, now);
        }
    }

    #[test]
    fn it_opens_when_more_than_a_fifth_of_half_a_minute_fails() {
        let (mut circuit, now) = (Circuit::default(), Instant::now());
        answers(&mut circuit, "1", Sign::Well, 40, now);
        answers(&mut circuit, "2", Sign::Failed, 5, now);
        answers(&mut circuit, "1", Sign::Failed, 5, now + SPAN);
        assert!(circuit.admits(now), "ten of fifty are not more than a fifth");
        answers(&mut circuit, "1", Sign::Failed, 1, now + SPAN);
        assert!(!circuit.admits(now + SPAN));
        assert!(!circuit.admits(now + SPAN + PAUSE_FIRST.saturating_sub(Duration::from_millis(1))));
        assert!(circuit.admits(now + SPAN + PAUSE_FIRST));
    }

    #[test]
    fn few_calls_and_old_ones_say_nothing() {
        let (mut circuit, now) = (Circuit::default(), Instant::now());
        answers(&mut circuit, "1", Sign::Failed, LEAST - 1, now);
        let later = now + Duration::from_secs(40);
        answers(&mut circuit, "1", Sign::Failed, LEAST - 1, later);
        assert!(circuit.admits(later));
        answers(&mut circuit, "1", Sign::Failed, 1, later);
        assert!(!circuit.admits(later));
    }

    #[test]
    fn one_numbers_troubles_are_its_own_while_others_send() {
        let (mut circuit, now) = (Circuit::default(), Instant::now());
        answers(&mut circuit, "2", Sign::Well, 20, now);
        answers(&mut circuit, "1", Sign::Failed, 80, now);
        assert!(circuit.admits(now));
        answers(&mut circuit, "2", Sign::Failed, 1, now);
        assert!(!circuit.admits(now));
    }

    #[test]
    fn one_call_tells_whether_it_goes_on() {
        let (mut circuit, now) = (Circuit::default(), Instant::now());
        answers(&mut circuit, "1", Sign::Failed, LEAST, now);
        let first = now + PAUSE_FIRST;
        let probe = Uuid::from_u128(1);
        assert!(circuit.admits(first));
        circuit.began(probe);
        assert!(!circuit.admits(first), "one, and not two");
        answers(&mut circuit, "1", Sign::Well, 3, first);
        assert!(!circuit.admits(first), "those that began before do not count");
        circuit.answered(&number("1"), probe, Sign::Failed, first);
        circuit.ended(probe, first);
        assert!(!circuit.admits(first + PAUSE_FIRST) && circuit.admits(first + PAUSE_FIRST * 2));

        // A probe that makes no call is followed by another.
        let second = first + PAUSE_FIRST * 2;
        circuit.began(probe);
        circuit.ended(probe, second);
        assert!(circuit.admits(second));
        circuit.began(probe);
        circuit.answered(&number("1"), probe, Sign::Well, second);
        assert!(circuit.admits(second) && circuit.spans.is_empty());
    }
}
