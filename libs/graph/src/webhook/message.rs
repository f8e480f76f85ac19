//! Messages from users.

use outeract_domain::Wamid;
use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::item::{Account, InboundOther, InboundText, Kind, MAX_VALUE, Sender, word_of};
use super::lenient;

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(deserialize_with = "lenient::word")]
    id: String,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    from: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    from_user_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    from_parent_user_id: Option<String>,
    #[serde(deserialize_with = "lenient::integer")]
    timestamp: i64,
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    kind: Option<String>,
    #[serde(default, borrow)]
    group_id: Option<&'a RawValue>,
    #[serde(default, borrow)]
    text: Option<&'a RawValue>,
    #[serde(default, borrow)]
    button: Option<&'a RawValue>,
    #[serde(default, borrow)]
    interactive: Option<&'a RawValue>,
    #[serde(default, borrow)]
    system: Option<&'a RawValue>,
    #[serde(default)]
    context: Option<WireContext>,
}

#[derive(Deserialize)]
struct WireText {
    body: String,
}

#[derive(Deserialize)]
struct WireButton {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    text: Option<String>,
    #[serde(default)]
    button_reply: Option<WireReply>,
    #[serde(default)]
    list_reply: Option<WireReply>,
}

#[derive(Deserialize)]
struct WireReply {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    title: Option<String>,
}

#[derive(Deserialize)]
struct WireSystem {
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    kind: Option<String>,
}

/// A user as the change's `contacts` show them.
#[derive(Deserialize, Default, Clone)]
pub(super) struct Contact {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    wa_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    parent_user_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    username: Option<String>,
    #[serde(default)]
    profile: Option<Profile>,
}

#[derive(Deserialize, Default, Clone)]
struct Profile {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    name: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    username: Option<String>,
}

#[derive(Deserialize)]
struct WireContext {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    id: Option<String>,
}

/// Longest text of a message that is kept: far above Meta's own limit.
const MAX_BODY: usize = 64 * 1024;
/// Types of messages that open the 24-hour window: what a user says. Edits, revocations and what Meta itself writes do not; of what Meta cannot show nobody knows.
const OPENING: &[&str] = &[
    "audio",
    "button",
    "contacts",
    "document",
    "image",
    "interactive",
    "location",
    "order",
    "reaction",
    "sticker",
    "video",
];

// === impl Kind ===

impl Kind {
    /// Reads one of `messages`, with the change's contacts.
    pub(super) fn of_message(raw: &str, received: OffsetDateTime, contacts: &[Contact]) -> Self {
        let Ok(message) = serde_json::from_str::<WireMessage<'_>>(raw) else {
            return Self::Broken {
                reason: "MESSAGE_UNREADABLE",
            };
        };
        match message.kind.as_deref() {
            Some("text") => message.text(received, contacts),
            Some("system") if message.moves_ids() && raw.len() <= MAX_VALUE => Self::Account(Box::new(Account {
                field: "system".to_owned(),
                value: raw.to_owned(),
                occurred: None,
            })),
            kind => {
                let what = format!("message.{}", word_of(kind.unwrap_or("unknown")));
                let other = kind
                    .filter(|kind| *kind != "system")
                    .and_then(|kind| message.other(kind, what.clone(), received, contacts));
                other.map_or(Self::Unsupported { what }, |other| Self::Other(Box::new(other)))
            }
        }
    }
}

// === impl WireMessage, WireButton ===

impl WireMessage<'_> {
    fn text(self, received: OffsetDateTime, contacts: &[Contact]) -> Kind {
        let Some(occurred) = lenient::time_of(self.timestamp, received) else {
            return Kind::Broken {
                reason: "TIMESTAMP_IMPOSSIBLE",
            };
        };
        let sender = self.sender(contacts);
        let reply_to = self.context.and_then(|context| context.id);
        let Some(wamid) = Wamid::new(self.id) else {
            return Kind::Broken {
                reason: "ID_IMPOSSIBLE",
            };
        };
        let text = self
            .text
            .and_then(|raw| serde_json::from_str::<WireText>(raw.get()).ok());
        let Some(body) = text.map(|text| text.body).filter(|body| body.len() <= MAX_BODY) else {
            return Kind::Broken {
                reason: "TEXT_UNREADABLE",
            };
        };
        if sender.wa_id.is_none() && sender.user_id.is_none() {
            return Kind::Broken {
                reason: "SENDER_MISSING",
            };
        }
        Kind::Text(Box::new(InboundText {
            wamid,
            sender,
            occurred,
            body,
            reply_to,
        }))
    }

    /// The frame of a message, if it has one. What is said in a group is said to nobody in particular.
    fn other(&self, kind: &str, what: String, received: OffsetDateTime, contacts: &[Contact]) -> Option<InboundOther> {
        if self.group_id.is_some_and(|group| group.get() != "null") {
            return None;
        }
        let sender = self.sender(contacts);
        if sender.wa_id.is_none() && sender.user_id.is_none() {
            return None;
        }
        Some(InboundOther {
            what,
            wamid: Wamid::new(self.id.clone())?,
            sender,
            occurred: lenient::time_of(self.timestamp, received)?,
            opens_window: OPENING.contains(&kind),
            button: self.button_text(),
        })
    }

    /// What the message names of its sender, and the contacts beside it.
    fn sender(&self, contacts: &[Contact]) -> Sender {
        let same = |contact: &&Contact| {
            (self.from.is_some() && contact.wa_id == self.from)
                || (self.from_user_id.is_some() && contact.user_id == self.from_user_id)
        };
        let shown = contacts.iter().find(same).cloned().unwrap_or_default();
        let profile = shown.profile.unwrap_or_default();
        Sender {
            wa_id: self.from.clone().or(shown.wa_id),
            user_id: self.from_user_id.clone().or(shown.user_id),
            parent_user_id: self.from_parent_user_id.clone().or(shown.parent_user_id),
            username: profile.username.or(shown.username),
            name: profile.name,
        }
    }

    fn button_text(&self) -> Option<String> {
        let text = |raw: Option<&RawValue>| serde_json::from_str::<WireButton>(raw?.get()).ok()?.text();
        text(self.button).or_else(|| text(self.interactive))
    }

    fn moves_ids(&self) -> bool {
        let kind = self
            .system
            .and_then(|raw| serde_json::from_str::<WireSystem>(raw.get()).ok())
            .and_then(|system| system.kind);
        matches!(kind.as_deref(), Some("user_changed_number" | "user_changed_user_id"))
    }
}

impl WireButton {
    fn text(self) -> Option<String> {
        let reply = self.button_reply.or(self.list_reply);
        self.text.or_else(|| reply?.title)
    }
}
