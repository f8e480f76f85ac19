//! Which messages there are, so that receipts and reactions can name them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

/// Messages in both directions. Only hashes are kept: benchmarks send millions.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<u64, Message>>);

/// What is known of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    number: u64,
    user: u64,
    at_ms: i64,
    inbound: bool,
    reaction: bool,
}

/// How long a message can be marked as read or reacted to, in milliseconds.
const REACH_MS: i64 = 30 * 24 * 3_600 * 1_000;

// === impl Known ===

impl Known {
    /// Notes a message between a number and a user.
    pub(crate) fn note(&self, wamid: &str, message: Message) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(hash(wamid), message);
    }

    /// A message that is still in reach.
    pub(crate) fn find(&self, wamid: &str, now_ms: i64) -> Option<Message> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let message = known.get(&hash(wamid)).copied();
        message.filter(|message| now_ms - message.at_ms <= REACH_MS)
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

// === impl Message ===

impl Message {
    /// A message of a user's to a number.
    pub(crate) fn inbound(phone_number_id: &str, user: &str, at_ms: i64, reaction: bool) -> Self {
        Self {
            number: hash(phone_number_id),
            user: hash(user),
            at_ms,
            inbound: true,
            reaction,
        }
    }

    /// A message of a number's to a user.
    pub(crate) fn outbound(phone_number_id: &str, user: &str, at_ms: i64, reaction: bool) -> Self {
        Self {
            inbound: false,
            ..Self::inbound(phone_number_id, user, at_ms, reaction)
        }
    }

    /// Whether the number may mark it as read.
    pub(crate) fn readable(&self, phone_number_id: &str) -> bool {
        self.inbound && self.number == hash(phone_number_id)
    }

    /// Whether the number may react to it in its chat with the user.
    pub(crate) fn takes_reaction(&self, phone_number_id: &str, user: &str) -> bool {
        !self.reaction && self.number == hash(phone_number_id) && self.user == hash(user)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_in_reach_of_their_chat_for_thirty_days() {
        let known = Known::default();
        known.note("a", Message::inbound("1", "u", 10, false));
        known.note("b", Message::outbound("1", "u", 10, true));
        let find = |wamid, now_ms| known.find(wamid, now_ms);
        assert!(find("c", 10).is_none() && find("a", 11 + REACH_MS).is_none());
        let inbound = find("a", 10 + REACH_MS).expect("in reach");
        assert!(inbound.readable("1") && !inbound.readable("2"));
        assert!(inbound.takes_reaction("1", "u") && !inbound.takes_reaction("1", "v"));
        let reaction = find("b", 10).expect("in reach");
        assert!(!reaction.readable("1") && !reaction.takes_reaction("1", "u"));
    }
}
