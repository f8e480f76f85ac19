//! What is still to be sent to the callback, and when.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::ledger::KINDS;
use crate::world::Number;

/// How the statuses of one message come.
#[derive(Debug, Clone, Default)]
pub(crate) struct StatusPlan {
    /// How many times each webhook comes; 0 counts as 1.
    pub(crate) times: u32,
    /// The answer to the call waits for the first status.
    pub(crate) early: bool,
    pub(crate) drop_callback: bool,
    /// The only status is `failed`, with this code and title.
    pub(crate) fail: Option<(i32, String)>,
    /// One bit per kind that never comes.
    withheld: u8,
}

/// Whom a message went to, as webhooks tell.
#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "the names are Meta's")]
pub(crate) struct Recipient {
    /// `None`: the business is not shown the number.
    pub(crate) wa_id: Option<String>,
    pub(crate) user_id: String,
    pub(crate) parent_user_id: Option<String>,
    /// The message was addressed by the id.
    pub(crate) by_user_id: bool,
}

/// An accepted message whose statuses are to come.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) number: Arc<Number>,
    pub(crate) wamid: String,
    pub(crate) recipient: Recipient,
    /// A template's category.
    pub(crate) category: Option<&'static str>,
    pub(crate) callback: Option<String>,
    /// Its place in the ledger.
    pub(crate) entry: usize,
    pub(crate) plan: StatusPlan,
    /// Kinds of statuses with their due times, in unix milliseconds.
    pub(crate) steps: Vec<(u8, i64)>,
    /// Told when the first status arrived.
    pub(crate) first: Notify,
}

/// One item of a webhook.
#[derive(Debug, Clone)]
pub(crate) enum Update {
    /// A status: which message, and which of its steps.
    Status(Arc<Sent>, usize),
    /// A message from a user, or a raw item, in a list of a number's `value`.
    Item {
        number: Arc<Number>,
        list: &'static str,
        item: Arc<RawValue>,
        /// The user's entry in `contacts`.
        contact: Option<Arc<RawValue>>,
    },
    /// A whole change of an account.
    Change {
        waba_id: String,
        field: String,
        value: Arc<RawValue>,
        /// When it happened, in unix seconds.
        at: i64,
    },
}

/// A POST that is being tried.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) updates: Vec<Update>,
    /// Empty until it was tried once.
    pub(crate) body: Bytes,
    pub(crate) signature: String,
    pub(crate) failures: u32,
    pub(crate) first_try_ms: i64,
}

/// What is still to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: Mutex<Queues>,
    /// Something became due earlier than was known.
    sooner: Notify,
    /// There is something to send.
    ready: Notify,
    /// A POST came to its end.
    settled: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    later: BinaryHeap<Reverse<Later>>,
    now: VecDeque<Update>,
    posts_now: VecDeque<Post>,
    in_flight: usize,
    paused: bool,
    next_number: u64,
}

#[derive(Debug)]
struct Later {
    due_ms: i64,
    number: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Update(Update),
    Post(Post),
}

// === impl StatusPlan ===

impl StatusPlan {
    /// These statuses, or all when there are none named, never come.
    pub(crate) fn withhold(&mut self, statuses: &[String]) {
        for (bit, kind) in KINDS.iter().enumerate() {
            if statuses.is_empty() || statuses.iter().any(|status| status == kind) {
                self.withheld |= 1 << bit;
            }
        }
    }

    pub(crate) fn comes(&self, kind: u8) -> bool {
        self.withheld & (1 << kind) == 0
    }
}

// === impl Sent ===

impl Sent {
    /// The same message when it is no longer held.
    pub(crate) fn released(&self, plan: StatusPlan, steps: Vec<(u8, i64)>) -> Self {
        Self {
            number: self.number.clone(),
            wamid: self.wamid.clone(),
            recipient: self.recipient.clone(),
            category: self.category,
            callback: self.callback.clone(),
            entry: self.entry,
            plan,
            steps,
            first: Notify::new(),
        }
    }
}

// === impl Update ===

impl Update {
    /// Whether the app gets webhooks of the item's account.
    pub(crate) fn subscribed(&self) -> bool {
        match self {
            Self::Status(sent, _) => sent.number.subscribed.load(Ordering::Relaxed),
            Self::Item { number, .. } => number.subscribed.load(Ordering::Relaxed),
            Self::Change { .. } => true,
        }
    }

    /// The kind's place in `KINDS`.
    pub(crate) fn kind(&self) -> usize {
        match self {
            Self::Status(sent, step) => usize::from(sent.steps[*step].0),
            Self::Item { contact: Some(_), .. } => 4,
            Self::Item { .. } | Self::Change { .. } => 5,
        }
    }
}

// === impl Later ===

impl Ord for Later {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ms, self.number).cmp(&(other.due_ms, other.number))
    }
}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Later {}

// === impl Outbox ===

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the first step of a message when it is due; the others follow by themselves.
    pub(crate) fn statuses(&self, sent: Arc<Sent>) {
        if let Some((_, due_ms)) = sent.steps.first().copied() {
            self.later(due_ms, What::Update(Update::Status(sent, 0)));
        }
    }

    /// Sends items as soon as possible, in this order.
    pub(crate) fn now(&self, updates: impl IntoIterator<Item = Update>) {
        self.lock().now.extend(updates);
        self.ready.notify_one();
    }

    /// Tries a POST again at this time.
    pub(crate) fn retry(&self, due_ms: i64, post: Post) {
        self.later(due_ms, What::Post(post));
    }

    fn later(&self, due_ms: i64, what: What) {
        let mut queues = self.lock();
        let sooner = queues.later.peek().is_none_or(|Reverse(next)| due_ms < next.due_ms);
        queues.later(due_ms, what);
        drop(queues);
        if sooner {
            self.sooner.notify_one();
        }
    }

    /// Makes ready what is due and returns when the next is.
    pub(crate) fn advance(&self, now_ms: i64) -> Option<i64> {
        let mut queues = self.lock();
        let before = queues.now.len() + queues.posts_now.len();
        while queues.later.peek().is_some_and(|Reverse(next)| next.due_ms <= now_ms) {
            match queues.later.pop().map(|Reverse(later)| later.what) {
                Some(What::Update(update)) => queues.due(update),
                Some(What::Post(post)) => queues.posts_now.push_back(post),
                None => {}
            }
        }
        let next = queues.later.peek().map(|Reverse(next)| next.due_ms);
        let more = queues.now.len() + queues.posts_now.len() > before;
        drop(queues);
        if more {
            self.ready.notify_one();
        }
        next
    }

    /// Waits until something became due earlier than was known.
    pub(crate) async fn sooner(&self) {
        self.sooner.notified().await;
    }

    /// Waits for something to send, and takes at most `max_items` of it.
    pub(crate) async fn take(&self, max_items: usize) -> Post {
        loop {
            let notified = self.ready.notified();
            if let Some((post, more)) = self.lock().take(max_items) {
                if more {
                    self.ready.notify_one();
                }
                return post;
            }
            notified.await;
        }
    }

    /// A POST that was taken came to its end, or waits for its retry.
    pub(crate) fn done(&self) {
        self.lock().in_flight -= 1;
        self.settled.notify_waiters();
    }

    /// Waits until nothing is scheduled, ready or under way.
    pub(crate) async fn idle(&self) {
        loop {
            let settled = self.settled.notified();
            if self.lock().idle() {
                return;
            }
            settled.await;
        }
    }

    /// Stops sending, or goes on.
    pub(crate) fn pause(&self, paused: bool) {
        self.lock().paused = paused;
        self.ready.notify_one();
    }

    /// Forgets everything that is not under way.
    pub(crate) fn clear(&self) {
        let mut queues = self.lock();
        queues.later.clear();
        queues.now.clear();
        queues.posts_now.clear();
        drop(queues);
        self.settled.notify_waiters();
    }

    /// How many items and POSTs wait.
    pub(crate) fn waiting(&self) -> usize {
        let queues = self.lock();
        queues.later.len() + queues.now.len() + queues.posts_now.len() + queues.in_flight
    }
}

// === impl Queues ===

impl Queues {
    fn later(&mut self, due_ms: i64, what: What) {
        self.next_number += 1;
        self.later.push(Reverse(Later {
            due_ms,
            number: self.next_number,
            what,
        }));
    }

    fn due(&mut self, update: Update) {
        if let Update::Status(sent, step) = &update {
            if let Some((_, due_ms)) = sent.steps.get(step + 1).copied() {
                self.later(due_ms, What::Update(Update::Status(sent.clone(), step + 1)));
            }
            for _ in 1..sent.plan.times {
                self.now.push_back(update.clone());
            }
        }
        self.now.push_back(update);
    }

    fn take(&mut self, max_items: usize) -> Option<(Post, bool)> {
        if self.paused {
            return None;
        }
        let post = if let Some(post) = self.posts_now.pop_front() {
            post
        } else if self.now.is_empty() {
            return None;
        } else {
            let count = self.now.len().min(max_items);
            Post {
                updates: self.now.drain(..count).collect(),
                body: Bytes::new(),
                signature: String::new(),
                failures: 0,
                first_try_ms: 0,
            }
        };
        self.in_flight += 1;
        Some((post, !self.now.is_empty() || !self.posts_now.is_empty()))
    }

    fn idle(&self) -> bool {
        self.later.is_empty() && self.now.is_empty() && self.posts_now.is_empty() && self.in_flight == 0
    }
}
