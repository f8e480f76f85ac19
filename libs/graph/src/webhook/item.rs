use outeract_domain::Wamid;
use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::lenient;

/// The smallest thing Meta reports: one message, one status, or one change of any other field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it stands in the body: an RFC 6901 pointer.
    pub pointer: String,
    /// The entry's id: the WABA, for message items. Empty when it could not be read.
    pub waba_id: String,
    /// Meta's name of the field, for example `messages`. Empty when it could not be read.
    pub field: String,
    /// The business number it concerns, where the change names one.
    pub phone_number_id: Option<String>,
    /// What it is.
    pub kind: Kind,
}

/// What an item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A text message from a user.
    Text(Box<InboundText>),
    /// A status of a message to a user.
    Status(Box<Status>),
    /// Something this version does not understand.
    Unsupported {
        /// What it is, in Meta's words, for example `message.image`.
        what: String,
    },
    /// It is not what Meta documents.
    Broken {
        /// Stable reason in upper snake case.
        reason: &'static str,
    },
}

/// A text message from a user.
#[derive(Clone, PartialEq, Eq)]
pub struct InboundText {
    /// Meta's id of the message.
    pub wamid: Wamid,
    /// The user's WhatsApp id: digits.
    pub wa_id: Option<String>,
    /// The user's business-scoped user id.
    pub user_id: Option<String>,
    /// The user's name.
    pub name: Option<String>,
    /// When it was sent.
    pub occurred: OffsetDateTime,
    /// The text.
    pub body: String,
    /// Meta's id of the message it replies to.
    pub reply_to: Option<String>,
}

/// A status of a message to a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Status {
    /// Meta's id of the message.
    pub wamid: Wamid,
    /// Meta's word, for example `delivered`.
    pub word: String,
    /// When it happened.
    pub occurred: OffsetDateTime,
    /// The recipient's WhatsApp id: digits.
    pub recipient: Option<String>,
    /// What we gave Meta with the message.
    pub callback: Option<String>,
    /// Meta's error code of a failure; 0: none.
    pub error_code: i32,
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(deserialize_with = "lenient::word")]
    id: String,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    from: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    from_user_id: Option<String>,
    #[serde(deserialize_with = "lenient::integer")]
    timestamp: i64,
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    kind: Option<String>,
    #[serde(default, borrow)]
    text: Option<&'a RawValue>,
    #[serde(default)]
    context: Option<WireContext>,
}

#[derive(Deserialize)]
struct WireText {
    body: String,
}

#[derive(Deserialize)]
struct WireContext {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    id: Option<String>,
}

#[derive(Deserialize)]
struct WireStatus {
    #[serde(deserialize_with = "lenient::word")]
    id: String,
    #[serde(deserialize_with = "lenient::word")]
    status: String,
    #[serde(deserialize_with = "lenient::integer")]
    timestamp: i64,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    recipient_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    biz_opaque_callback_data: Option<String>,
    #[serde(default)]
    errors: Option<Vec<WireError>>,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default, deserialize_with = "lenient::integer")]
    code: i64,
}

/// Longest text of a message that is kept: far above Meta's own limit.
const MAX_BODY: usize = 64 * 1024;

impl Kind {
    /// Reads one of `messages`. `name_of` finds the sender's name among the change's contacts.
    pub(super) fn of_message(
        raw: &str,
        received: OffsetDateTime,
        name_of: impl FnOnce(Option<&str>, Option<&str>) -> Option<String>,
    ) -> Self {
        let Ok(message) = serde_json::from_str::<WireMessage<'_>>(raw) else {
            return Self::Broken {
                reason: "MESSAGE_UNREADABLE",
            };
        };
        let kind = message.kind.as_deref().unwrap_or("unknown");
        if kind != "text" {
            return Self::Unsupported {
                what: format!("message.{}", word_of(kind)),
            };
        }
        let Some(occurred) = lenient::time_of(message.timestamp, received) else {
            return Self::Broken {
                reason: "TIMESTAMP_IMPOSSIBLE",
            };
        };
        let Some(wamid) = Wamid::new(message.id) else {
            return Self::Broken {
                reason: "ID_IMPOSSIBLE",
            };
        };
        let text = message
            .text
            .and_then(|raw| serde_json::from_str::<WireText>(raw.get()).ok());
        let Some(body) = text.map(|text| text.body).filter(|body| body.len() <= MAX_BODY) else {
            return Self::Broken {
                reason: "TEXT_UNREADABLE",
            };
        };
        if message.from.is_none() && message.from_user_id.is_none() {
            return Self::Broken {
                reason: "SENDER_MISSING",
            };
        }
        let name = name_of(message.from.as_deref(), message.from_user_id.as_deref());
        Self::Text(Box::new(InboundText {
            wamid,
            wa_id: message.from,
            user_id: message.from_user_id,
            name,
            occurred,
            body,
            reply_to: message.context.and_then(|context| context.id),
        }))
    }

    /// Reads one of `statuses`.
    pub(super) fn of_status(raw: &str, received: OffsetDateTime) -> Self {
        let Ok(status) = serde_json::from_str::<WireStatus>(raw) else {
            return Self::Broken {
                reason: "STATUS_UNREADABLE",
            };
        };
        let Some(occurred) = lenient::time_of(status.timestamp, received) else {
            return Self::Broken {
                reason: "TIMESTAMP_IMPOSSIBLE",
            };
        };
        let Some(wamid) = Wamid::new(status.id) else {
            return Self::Broken {
                reason: "ID_IMPOSSIBLE",
            };
        };
        if !matches!(
            status.status.as_str(),
            "sent" | "delivered" | "read" | "played" | "failed"
        ) {
            return Self::Unsupported {
                what: format!("status.{}", word_of(&status.status)),
            };
        }
        let code = status
            .errors
            .and_then(|errors| errors.first().map(|error| error.code))
            .unwrap_or(0);
        Self::Status(Box::new(Status {
            wamid,
            word: status.status,
            occurred,
            recipient: status.recipient_id,
            callback: status.biz_opaque_callback_data,
            error_code: i32::try_from(code).unwrap_or(0),
        }))
    }
}

/// Meta's word, if it is one; it goes into counters and lists, so nothing else may.
pub(super) fn word_of(text: &str) -> &str {
    let valid = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if valid { text } else { "other" }
}

// Content and phone numbers are private: only what decisions rest on is shown.
impl std::fmt::Debug for InboundText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InboundText")
            .field("occurred", &self.occurred)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            word,
            occurred,
            error_code,
            ..
        } = self;
        f.debug_struct("Status")
            .field("word", word)
            .field("occurred", occurred)
            .field("error_code", error_code)
            .finish_non_exhaustive()
    }
}
