//! The gate before the intent: the 24-hour window, then the recipient's wish for no marketing, then the portfolio's quota of unique users. What passes is sent at once; what does not waits
//! or ends without an attempt.
//!
//! Text to a recipient whose window is known to be open passes without a question. Everything else is asked for many messages at once: one statement for windows and wishes, and for those
//! that count against a limited quota a second one that takes their places.

mod aftermath;
mod aside;
mod judge;
mod rooms;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use outeract_batch::Batcher;
use outeract_domain::Content;
use uuid::Uuid;

use self::judge::Judge;
use super::scheduler::NumberId;
use crate::vault::Letter;
use crate::window::Windows;

pub(crate) use self::aftermath::{Aftermath, Refused, When};
pub(crate) use self::aside::{Aside, Deed, SetAside, asides};
pub(crate) use self::judge::judges;

/// What a message asks.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub message: Uuid,
    pub application: Uuid,
    pub connection: Uuid,
    pub number: NumberId,
    pub contact: Uuid,
    pub portfolio: Arc<str>,
    pub terms: Terms,
}

/// What of a message's content concerns the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// It may be sent inside the window only.
    pub needs_window: bool,
    /// It is a template of the category MARKETING.
    pub marketing: bool,
    /// A template to send in its place outside the window.
    pub fallback: Option<Fallback>,
    /// It counts against no limit of Meta's.
    pub sandbox: bool,
}

/// A template that can go in a message's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fallback {
    /// It is of the category MARKETING.
    pub marketing: bool,
}

/// What the gate says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    Go(Pass),
    /// The fallback template goes in the message's place.
    GoWithFallback(Pass),
    /// It waits.
    Park {
        reason: &'static str,
        wait: Duration,
    },
    /// It is never sent.
    Fail {
        reason: &'static str,
    },
}

/// A message that may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pass {
    /// It holds a place in the portfolio's quota.
    pub counted: bool,
}

/// Postgres could not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unanswered;

/// The gate. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    windows: Windows,
    judge: Batcher<Judge>,
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new(windows: Windows, judge: Batcher<Judge>) -> Self {
        Self { windows, judge }
    }

    /// Whether a message may be sent now.
    pub(crate) async fn admit(&self, ask: Ask) -> Result<Verdict, Unanswered> {
        if ask.terms.passes_unasked() || self.passes_in_window(&ask) {
            return Ok(Verdict::Go(Pass { counted: false }));
        }
        self.judge.submit(ask).await.map_err(|_| Unanswered)
    }

    /// Postgres was asked for a message's content at `asked`, and told at the same time that so many seconds of its recipient's window are left.
    pub(crate) fn learn(&self, number: &NumberId, contact: Uuid, left: Option<f64>, asked: Instant) {
        self.windows.learn(number, contact, left, asked);
    }

    fn passes_in_window(&self, ask: &Ask) -> bool {
        !ask.terms.marketing && self.windows.is_open(&ask.number, ask.contact)
    }
}

// === impl Terms ===

impl Terms {
    pub(crate) fn of(letter: &Letter) -> Self {
        match &letter.content {
            Content::Text(_) => Self {
                needs_window: true,
                marketing: false,
                fallback: None,
                sandbox: false,
            },
        }
    }

    /// Nothing about its recipient could hold it back.
    fn passes_unasked(self) -> bool {
        self.sandbox && !self.needs_window && !self.marketing
    }
}
