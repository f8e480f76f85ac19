//! Callers that wait for Meta's answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use outeract_proto::messaging::v1::SendStatus;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::status::queued;

/// Who waits for which message: at most so many at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Waiters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    waiting: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    last: u64,
    by_message: HashMap<Uuid, (u64, oneshot::Sender<SendStatus>)>,
}

/// A place among those who wait. Dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Waiter {
    message: Uuid,
    /// Tells this place from a later one for the same message.
    number: u64,
    answer: oneshot::Receiver<SendStatus>,
    waiters: Waiters,
}

// === impl Waiters ===

impl Waiters {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner {
            most,
            waiting: Mutex::default(),
        }))
    }

    /// A place, unless all are taken or somebody waits for this message already.
    pub(crate) fn join(&self, message: Uuid) -> Option<Waiter> {
        let (sender, answer) = oneshot::channel();
        let mut places = self.places();
        if places.by_message.len() >= self.0.most || places.by_message.contains_key(&message) {
            return None;
        }
        places.last += 1;
        let number = places.last;
        places.by_message.insert(message, (number, sender));
        Some(Waiter {
            message,
            number,
            answer,
            waiters: self.clone(),
        })
    }

    /// Tells whoever waits for this message.
    pub(crate) fn tell(&self, message: Uuid, status: SendStatus) {
        let waiter = self.places().by_message.remove(&message);
        if let Some((_, sender)) = waiter {
            // Who has gone does not need to know.
            let _ = sender.send(status);
        }
    }

    /// Somebody waits for this message.
    pub(crate) fn awaited(&self, message: Uuid) -> bool {
        self.places().by_message.contains_key(&message)
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Waiter ===

impl Waiter {
    /// The answer. Cancel-safe.
    pub(crate) async fn answer(&mut self) -> SendStatus {
        (&mut self.answer).await.unwrap_or_else(|_| queued())
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut places = self.waiters.places();
        if places
            .by_message
            .get(&self.message)
            .is_some_and(|(number, _)| *number == self.number)
        {
            places.by_message.remove(&self.message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_bounded_and_given_up() {
        let waiters = Waiters::new(2);
        let mut first = waiters.join(Uuid::from_u128(1)).expect("a place");
        let second = waiters.join(Uuid::from_u128(2)).expect("a place");
        assert!(waiters.join(Uuid::from_u128(3)).is_none());
        drop(second);
        let third = waiters.join(Uuid::from_u128(3)).expect("a place");
        waiters.tell(Uuid::from_u128(1), queued());
        assert!(first.answer().await.pending);
        let again = waiters.join(Uuid::from_u128(1)).expect("a place");
        drop(first);
        assert!(
            waiters.awaited(Uuid::from_u128(1)),
            "a place that was given up before is not this one"
        );
        drop((again, third));
        assert!(waiters.places().by_message.is_empty());
    }
}
