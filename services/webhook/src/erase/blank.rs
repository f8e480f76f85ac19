//! A body without one user: every part that names the user is blanked where it stands, so that the places of all other parts stay what they are.

use std::collections::HashSet;
use std::ops::Range;

use serde_json::value::RawValue;

use crate::json::{Members, elements, scalar};

/// Whom to blank, and where.
#[derive(Clone, Default)]
pub(crate) struct Whom {
    /// Phone numbers (digits) and ids of the user.
    pub identities: HashSet<String>,
    /// Only changes of these numbers.
    pub numbers: HashSet<String>,
    /// And, of changes that name no number, those of these accounts.
    pub wabas: HashSet<String>,
}

/// A body with parts blanked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Blanked {
    /// The new body.
    pub body: Vec<u8>,
    /// Where the parts stood that are blank now.
    pub pointers: Vec<String>,
}

/// Parts to blank, in the order of the body.
struct Parts<'a> {
    body: &'a str,
    whom: &'a Whom,
    found: Vec<(Range<usize>, String)>,
}

/// Levels of JSON that are looked into; what lies deeper is searched as text.
const MAX_DEPTH: usize = 48;

/// The body without the user; `None` when it does not name the user. A part is an element of a list: the message, the status, the contact that names the user, whatever its type; or the
/// whole value of a change that names the user outside of any list.
pub(crate) fn blank(body: &[u8], whom: &Whom) -> Option<Blanked> {
    let text = std::str::from_utf8(body).ok();
    let Some((text, raw)) = text.and_then(|text| Some((text, serde_json::from_str::<&RawValue>(text).ok()?))) else {
        return whole(&String::from_utf8_lossy(body), whom);
    };
    let mut parts = Parts {
        body: text,
        whom,
        found: Vec::new(),
    };
    let entries = Members::of(raw).and_then(|members| elements(members.get("entry")?));
    let Some(entries) = entries else {
        return whole(text, whom);
    };
    for (index, entry) in entries.into_iter().enumerate() {
        parts.entry(entry, &format!("/entry/{index}"));
    }
    parts.blanked()
}

/// A body that cannot be told apart.
fn whole(text: &str, whom: &Whom) -> Option<Blanked> {
    whom.is_within(text).then(|| Blanked {
        body: b"null".to_vec(),
        pointers: vec![String::new()],
    })
}

// === impl Whom ===

impl Whom {
    /// Whether it is worth reading the body: it holds an identity, or a character that could be written plainly is not.
    pub(crate) fn may_be_in(&self, body: &[u8]) -> bool {
        let hidden = |body: &[u8]| {
            body.windows(5)
                .any(|five| five.starts_with(br"\u00") && matches!(five.last(), Some(b'2'..=b'7')))
        };
        match std::str::from_utf8(body) {
            Ok(text) => self.is_within(text) || hidden(body),
            Err(_) => true,
        }
    }

    /// The text is one of the user's identities.
    fn is(&self, text: &str) -> bool {
        self.identities.contains(text.strip_prefix('+').unwrap_or(text))
    }

    /// The text holds one of the user's identities somewhere.
    fn is_within(&self, text: &str) -> bool {
        self.identities.iter().any(|identity| text.contains(identity.as_str()))
    }
}

// Ids of users are private.
impl std::fmt::Debug for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whom")
            .field("numbers", &self.numbers.len())
            .finish_non_exhaustive()
    }
}

// === impl Parts ===

impl<'a> Parts<'a> {
    fn entry(&mut self, entry: &'a RawValue, pointer: &str) {
        let members = Members::of(entry);
        let waba = members
            .as_ref()
            .and_then(|members| scalar(members.get("id")?))
            .unwrap_or_default();
        let changes = members.as_ref().and_then(|members| elements(members.get("changes")?));
        let Some(changes) = changes else {
            // Nobody can read it, and it is nobody's: not for this application to keep.
            if self.whom.is_within(entry.get()) {
                self.add(entry, pointer.to_owned());
            }
            return;
        };
        for (index, change) in changes.into_iter().enumerate() {
            self.change(change, &waba, &format!("{pointer}/changes/{index}"));
        }
    }

    fn change(&mut self, change: &'a RawValue, waba: &str, pointer: &str) {
        let Some(members) = Members::of(change) else {
            if self.whom.wabas.contains(waba) && self.whom.is_within(change.get()) {
                self.add(change, pointer.to_owned());
            }
            return;
        };
        // A member that stands twice is looked through twice.
        for (_, value) in members.0.iter().filter(|(name, _)| name == "value") {
            let fields = Members::of(value);
            let metadata = fields.as_ref().and_then(|fields| Members::of(fields.get("metadata")?));
            let number = metadata.and_then(|metadata| scalar(metadata.get("phone_number_id")?));
            let concerns = number.map_or_else(
                || self.whom.wabas.contains(waba),
                |number| self.whom.numbers.contains(&*number),
            );
            if concerns {
                self.value(value, fields, pointer);
            }
        }
    }

    fn value(&mut self, value: &'a RawValue, fields: Option<Members<'a>>, pointer: &str) {
        let before = self.found.len();
        let named = match fields {
            Some(members) => {
                let mut named = false;
                for (name, member) in members.0 {
                    // The business's own number, which may be a user of another.
                    if name != "metadata" {
                        named |= self.walk(member, &format!("{pointer}/value/{}", escaped(&name)), 0);
                    }
                }
                named
            }
            None => self.walk(value, &format!("{pointer}/value"), 0),
        };
        if named {
            self.found.truncate(before);
            self.add(value, pointer.to_owned());
        }
    }

    /// Whether the value names the user otherwise than in an element of a list of its own, which is noted.
    fn walk(&mut self, raw: &'a RawValue, pointer: &str, depth: usize) -> bool {
        if depth == MAX_DEPTH {
            return self.whom.is_within(raw.get());
        }
        if let Some(text) = scalar(raw) {
            return self.whom.is(&text);
        }
        if let Some(members) = Members::of(raw) {
            let mut named = false;
            for (name, member) in members.0 {
                named |= self.whom.is(&name);
                named |= self.walk(member, &format!("{pointer}/{}", escaped(&name)), depth + 1);
            }
            return named;
        }
        let mut named = false;
        for (index, element) in elements(raw).unwrap_or_default().into_iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            let before = self.found.len();
            if self.walk(element, &pointer, depth + 1) {
                self.found.truncate(before);
                if scalar(element).is_some() {
                    // A list of ids is about whoever holds it.
                    named = true;
                } else {
                    self.add(element, pointer);
                }
            }
        }
        named
    }

    fn add(&mut self, part: &'a RawValue, pointer: String) {
        let start = part.get().as_ptr().addr() - self.body.as_ptr().addr();
        self.found.push((start..start + part.get().len(), pointer));
    }

    fn blanked(mut self) -> Option<Blanked> {
        if self.found.is_empty() {
            return None;
        }
        self.found.sort_by_key(|(range, _)| range.start);
        let mut body = Vec::with_capacity(self.body.len());
        let mut from = 0;
        for (range, _) in &self.found {
            // Proof: ranges are of parts of the body, and none lies within another.
            body.extend_from_slice(self.body.get(from..range.start).unwrap_or_default().as_bytes());
            body.extend_from_slice(b"null");
            from = range.end;
        }
        body.extend_from_slice(self.body.get(from..).unwrap_or_default().as_bytes());
        Some(Blanked {
            body,
            pointers: self.found.into_iter().map(|(_, pointer)| pointer).collect(),
        })
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::json::fragment;

    fn whom() -> Whom {
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Whom {
            identities: set(&["16505551234", "US.1"]),
            numbers: set(&["1"]),
            wabas: set(&["7"]),
        }
    }

    fn change(number: &str, value: &Value) -> Value {
        let mut value = value.clone();
        value["metadata"] = json!({"phone_number_id": number, "display_phone_number": "16505551234"});
        json!({"field": "messages", "value": value})
    }

    fn body(changes: &[Value]) -> Vec<u8> {
        json!({"object": "whatsapp_business_account", "entry": [{"id": "7", "changes": changes}]})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn every_part_of_the_user_is_blanked_and_every_other_stays_byte_for_byte_where_it_was() {
        let messages = json!({
            "contacts": [{"wa_id": "16505551234", "profile": {"name": "Ann"}}, {"wa_id": "2", "profile": {"name": "Bob"}}],
            "messages": [
                {"from": "16505551234", "text": {"body": "secret"}},
                {"from": "2", "text": {"body": "hello"}, "n": 1.50},
                {"from_user_id": "US.1", "type": "contacts", "contacts": [{"phones": [{"phone": "+49"}]}]},
                {"from": "2", "type": "contacts", "contacts": [{"name": "Ann", "phones": [{"phone": "+16505551234"}, {"phone": "+49"}]}]},
            ],
            "statuses": [{"recipient_id": 16_505_551_234_u64}, {"recipient_id": "3"}],
        });
        let before = body(&[change("1", &messages), change("2", &messages)]);
        let blanked = blank(&before, &whom()).unwrap();
        let at = "/entry/0/changes/0/value";
        let mut expected: Vec<String> = [
            "contacts/0",
            "messages/0",
            "messages/2",
            "messages/3/contacts/0/phones/0",
            "statuses/0",
        ]
        .iter()
        .map(|part| format!("{at}/{part}"))
        .collect();
        expected.sort();
        let mut pointers = blanked.pointers.clone();
        pointers.sort();
        assert_eq!(pointers, expected);
        for pointer in &pointers {
            assert_eq!(fragment(&blanked.body, pointer), Some("null"));
        }
        for same in [
            "/entry/0/changes/1",
            "/entry/0/changes/0/value/messages/1",
            "/entry/0/changes/0/value/metadata",
        ] {
            assert_eq!(fragment(&blanked.body, same), fragment(&before, same), "{same}");
        }
        assert_eq!(blank(&blanked.body, &whom()), None, "nothing is left to blank");
        assert_eq!(
            outeract_graph::webhook::parse(&blanked.body, time::OffsetDateTime::UNIX_EPOCH)
                .unwrap()
                .len(),
            outeract_graph::webhook::parse(&before, time::OffsetDateTime::UNIX_EPOCH)
                .unwrap()
                .len(),
        );
    }

    #[test]
    fn a_body_is_read_if_it_may_name_the_user() {
        for may in [&br#"{"a":"x16505551234y"}"#[..], br#"{"a":"\u0055S.1"}"#, b"\xff"] {
            assert!(whom().may_be_in(may));
        }
        for no in [&br#"{"a":"1650555123"}"#[..], br#"{"a":"gr\u00fc\u00dfe \u000a"}"#] {
            assert!(!whom().may_be_in(no));
        }
        let hidden = body(&[change("1", &json!({"messages": [{"from_user_id": "US.1"}]}))]);
        let hidden = String::from_utf8(hidden).unwrap().replace("\"US.1\"", r#""\u0055S.1""#);
        assert!(blank(hidden.as_bytes(), &whom()).is_some());
    }

    #[test]
    fn lists_of_accounts_and_values_without_lists() {
        let moved = json!({"field": "user_id_update", "value": {"user_id_update": [
            {"user_id": {"previous": "US.1", "current": "US.9"}}, {"user_id": {"previous": "US.2", "current": "US.3"}}]}});
        let single = json!({"field": "something_new", "value": {"deep": {"who": "US.1"}, "list": [{"x": "US.1"}]}});
        let ids = json!({"field": "groups", "value": {"groups": [{"participants": ["2", "US.1"], "subject": "s"}]}});
        let blanked = blank(&body(&[moved.clone(), single, ids]), &whom()).unwrap();
        assert_eq!(
            blanked.pointers,
            [
                "/entry/0/changes/0/value/user_id_update/0",
                "/entry/0/changes/1",
                "/entry/0/changes/2/value/groups/0",
            ]
        );
        let left: Value = serde_json::from_slice(&blanked.body).unwrap();
        assert_eq!(
            left["entry"][0]["changes"][1],
            json!({"field": "something_new", "value": null})
        );
        // Of another account nothing is touched.
        let foreign = Whom {
            wabas: HashSet::new(),
            ..whom()
        };
        assert_eq!(blank(&body(&[moved]), &foreign), None);
    }

    #[test]
    fn what_cannot_be_told_apart_goes_as_a_whole_if_it_names_the_user() {
        for broken in [
            &b"{\"entry\": [{\"from\": \"16505551234\"}"[..],
            b"[\"US.1\"]",
            b"\xff US.1",
        ] {
            let blanked = blank(broken, &whom()).unwrap();
            assert_eq!(
                (blanked.body.as_slice(), blanked.pointers.as_slice()),
                (&b"null"[..], &[String::new()][..])
            );
        }
        assert_eq!(blank(b"{\"entry\": [", &whom()), None);
        let deep = format!("{}\"US.1\"{}", "[".repeat(5_000), "]".repeat(5_000));
        let value = format!(r#"{{"entry":[{{"id":"7","changes":[{{"field":"x","value":{{"a":{deep}}}}}]}}]}}"#);
        let blanked = blank(value.as_bytes(), &whom()).unwrap();
        assert!(!String::from_utf8(blanked.body).unwrap().contains("US.1"));
    }
}
