//! One lane: messages to one recipient in one priority, in the order of acceptance.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

/// A message that waits.
#[derive(Debug)]
pub(super) struct Row<C> {
    pub(super) message: Uuid,
    pub(super) place: i64,
    pub(super) ready: Instant,
    /// Since when it has been here: its lane's patience counts from this.
    pub(super) since: Instant,
    /// What it waits for is a time that its sender chose.
    pub(super) scheduled: bool,
    pub(super) cargo: C,
}

/// Messages by place. Two that claim the same place are told apart by their ids.
#[derive(Debug)]
pub(super) struct Lane<C> {
    pub(super) rows: BTreeMap<(i64, Uuid), Row<C>>,
    /// The message on its way.
    pub(super) calling: Option<Uuid>,
    /// A message of this lane has an outcome that nobody knows yet.
    pub(super) blocked_until: Option<Instant>,
    /// It stands in the number's list of lanes that can send.
    pub(super) listed: bool,
}

/// What a lane can do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Its head can go.
    Ready,
    /// It is to be looked at again, then.
    Later(Instant),
    /// Something on its way must come to its end first.
    Busy,
    /// Its head has waited for too long and lets the others pass.
    StepAside,
    /// Nothing is in it.
    Empty,
}

// === impl Lane ===

impl<C> Lane<C> {
    pub(super) fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            calling: None,
            blocked_until: None,
            listed: false,
        }
    }

    /// Its head can go now, where nothing holds its user up.
    pub(super) fn goes(&self, now: Instant) -> bool {
        self.calling.is_none()
            && self.blocked_until.is_none_or(|until| until <= now)
            && self.rows.values().next().is_some_and(|head| head.ready <= now)
    }

    /// What it can do. `held_up`: until when its user cannot be written to; that holds for all that is in it, so no head is stepped over for it.
    pub(super) fn turn(&self, now: Instant, patience: Duration, held_up: Option<Instant>) -> Turn {
        if self.calling.is_some() {
            return Turn::Busy;
        }
        if let Some(until) = self.blocked_until.filter(|until| *until > now) {
            return Turn::Later(until);
        }
        match self.rows.values().next() {
            None => Turn::Empty,
            Some(head) if head.ready <= now => held_up.map_or(Turn::Ready, Turn::Later),
            Some(head) if head.since + patience <= now => Turn::StepAside,
            Some(head) => Turn::Later(head.ready.min(head.since + patience)),
        }
    }
}
