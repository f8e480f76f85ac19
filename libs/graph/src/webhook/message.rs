//! Messages from users, and those that the business sends from its own app.

use outeract_domain::Wamid;
use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::item::{Account, Context, Kind, MAX_VALUE, Message, Product, Sender, word_of};
use super::lenient;
use super::read::{Bodies, object};
use super::said::Said;

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
    #[serde(default, deserialize_with = "lenient::optional_word")]
    to: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    to_user_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    to_parent_user_id: Option<String>,
    #[serde(deserialize_with = "lenient::integer")]
    timestamp: i64,
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    group_id: Option<String>,
    #[serde(default)]
    context: Option<WireContext>,
    #[serde(default, borrow)]
    referral: Option<&'a RawValue>,
    #[serde(default, borrow)]
    identity: Option<&'a RawValue>,
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
    #[serde(default, deserialize_with = "lenient::flag")]
    forwarded: bool,
    #[serde(default, deserialize_with = "lenient::flag")]
    frequently_forwarded: bool,
    #[serde(default)]
    referred_product: Option<Product>,
}

/// Who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The user.
    User,
    /// The business, in its own app.
    Business,
}

// === impl Kind ===

impl Kind {
    /// Reads one of `messages` or `message_echoes`, with the change's contacts.
    pub(super) fn of_message(raw: &str, by: By, received: OffsetDateTime, contacts: &[Contact]) -> Self {
        let Ok(message) = serde_json::from_str::<WireMessage<'_>>(raw) else {
            return Self::Broken {
                reason: "MESSAGE_UNREADABLE",
            };
        };
        let bodies = Bodies::of(raw);
        let kind = message.kind.clone().unwrap_or_else(|| "unknown".to_owned());
        if by == By::User && kind == "system" && moves_ids(&bodies) && raw.len() <= MAX_VALUE {
            return Self::Account(Box::new(Account {
                field: "system".to_owned(),
                value: raw.to_owned(),
                occurred: None,
            }));
        }
        let what = format!("message.{}", word_of(&kind));
        let broken = |reason| Self::Broken { reason };
        let Some(occurred) = lenient::time_of(message.timestamp, received) else {
            return broken("TIMESTAMP_IMPOSSIBLE");
        };
        let Some(wamid) = Wamid::new(message.id.clone()) else {
            return broken("ID_IMPOSSIBLE");
        };
        let Some(said) = Said::read(&kind, &bodies) else {
            return broken(if kind == "text" {
                "TEXT_UNREADABLE"
            } else {
                "CONTENT_UNREADABLE"
            });
        };
        let user = match by {
            By::User => message.sender(contacts),
            By::Business => message.recipient(contacts),
        };
        if user.wa_id.is_none() && user.user_id.is_none() {
            // What is not understood need not name anybody.
            return match said {
                Said::Unknown(_) => Self::Unsupported { what },
                _ => broken("SENDER_MISSING"),
            };
        }
        let message = Message {
            wamid,
            user,
            occurred,
            context: message.context.map(WireContext::read).unwrap_or_default(),
            // A referral that cannot be read is left out: the message counts all the same.
            referral: object(message.referral),
            identity: object(message.identity),
            group: message.group_id,
            what,
            said,
        };
        Self::of(by, message)
    }

    fn of(by: By, message: Message) -> Self {
        match by {
            By::User => Self::Message(Box::new(message)),
            By::Business => Self::Echo(Box::new(message)),
        }
    }
}

// === impl WireMessage, WireContext ===

impl WireMessage<'_> {
    /// What the message names of its sender, and the contacts beside it.
    fn sender(&self, contacts: &[Contact]) -> Sender {
        user([&self.from, &self.from_user_id, &self.from_parent_user_id], contacts)
    }

    /// What an echo names of its recipient, and the contacts beside it.
    fn recipient(&self, contacts: &[Contact]) -> Sender {
        user([&self.to, &self.to_user_id, &self.to_parent_user_id], contacts)
    }
}

impl WireContext {
    fn read(self) -> Context {
        Context {
            // What is forwarded replies to nothing.
            reply_to: self.id,
            forwarded: self.forwarded || self.frequently_forwarded,
            frequently_forwarded: self.frequently_forwarded,
            product: self.referred_product,
        }
    }
}

/// The user of these ids: WhatsApp id, business-scoped user id, and its parent.
fn user([wa_id, user_id, parent_user_id]: [&Option<String>; 3], contacts: &[Contact]) -> Sender {
    let same = |contact: &&Contact| {
        (wa_id.is_some() && contact.wa_id == *wa_id) || (user_id.is_some() && contact.user_id == *user_id)
    };
    let shown = contacts.iter().find(same).cloned().unwrap_or_default();
    let profile = shown.profile.unwrap_or_default();
    Sender {
        wa_id: wa_id.clone().or(shown.wa_id),
        user_id: user_id.clone().or(shown.user_id),
        parent_user_id: parent_user_id.clone().or(shown.parent_user_id),
        username: profile.username.or(shown.username),
        name: profile.name,
    }
}

fn moves_ids(bodies: &Bodies<'_>) -> bool {
    let kind = bodies
        .system
        .and_then(|raw| serde_json::from_str::<WireSystem>(raw.get()).ok())
        .and_then(|system| system.kind);
    matches!(kind.as_deref(), Some("user_changed_number" | "user_changed_user_id"))
}
