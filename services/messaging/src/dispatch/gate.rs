//! The gate before the intent: the 24-hour window, then the recipient's wish for no marketing, then the portfolio's quota of unique users. What passes is sent at once; what does not waits
//! or ends without an attempt.
//!
//! What needs the window, and has no template for outside, passes without a question where the window is known to be open. Everything else is asked for many messages at once: one statement
//! for windows and wishes, and for those that count against a limited quota a second one that takes their places.

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
use crate::projection::Connection;
use crate::vault::Letter;
use crate::window::{Refusal, Windows};

pub(crate) use self::aftermath::{Aftermath, Place, Refused, WINDOW_CLOSED, When};
pub(crate) use self::aside::{Aside, Deed, SetAside, asides};
pub(crate) use self::judge::judges;

/// What a message asks.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub message: Uuid,
    pub number: NumberId,
    pub contact: Uuid,
    pub connection: Arc<Connection>,
    pub terms: Terms,
}

/// What of a message concerns the gate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// It may be sent inside the window only.
    pub needs_window: bool,
    /// The template that it is or, if it needs the window, the one that goes in its place outside.
    pub template: Option<TemplateName>,
    /// It counts against no limit of Meta's.
    pub sandbox: bool,
}

/// Names a template of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TemplateName {
    pub name: String,
    pub language: String,
}

/// What the gate says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    Go(Pass),
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pass {
    /// Its fallback template goes in its place.
    pub fallback: bool,
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
        if self.passes_in_window(&ask) {
            return Ok(Verdict::Go(Pass::default()));
        }
        self.judge.submit(ask).await.map_err(|_| Unanswered)
    }

    /// Postgres was asked for a message's content at `asked`, and told at the same time that so many seconds of its recipient's window are left.
    pub(crate) fn learn(&self, number: &NumberId, contact: Uuid, left: Option<f64>, asked: Instant) {
        self.windows.learn(number, contact, left, asked);
    }

    fn passes_in_window(&self, ask: &Ask) -> bool {
        ask.terms.needs_window && ask.terms.template.is_none() && self.windows.is_open(&ask.number, ask.contact)
    }
}

// === impl Pass ===

impl Pass {
    /// What goes: the message's own content or, outside the window, the template in its place.
    pub(crate) fn content(self, letter: &Letter) -> &Content {
        let fallback = letter.fallback.as_ref().filter(|_| self.fallback);
        fallback.unwrap_or(&letter.content)
    }
}

// === impl TemplateName ===

impl TemplateName {
    /// Name and language.
    pub(crate) fn parts(&self) -> (&str, &str) {
        (&self.name, &self.language)
    }
}

// === impl Terms ===

impl Terms {
    pub(crate) fn of(letter: &Letter) -> Self {
        let template = letter
            .content
            .template()
            .or_else(|| letter.fallback.as_ref().and_then(Content::template));
        Self {
            needs_window: letter.content.needs_window(),
            template: template.map(|template| TemplateName {
                name: template.name().to_owned(),
                language: template.language().to_owned(),
            }),
            sandbox: letter.sandbox,
        }
    }

    /// What speaks against sending it for good.
    pub(crate) fn refusal(&self, open: bool, unwanted: bool) -> Option<Refusal> {
        let template_goes = !self.needs_window || !open;
        if template_goes && self.template.is_none() {
            Some(Refusal::Outside)
        } else {
            (unwanted && template_goes).then_some(Refusal::OptedOut)
        }
    }

    /// Outside the window a template goes in its place.
    pub(crate) fn falls_back(&self) -> bool {
        self.needs_window && self.template.is_some()
    }
}
