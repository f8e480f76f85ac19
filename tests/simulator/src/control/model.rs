use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A portfolio with accounts, numbers and tokens to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewWorld {
    /// WABAs.
    pub wabas: usize,
    /// Numbers of each WABA.
    pub numbers_per_waba: usize,
    /// Messages a second of each number, in and out together.
    pub throughput: u32,
    /// The portfolio's messaging limit.
    pub tier: Tier,
    /// Permissions of the tokens; absent: all.
    pub scopes: Option<Vec<String>>,
    /// Life of the tokens; absent: they never expire. Negative: expired already.
    pub token_expires_in_seconds: Option<i64>,
    /// The app is subscribed to the WABAs already.
    pub subscribed: bool,
    /// Calling code of the numbers' country.
    pub country: String,
    /// The portfolio knows users by a parent id, too.
    pub parent_user_ids: bool,
}

/// A messaging limit: unique users outside their windows in 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Tier {
    /// Where every portfolio starts.
    #[default]
    #[serde(rename = "TIER_250")]
    Users250,
    /// 2,000 users.
    #[serde(rename = "TIER_2K")]
    Users2K,
    /// 10,000 users.
    #[serde(rename = "TIER_10K")]
    Users10K,
    /// 100,000 users.
    #[serde(rename = "TIER_100K")]
    Users100K,
    /// No limit.
    #[serde(rename = "TIER_UNLIMITED")]
    Unlimited,
}

/// A world that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorldCreated {
    /// The portfolio.
    pub portfolio_id: String,
    /// A system user's token for all its WABAs.
    pub token: String,
    /// The WABAs.
    pub wabas: Vec<WabaCreated>,
}

/// A WABA that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WabaCreated {
    /// Its id.
    pub waba_id: String,
    /// A system user's token for it alone.
    pub token: String,
    /// Its numbers.
    pub numbers: Vec<NumberCreated>,
}

/// A number that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberCreated {
    /// Its id.
    pub phone_number_id: String,
    /// The number with its `+`.
    pub e164: String,
}

/// What to change of a number.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChangeNumber {
    /// Messages a second.
    pub throughput: Option<u32>,
    /// A webhook tells of the throughput.
    pub announce: bool,
    /// Whether Meta removed it.
    pub deleted: Option<bool>,
    /// Makes it a test number, which may write to these recipients only: 131030.
    pub test_recipients: Option<Vec<String>>,
    /// True: it is no test number any more.
    pub live: Option<bool>,
}

/// What to change of a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeToken {
    /// The token.
    pub token: String,
    /// Whether it was revoked.
    #[serde(default)]
    pub revoked: Option<bool>,
    /// Seconds until it expires; 0: never.
    #[serde(default)]
    pub expires_in_seconds: Option<i64>,
}

/// A message from a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Inbound {
    /// The number it is sent to.
    pub phone_number_id: String,
    /// The user's number; a `+` is dropped.
    pub from: String,
    /// What it says.
    pub text: String,
    /// The user's name; absent: a made-up one.
    pub name: Option<String>,
    /// Unix seconds; absent: now.
    pub timestamp: Option<i64>,
    /// Its id; absent: a new one. The same id again makes a duplicate.
    pub wamid: Option<String>,
    /// The id of the message it replies to.
    pub reply_to: Option<String>,
    /// The message's type and content in place of the text: `{"type": "image", "image": {…}}`, and whatever stands beside it such as `context`, `referral` or `group_id`. All types but
    /// `edit`, `revoke`, `system` and `unsupported` open the user's window, except in groups.
    pub message: Option<serde_json::Map<String, serde_json::Value>>,
    /// A ready message of this kind instead, see `SAMPLES`; what refers to a message refers to `reply_to`.
    pub sample: Option<String>,
    /// The user's id instead of the computed one. With an empty `from` the user has no number that businesses see.
    pub user_id: Option<String>,
}

/// A message that the business sends from its own app. It comes only to apps that have subscribed to `smb_message_echoes`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Echo {
    /// The number it is sent from.
    pub phone_number_id: String,
    /// The user's number; a `+` is dropped.
    pub to: String,
    /// What it says.
    pub text: String,
    /// Type and content in place of the text.
    pub message: Option<serde_json::Map<String, serde_json::Value>>,
    /// Unix seconds; absent: now.
    pub timestamp: Option<i64>,
    /// Its id; absent: a new one.
    pub wamid: Option<String>,
}

/// An injected message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundAccepted {
    /// Its id.
    pub wamid: String,
}

/// An item of any kind, put as it is into a list of a number's webhook.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawItem {
    /// The number.
    pub phone_number_id: String,
    /// `messages`, `statuses` or `errors`.
    pub list: String,
    /// The item: any JSON.
    pub item: serde_json::Value,
}

/// A change of any field.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawChange {
    /// What stands in `entry.id`.
    pub waba_id: String,
    /// The field.
    pub field: String,
    /// Its value: any JSON.
    pub value: serde_json::Value,
}

/// A whole POST, sent at once and once.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPost {
    /// The body as text.
    pub body: Option<String>,
    /// The body as base64, for bytes that are no text.
    pub body_base64: Option<String>,
    /// `good` (the default), `none`, or the header as it is to be sent.
    pub signature: Option<String>,
}

/// What the callback answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// The HTTP status; absent: no answer came.
    pub status: Option<u16>,
    /// Milliseconds until the answer was read.
    pub elapsed_ms: u64,
}

/// Whether webhooks are held back.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// They are.
    pub paused: bool,
}

/// How far to move the simulator's clock on.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advance {
    /// Milliseconds.
    pub advance_ms: i64,
}

/// What to forget: ledger, faults, scheduled webhooks and switches always.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reset {
    /// Also portfolios, WABAs, numbers, tokens and the app's subscription.
    pub world: bool,
}

/// Which acceptances to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerQuery {
    /// From this place on.
    pub after: u64,
    /// At most this many; absent: 1,000. At most 10,000.
    pub limit: Option<usize>,
    /// Only those whose callback data begin so.
    pub callback: Option<String>,
    /// Only those to this recipient, as the call wrote it.
    pub to: Option<String>,
    /// Only those from this number.
    pub phone_number_id: Option<String>,
    /// Only those of this type.
    pub r#type: Option<String>,
    /// Only those of the template with this name.
    pub template: Option<String>,
    /// Only those with this medium: its id or link.
    pub media: Option<String>,
    /// Only those to this user, whichever way they were addressed: digits, or the id of a user without a number.
    pub user: Option<String>,
}

/// What happened so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Calls of the Graph API.
    pub calls: u64,
    /// Calls that were refused, by code.
    pub refused: BTreeMap<i32, u64>,
    /// POSTs to the callback that were answered or failed.
    pub posts: u64,
    /// POSTs that were not answered with 200.
    pub posts_failed: u64,
    /// Items and POSTs that are still to be sent.
    pub waiting: usize,
}

/// A rule's number and how often it was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleApplied {
    /// The rule's number.
    pub id: u64,
    /// How often it was applied.
    pub applied: u64,
}

// === impl NewWorld ===

impl Default for NewWorld {
    fn default() -> Self {
        Self {
            wabas: 1,
            numbers_per_waba: 1,
            throughput: 80,
            tier: Tier::default(),
            scopes: None,
            token_expires_in_seconds: None,
            subscribed: false,
            country: "1".to_owned(),
            parent_user_ids: false,
        }
    }
}

// === impl Tier ===

impl Tier {
    /// How many users; `None`: as many as one likes.
    pub fn users(self) -> Option<usize> {
        match self {
            Self::Users250 => Some(250),
            Self::Users2K => Some(2_000),
            Self::Users10K => Some(10_000),
            Self::Users100K => Some(100_000),
            Self::Unlimited => None,
        }
    }
}

// === impl Inbound ===

impl Inbound {
    /// It is a sample whose content names the message it is about.
    pub(super) fn names_another(&self) -> bool {
        let kinds = ["reaction", "reaction_removal", "edit", "revoke"];
        self.sample.as_deref().is_some_and(|sample| kinds.contains(&sample))
    }
}
