//! Items as requests name them.

use std::collections::{HashMap, HashSet};

use outeract_domain::WebhookId;
use outeract_proto::webhook::v1::{ItemDecision, ItemName};
use outeract_rpc::{Fault, Violation};
use uuid::Uuid;

/// Items of one call.
const MAX_NAMES: usize = 100;
/// Bytes of a pointer: rows keep no more.
const MAX_POINTER: usize = 256;
/// Bytes of names that a line of the log keeps.
const MAX_SUBJECT: usize = 8 << 10;

/// An item by its webhook and place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    /// The webhook.
    pub post_id: Uuid,
    /// Where it stands in the JSON.
    pub pointer: String,
}

/// How an item stands after a decision.
#[derive(Debug, Clone, Default)]
pub(super) struct Decided {
    /// The contract's number; 0: it is not listed.
    pub outcome: i16,
    /// Why.
    pub reason: String,
    /// The decision was carried out.
    pub done: bool,
}

/// The items that a request names, in its order.
#[derive(Debug)]
pub(super) struct Names(Vec<Name>);

// === impl Name ===

impl Name {
    /// The name, checked.
    pub(super) fn check(raw: &ItemName) -> Result<Self, Violation> {
        let id: WebhookId = raw
            .webhook_id
            .parse()
            .map_err(|_| Violation::new("webhook_id", "must be a `wh_…` id"))?;
        // As rows keep it: no null character, which Postgres refuses.
        let is_pointer = raw.pointer.is_empty() || raw.pointer.starts_with('/');
        if !is_pointer || raw.pointer.len() > MAX_POINTER || raw.pointer.contains('\0') {
            let rule = format!("must be empty or an RFC 6901 pointer of at most {MAX_POINTER} bytes");
            return Err(Violation::new("pointer", rule));
        }
        Ok(Self {
            post_id: id.uuid(),
            pointer: raw.pointer.clone(),
        })
    }

    /// The name of one item, which is required.
    pub(super) fn required(raw: Option<&ItemName>) -> Result<Self, Fault> {
        let raw = raw.ok_or_else(|| Fault::invalid("name", "is required"))?;
        Self::check(raw).map_err(|violation| violation.within("name").into())
    }

    /// As the log names it.
    pub(super) fn subject(&self) -> String {
        format!("{}{}", WebhookId::from_uuid(self.post_id), self.pointer)
    }
}

// === impl Names ===

impl Names {
    /// 1 to 100 names, each at most once.
    pub(super) fn check(raw: &[ItemName]) -> Result<Self, Fault> {
        if raw.is_empty() || raw.len() > MAX_NAMES {
            return Err(Fault::invalid("names", format!("must be 1 to {MAX_NAMES}")));
        }
        let mut seen = HashSet::new();
        let mut names = Vec::with_capacity(raw.len());
        for (index, raw) in raw.iter().enumerate() {
            let at = format!("names[{index}]");
            let name = Name::check(raw).map_err(|violation| Fault::from(violation.within(&at)))?;
            if !seen.insert(name.clone()) {
                return Err(Fault::invalid(at, "is named twice"));
            }
            names.push(name);
        }
        Ok(Self(names))
    }

    /// Whether this item is among them.
    pub(super) fn contains(&self, post_id: Uuid, pointer: &str) -> bool {
        self.0
            .iter()
            .any(|name| name.post_id == post_id && name.pointer == pointer)
    }

    /// Their webhooks, each once, in order.
    pub(super) fn posts(&self) -> Vec<Uuid> {
        let mut ids: Vec<Uuid> = self.0.iter().map(|name| name.post_id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Their webhooks and pointers, column by column.
    pub(super) fn columns(&self) -> (Vec<Uuid>, Vec<String>) {
        self.0.iter().map(|name| (name.post_id, name.pointer.clone())).unzip()
    }

    /// All of them, for the log.
    pub(super) fn subject(&self) -> String {
        let mut subject = String::new();
        for name in &self.0 {
            if subject.len() > MAX_SUBJECT {
                subject.push_str(" …");
                break;
            }
            if !subject.is_empty() {
                subject.push(' ');
            }
            subject.push_str(&name.subject());
        }
        subject
    }

    /// One decision per name, in their order.
    pub(super) fn answer(self, mut decided: HashMap<Name, Decided>) -> Vec<ItemDecision> {
        let answer = |name: Name| {
            let Decided { outcome, reason, done } = decided.remove(&name).unwrap_or_default();
            ItemDecision {
                outcome: i32::from(outcome),
                reason,
                done,
                name: Some(ItemName {
                    webhook_id: WebhookId::from_uuid(name.post_id).to_string(),
                    pointer: name.pointer,
                }),
            }
        };
        self.0.into_iter().map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(webhook: &str, pointer: &str) -> ItemName {
        ItemName {
            webhook_id: webhook.to_owned(),
            pointer: pointer.to_owned(),
        }
    }

    #[test]
    fn names_are_checked_one_by_one_and_given_once() {
        const ID: &str = "wh_01h455vb4pex5vsknk084sn02q";
        let path = |names: &[ItemName]| Names::check(names).expect_err("refused").violations()[0].path.clone();
        assert_eq!(path(&[]), "names");
        assert_eq!(path(&vec![name(ID, "/a"); 101]), "names");
        assert_eq!(path(&[name(ID, "/a"), name("wh_", "/a")]), "names[1].webhook_id");
        assert_eq!(path(&[name(ID, "/a"), name(ID, "/a")]), "names[1]");
        for bad in ["a", "/\0", &"/".repeat(257)] {
            assert_eq!(path(&[name(ID, bad)]), "names[0].pointer", "{bad}");
        }
        let names = Names::check(&[name(ID, "/a"), name(ID, "")]).expect("valid");
        assert_eq!((names.posts().len(), names.columns().1.len()), (1, 2));
        assert_eq!(names.subject(), format!("{ID}/a {ID}"));
        let answer = names.answer(HashMap::new());
        assert_eq!((answer.len(), answer[0].outcome, answer[0].done), (2, 0, false));
    }
}
