//! What the simulator accepted and delivered: the truth that tests hold others against.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
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
    /// The recipient it went to; empty when the business is not shown the number.
    pub wa_id: String,
    /// The user it went to, whichever way it was addressed.
    pub user: String,
    /// `biz_opaque_callback_data` of the call.
    pub callback: Option<String>,
    /// The message's type.
    pub r#type: String,
    /// Name and language of the template.
    pub template: Option<(String, String)>,
    /// Ids and links of the media, in the order of the body.
    pub media: Vec<String>,
    /// The message that is answered.
    pub context: Option<String>,
    /// The message that a reaction is to.
    pub reacts_to: Option<String>,
    /// The user's window was closed.
    pub outside_window: bool,
    /// SHA-256 of the call's body, in hex.
    pub body_sha256: String,
    /// When, in unix milliseconds.
    pub at_ms: i64,
    /// The statuses whose webhook was answered with 200.
    pub delivered_statuses: Vec<String>,
}

/// A receipt for a message of a user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The message.
    pub wamid: String,
    /// The number that received it.
    pub phone_number_id: String,
    /// The user was shown that the business types.
    pub typing: bool,
    /// When, in unix milliseconds.
    pub at_ms: i64,
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
    /// Acceptances by type.
    pub by_type: HashMap<String, u64>,
    /// Different users among the recipients, and among those whose window was closed.
    pub users: (u64, u64),
    /// Receipts, and typing among them.
    pub receipts: (u64, u64),
    /// Items whose webhook was answered with 200, by kind: `sent`, `delivered`, `read`, `played`, `failed`, `inbound`, `raw`.
    pub delivered: HashMap<String, u64>,
    /// Inbound messages that were injected.
    pub inbound: u64,
    /// Items given up after too many failures, or with nowhere to go.
    pub lost: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Vec<Entry>,
    /// The bodies of the last calls, the last one at the end.
    bodies: VecDeque<Bytes>,
    by_message: HashMap<String, u64>,
    without_callback: u64,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) delivered: [u64; KINDS.len()],
    pub(crate) inbound: u64,
    pub(crate) lost: u64,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) wamid: String,
    pub(crate) phone_number_id: String,
    pub(crate) to: String,
    pub(crate) wa_id: Option<String>,
    pub(crate) user: String,
    pub(crate) callback: Option<String>,
    pub(crate) kind: &'static str,
    pub(crate) content: Option<Box<Content>>,
    pub(crate) outside_window: bool,
    pub(crate) body_sha256: [u8; 32],
    pub(crate) at_ms: i64,
    /// One bit per kind.
    pub(crate) delivered: u8,
}

/// What a message uses and refers to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) template: Option<(String, String)>,
    pub(crate) media: Vec<String>,
    pub(crate) context: Option<String>,
    pub(crate) reacts_to: Option<String>,
}

/// The kinds of items, in the order of their bits.
pub(crate) const KINDS: [&str; 7] = ["sent", "delivered", "read", "failed", "inbound", "raw", "played"];

/// Bodies that are kept.
const BODIES: usize = 10_000;

// === impl Content ===

impl Content {
    pub(crate) fn is_empty(&self) -> bool {
        self.template.is_none() && self.media.is_empty() && self.context.is_none() && self.reacts_to.is_none()
    }
}

// === impl Ledger ===

impl Ledger {
    /// Writes down an acceptance.
    pub(crate) fn accept(&mut self, entry: Entry, body: &[u8]) -> usize {
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
        if self.bodies.len() == BODIES {
            self.bodies.pop_front();
        }
        // A copy: the buffer of the connection is larger and would be kept whole.
        self.bodies.push_back(Bytes::copy_from_slice(body));
        self.entries.push(entry);
        self.entries.len() - 1
    }

    /// The body that this message was sent with, if it is one of the last.
    pub(crate) fn body(&self, wamid: &str) -> Option<Bytes> {
        let newest = self.entries.iter().rev().zip(self.bodies.iter().rev());
        let mut found = newest.filter(|(entry, _)| entry.wamid == wamid);
        found.next().map(|(_, body)| body.clone())
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
        let entries = self.entries.iter();
        let outside = entries.clone().filter(|entry| entry.outside_window);
        let duplicates = self.by_message.iter().filter(|(_, times)| **times > 1);
        let typings = self.receipts.iter().filter(|receipt| receipt.typing);
        Summary {
            accepted: self.entries.len() as u64,
            messages: self.by_message.len() as u64 + self.without_callback,
            duplicates: duplicates.map(|(message, times)| (message.clone(), *times)).collect(),
            by_number: tally(entries.clone().map(|entry| entry.phone_number_id.as_str())),
            by_type: tally(entries.clone().map(|entry| entry.kind)),
            users: (
                tally(entries.map(|entry| entry.user.as_str())).len() as u64,
                tally(outside.map(|entry| entry.user.as_str())).len() as u64,
            ),
            receipts: (self.receipts.len() as u64, typings.count() as u64),
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

/// How often each word comes.
fn tally<'a>(words: impl Iterator<Item = &'a str>) -> HashMap<String, u64> {
    let mut times: HashMap<&str, u64> = HashMap::new();
    for word in words {
        *times.entry(word).or_default() += 1;
    }
    times
        .into_iter()
        .map(|(word, times)| (word.to_owned(), times))
        .collect()
}

impl Entry {
    fn public(&self, index: u64) -> Accepted {
        let delivered = KINDS
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.delivered & (1 << bit) != 0);
        let content = self.content.as_deref().cloned().unwrap_or_default();
        Accepted {
            index,
            wamid: self.wamid.clone(),
            phone_number_id: self.phone_number_id.clone(),
            to: self.to.clone(),
            wa_id: self.wa_id.clone().unwrap_or_default(),
            user: self.user.clone(),
            callback: self.callback.clone(),
            r#type: self.kind.to_owned(),
            template: content.template,
            media: content.media,
            context: content.context,
            reacts_to: content.reacts_to,
            outside_window: self.outside_window,
            body_sha256: hex::encode(self.body_sha256),
            at_ms: self.at_ms,
            delivered_statuses: delivered.map(|(_, kind)| (*kind).to_owned()).collect(),
        }
    }
}
