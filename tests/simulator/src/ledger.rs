//! What the simulator accepted and delivered: the truth that tests hold others against.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// One acceptance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Its place in the ledger, from 0.
    pub index: u64,
    /// The id it was given.
    pub wamid: String,
    /// The number that sent it.
    pub phone_number_id: String,
    /// The recipient as the call wrote it.
    pub to: String,
    /// The recipient it went to.
    pub wa_id: String,
    /// `biz_opaque_callback_data` of the call.
    pub callback: Option<String>,
    /// SHA-256 of the call's body, in hex.
    pub body_sha256: String,
    /// When, in unix milliseconds.
    pub at_ms: i64,
    /// The statuses whose webhook was answered with 200.
    pub delivered_statuses: Vec<String>,
}

/// What the ledger adds up to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Acceptances.
    pub accepted: u64,
    /// Different messages among them: callback data without what follows its last dot. Calls without callback data count singly.
    pub messages: u64,
    /// Messages accepted more than once, each with how often.
    pub duplicates: HashMap<String, u64>,
    /// Acceptances by number.
    pub by_number: HashMap<String, u64>,
    /// Items whose webhook was answered with 200, by kind: `sent`, `delivered`, `read`, `failed`, `inbound`, `raw`.
    pub delivered: HashMap<String, u64>,
    /// Inbound messages that were injected.
    pub inbound: u64,
    /// Items given up after too many failures, or with nowhere to go.
    pub lost: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Vec<Entry>,
    by_message: HashMap<String, u64>,
    without_callback: u64,
    pub(crate) delivered: [u64; KINDS.len()],
    pub(crate) inbound: u64,
    pub(crate) lost: u64,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) wamid: String,
    pub(crate) phone_number_id: String,
    pub(crate) to: String,
    pub(crate) wa_id: String,
    pub(crate) callback: Option<String>,
    pub(crate) body_sha256: [u8; 32],
    pub(crate) at_ms: i64,
    /// One bit per kind.
    pub(crate) delivered: u8,
}

/// The kinds of items, in the order of their bits.
pub(crate) const KINDS: [&str; 6] = ["sent", "delivered", "read", "failed", "inbound", "raw"];

// === impl Ledger ===

impl Ledger {
    /// Writes down an acceptance.
    pub(crate) fn accept(&mut self, entry: Entry) -> usize {
        match &entry.callback {
            Some(callback) => {
                let message = callback
                    .rsplit_once('.')
                    .map_or(callback.as_str(), |(message, _)| message);
                match self.by_message.get_mut(message) {
                    Some(times) => *times += 1,
                    None => {
                        self.by_message.insert(message.to_owned(), 1);
                    }
                }
            }
            None => self.without_callback += 1,
        }
        self.entries.push(entry);
        self.entries.len() - 1
    }

    /// Writes down that an item of this kind arrived.
    pub(crate) fn deliver(&mut self, kind: usize, message: Option<(usize, &str)>) {
        self.delivered[kind] += 1;
        if let Some((index, wamid)) = message
            && let Some(entry) = self.entries.get_mut(index).filter(|entry| entry.wamid == wamid)
        {
            entry.delivered |= 1 << kind;
        }
    }

    /// Acceptances from a place on, as many as `limit`, that pass the filter.
    pub(crate) fn page(&self, after: u64, limit: usize, pass: impl Fn(&Entry) -> bool) -> Vec<Accepted> {
        let entries = self.entries.iter().enumerate().skip(after as usize);
        entries
            .filter(|(_, entry)| pass(entry))
            .take(limit)
            .map(|(index, entry)| entry.public(index as u64))
            .collect()
    }

    pub(crate) fn summary(&self) -> Summary {
        let mut by_number = HashMap::new();
        for entry in &self.entries {
            match by_number.get_mut(&entry.phone_number_id) {
                Some(times) => *times += 1,
                None => {
                    by_number.insert(entry.phone_number_id.clone(), 1);
                }
            }
        }
        let duplicates = self.by_message.iter().filter(|(_, times)| **times > 1);
        Summary {
            accepted: self.entries.len() as u64,
            messages: self.by_message.len() as u64 + self.without_callback,
            duplicates: duplicates.map(|(message, times)| (message.clone(), *times)).collect(),
            by_number,
            delivered: KINDS
                .iter()
                .zip(self.delivered)
                .map(|(kind, times)| ((*kind).to_owned(), times))
                .collect(),
            inbound: self.inbound,
            lost: self.lost,
        }
    }
}

impl Entry {
    fn public(&self, index: u64) -> Accepted {
        let delivered = KINDS
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.delivered & (1 << bit) != 0);
        Accepted {
            index,
            wamid: self.wamid.clone(),
            phone_number_id: self.phone_number_id.clone(),
            to: self.to.clone(),
            wa_id: self.wa_id.clone(),
            callback: self.callback.clone(),
            body_sha256: hex::encode(self.body_sha256),
            at_ms: self.at_ms,
            delivered_statuses: delivered.map(|(_, kind)| (*kind).to_owned()).collect(),
        }
    }
}
