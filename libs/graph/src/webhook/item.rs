use outeract_domain::Wamid;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::lenient;
use super::read::object;
use super::said::{Identity, Said};

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
    /// A message from a user.
    Message(Box<Message>),
    /// A message that the business sent from its own app.
    Echo(Box<Message>),
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

/// A message from a user, or to one.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Meta's id of the message.
    pub wamid: Wamid,
    /// The user.
    pub user: Sender,
    /// When it was sent.
    pub occurred: OffsetDateTime,
    /// What it refers to.
    pub context: Context,
    /// The advertisement that led the user here.
    pub referral: Option<Box<Referral>>,
    /// The user's identity, where Meta tells.
    pub identity: Option<Box<Identity>>,
    /// Meta's id of the group it was sent to.
    pub group: Option<String>,
    /// What it is, in Meta's words, for example `message.image`.
    pub what: String,
    /// What it says.
    pub said: Said,
}

/// What a message refers to.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
pub struct Context {
    /// Meta's id of the message it replies to.
    pub reply_to: Option<String>,
    /// It was written for somebody else before.
    pub forwarded: bool,
    /// It was forwarded many times.
    pub frequently_forwarded: bool,
    /// It is about this product.
    pub product: Option<Product>,
}

/// A product of a catalog.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Product {
    /// Meta's id of the catalog.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub catalog_id: Option<String>,
    /// The seller's id of the product.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub product_retailer_id: Option<String>,
}

/// An advertisement or post that leads to WhatsApp.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Referral {
    /// Where it stands.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub source_url: Option<String>,
    /// Meta's id of it.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub source_id: Option<String>,
    /// `ad` or `post`.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub source_type: Option<String>,
    /// Its headline.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub headline: Option<String>,
    /// Its text.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub body: Option<String>,
    /// `image` or `video`.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub media_type: Option<String>,
    /// Its picture.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub image_url: Option<String>,
    /// Its film.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub video_url: Option<String>,
    /// The film's picture.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub thumbnail_url: Option<String>,
    /// Meta's id of the click.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub ctwa_clid: Option<String>,
    /// What the chat showed first.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub welcome_message: Welcome,
}

/// What a chat that began at an advertisement showed first.
#[derive(Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct Welcome {
    /// Its text.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub text: Option<String>,
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
    /// What Meta charges.
    pub pricing: Option<Box<Pricing>>,
    /// The conversation it counts to; Meta tells of few.
    pub conversation: Option<Box<Conversation>>,
    /// Of a message to a group: the group, and the member it is about.
    pub group: Option<Box<Member>>,
}

/// What Meta charges for a message.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Pricing {
    /// It is charged at all.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub billable: bool,
    /// For example `PMP`.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub pricing_model: Option<String>,
    /// For example `regular` or `free_customer_service`.
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    pub kind: Option<String>,
    /// For example `marketing`.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub category: Option<String>,
}

/// A conversation as Meta counts them.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Conversation {
    /// Meta's id of it.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub id: Option<String>,
    /// Until when, in unix seconds.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub expiration_timestamp: Option<i64>,
    /// What it came from.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub origin: Origin,
}

/// What a conversation came from.
#[derive(Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct Origin {
    /// For example `marketing`.
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    pub kind: Option<String>,
}

/// A member of a group.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Meta's id of the group.
    pub group: Option<String>,
    /// The member.
    pub participant: Option<String>,
}

#[derive(Deserialize)]
struct WireStatus<'a> {
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
    #[serde(
        default,
        alias = "recipient_participant_user_id",
        deserialize_with = "lenient::optional_word"
    )]
    recipient_participant_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    biz_opaque_callback_data: Option<String>,
    #[serde(default)]
    errors: Option<Vec<WireError>>,
    #[serde(default, borrow)]
    pricing: Option<&'a RawValue>,
    #[serde(default, borrow)]
    conversation: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default, deserialize_with = "lenient::integer")]
    code: i64,
}

// === impl Message ===

impl Message {
    /// It opens the 24-hour window. What is said in a group is said to nobody in particular.
    pub fn opens_window(&self) -> bool {
        self.group.is_none() && self.said.opens_window()
    }
}

// === impl Kind ===

/// Longest value of a change that is passed on whole, in bytes.
pub(super) const MAX_VALUE: usize = 256 * 1024;

impl Kind {
    /// Reads one of `statuses`.
    pub(super) fn of_status(raw: &str, received: OffsetDateTime) -> Self {
        let Ok(status) = serde_json::from_str::<WireStatus<'_>>(raw) else {
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
            group: (!one).then(|| {
                Box::new(Member {
                    group: status.recipient_id.clone(),
                    participant: status.recipient_participant_id,
                })
            }),
            recipient: status.recipient_id.filter(|_| one),
            recipient_user_id: status.recipient_user_id.filter(|_| one),
            recipient_parent_user_id: status.recipient_parent_user_id.filter(|_| one),
            callback: status.biz_opaque_callback_data,
            error_code: i32::try_from(code).unwrap_or(0),
            // What cannot be read of these is left out: the status counts all the same.
            pricing: object(status.pricing),
            conversation: object(status.conversation),
        }))
    }
}

/// Meta's word, if it is one; it goes into counters and lists, so nothing else may.
pub(super) fn word_of(text: &str) -> &str {
    let valid = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if valid { text } else { "other" }
}

// Content and phone numbers are private: only what decisions rest on is shown.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            what, occurred, said, ..
        } = self;
        f.debug_struct("Message")
            .field("what", what)
            .field("occurred", occurred)
            .field("said", said)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
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
