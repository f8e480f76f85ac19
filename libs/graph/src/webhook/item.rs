use outeract_domain::Wamid;
use serde::Deserialize;
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
    /// Another message from a user, of which only the frame is understood.
    Other(Box<InboundOther>),
    /// A status of a message to a user.
    Status(Box<Status>),
    /// News of an account, or of its users.
    Account(Box<Account>),
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

/// A user who sent a message, as far as Meta shows them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Sender {
    /// WhatsApp id: digits.
    pub wa_id: Option<String>,
    /// Business-scoped user id.
    pub user_id: Option<String>,
    /// Parent business-scoped user id.
    pub parent_user_id: Option<String>,
    /// User name.
    pub username: Option<String>,
    /// Name.
    pub name: Option<String>,
}

/// A text message from a user.
#[derive(Clone, PartialEq, Eq)]
pub struct InboundText {
    /// Meta's id of the message.
    pub wamid: Wamid,
    /// The user.
    pub sender: Sender,
    /// When it was sent.
    pub occurred: OffsetDateTime,
    /// The text.
    pub body: String,
    /// Meta's id of the message it replies to.
    pub reply_to: Option<String>,
}

/// A message from a user of a type that is not understood, but for its frame.
#[derive(Clone, PartialEq, Eq)]
pub struct InboundOther {
    /// What it is, in Meta's words, for example `message.image`.
    pub what: String,
    /// Meta's id of the message.
    pub wamid: Wamid,
    /// The user.
    pub sender: Sender,
    /// When it was sent.
    pub occurred: OffsetDateTime,
    /// It opens the 24-hour window.
    pub opens_window: bool,
    /// What stands on the button that the user pressed.
    pub button: Option<String>,
}

/// News of an account, or of its users.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Meta's name of the field; `system` for a message of that type, which tells of a user's new number or id.
    pub field: String,
    /// Meta's JSON object, as it came: the change's value, or the message.
    pub value: String,
    /// When Meta made the notice, where it says so.
    pub occurred: Option<OffsetDateTime>,
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
    /// The recipient's business-scoped user id.
    pub recipient_user_id: Option<String>,
    /// The recipient's parent business-scoped user id.
    pub recipient_parent_user_id: Option<String>,
    /// What we gave Meta with the message.
    pub callback: Option<String>,
    /// Meta's error code of a failure; 0: none.
    pub error_code: i32,
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
    recipient_user_id: Option<String>,
    // Meta's pages have had both spellings.
    #[serde(
        default,
        alias = "parent_recipient_user_id",
        deserialize_with = "lenient::optional_word"
    )]
    recipient_parent_user_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    recipient_type: Option<String>,
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

/// Longest value of a change that is passed on whole, in bytes.
pub(super) const MAX_VALUE: usize = 256 * 1024;

impl Kind {
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
        // Of a group's the ids are no user's.
        let one = status.recipient_type.as_deref() != Some("group");
        let code = status
            .errors
            .and_then(|errors| errors.first().map(|error| error.code))
            .unwrap_or(0);
        Self::Status(Box::new(Status {
            wamid,
            word: status.status,
            occurred,
            recipient: status.recipient_id.filter(|_| one),
            recipient_user_id: status.recipient_user_id.filter(|_| one),
            recipient_parent_user_id: status.recipient_parent_user_id.filter(|_| one),
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

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for InboundOther {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            what,
            occurred,
            opens_window,
            ..
        } = self;
        f.debug_struct("InboundOther")
            .field("what", what)
            .field("occurred", occurred)
            .field("opens_window", opens_window)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("field", &self.field)
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
