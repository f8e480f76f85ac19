//! What can be declared of templates, users, media and limits.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Tier;

/// A template to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewTemplate {
    /// The account.
    pub waba_id: String,
    /// `[a-z0-9_]`.
    pub name: String,
    /// For example `en_US`.
    pub language: String,
    /// `MARKETING`, `UTILITY` or `AUTHENTICATION`.
    pub category: String,
    /// `APPROVED` unless another is wanted.
    pub status: String,
    /// The components as `GET /{waba}/message_templates` shows them.
    pub components: Value,
    /// No webhook tells of it.
    pub quietly: bool,
}

/// A template that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateCreated {
    /// Its id.
    pub id: String,
}

/// What to change of a template. Of each change its webhook tells.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChangeTemplate {
    /// `APPROVED`, `PENDING`, `REJECTED`, `PAUSED`, `DISABLED` and so on. What is held for a template that is paused or disabled fails.
    pub status: Option<String>,
    /// Why; `NONE` unless another is given.
    pub reason: Option<String>,
    /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    pub quality: Option<String>,
    /// Other components.
    pub components: Option<Value>,
    /// Another category.
    pub category: Option<String>,
    /// Meta announces that it will be of this category in a day.
    pub category_to_come: Option<String>,
    /// Messages are held for quality assessment from now on; or no longer, and those that are held go out.
    pub paced: Option<bool>,
    /// No webhook tells of it.
    pub quietly: bool,
}

/// What to change of an account.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChangeWaba {
    /// Whether marketing is switched off on this API: 131063.
    pub marketing_disabled: Option<bool>,
    /// Calls of its management in an hour, instead of Meta's 5,000.
    pub management_calls_per_hour: Option<u32>,
}

/// What happens to an account, or to a number of its. A webhook tells of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum AccountChange {
    /// It is banned: sends are refused with 131031 until it is reinstated.
    Banned,
    /// It is about to be banned.
    BanScheduled,
    /// It is banned no longer.
    Reinstated,
    /// It may not do these any more, instead of what it might not do before. `RESTRICTED_BIZ_INITIATED_MESSAGING` refuses sends outside windows, `RESTRICTED_CUSTOMER_INITIATED_MESSAGING` those
    /// within, each with 368. None: it may do everything again.
    Restricted {
        /// Meta's words.
        restrictions: Vec<String>,
        /// For so long. None: nobody tells, and until it is changed again.
        seconds: Option<u32>,
    },
    /// The link to the app changes: `PARTNER_REMOVED`, `PARTNER_APP_UNINSTALLED`, `ACCOUNT_OFFBOARDED`, `ACCOUNT_RECONNECTED`, `ACCOUNT_DELETED` and others. Whoever was removed is not subscribed any more.
    Linked {
        /// Meta's word.
        event: String,
    },
    /// It was reviewed.
    Reviewed {
        /// Meta's word.
        decision: String,
    },
    /// The display name of a number was decided on.
    NameDecided {
        /// The number.
        phone_number_id: String,
        /// Meta's word.
        decision: String,
    },
    /// A number has another user name.
    UsernameChanged {
        /// The number.
        phone_number_id: String,
        /// The name. Empty: none.
        username: String,
        /// `approved`, `reserved` or `deleted`.
        status: String,
    },
    /// The quality of a number changed.
    Quality {
        /// The number.
        phone_number_id: String,
        /// Meta's word, for example `FLAGGED`.
        event: String,
        /// The messaging limit that is told with it.
        limit: String,
    },
}

/// What to change of a portfolio.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChangePortfolio {
    /// Its messaging limit.
    pub tier: Option<Tier>,
    /// How the webhook tells the limit.
    pub told: Told,
}

/// How `business_capability_update` tells a limit: Meta's page says a word, its sample is a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// `"TIER_2K"`.
    #[default]
    Word,
    /// `2000`; -1 for no limit.
    Number,
    /// Not at all.
    Nowhere,
}

/// A portfolio's messaging limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortfolioState {
    /// The limit.
    pub tier: Tier,
    /// Different users outside their windows in the last 24 hours, as they were counted.
    pub unique_users: usize,
}

/// What to declare of a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChangeUser {
    /// The number with or without its `+`, or the id of a user without one.
    pub user: String,
    /// The number is known to `WhatsApp` by these digits: messages to it go there, and come from there.
    pub wa_id: Option<String>,
    /// Not on `WhatsApp`, or not able to receive: 131026.
    pub unreachable: Option<bool>,
    /// Has had enough marketing from all businesses: 131049.
    pub marketing_capped: Option<bool>,
    /// In the group of users that get no marketing outside their windows: 130472.
    pub in_experiment: Option<bool>,
    /// All this, and that the user stopped marketing, is told by a status instead of the answer.
    pub fails_later: Option<bool>,
    /// Webhooks do not show the number.
    pub hidden: Option<bool>,
    /// The user's name on `WhatsApp`, with its `@`.
    pub username: Option<String>,
}

/// A user's choice about marketing of a number's portfolio.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preference {
    /// The number whose webhook tells of it.
    pub phone_number_id: String,
    /// The user's number or id.
    pub user: String,
    /// `stop`, `resume` or `signup`.
    pub value: String,
    /// No webhook tells of it.
    pub quietly: bool,
}

/// A user's id changes, as it does with the user's number.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChangeUserId {
    /// The number whose webhook tells of it.
    pub phone_number_id: String,
    /// The user's number or id.
    pub user: String,
    /// The new id.
    pub user_id: String,
    /// No webhook tells of it.
    pub quietly: bool,
}

/// A user, as a number's portfolio sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSeen {
    /// Digits; absent: the business is not shown the number.
    pub wa_id: Option<String>,
    /// The business-scoped id.
    pub user_id: String,
    /// The parent id, where portfolios are enrolled together.
    pub parent_user_id: Option<String>,
    /// Whether the number may write freely.
    pub window_open: bool,
}

/// A medium that was uploaded, or came with a user's message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediumState {
    /// The number it belongs to.
    pub phone_number_id: String,
    /// Its type.
    pub mime_type: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Its bytes.
    pub size: u64,
    /// Until when Meta keeps it, in unix milliseconds.
    pub until_ms: i64,
}

/// A medium that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediumCreated {
    /// Its id.
    pub id: String,
}

/// Links that Meta cannot fetch from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokenLinks {
    /// The links, as messages write them.
    pub links: Vec<String>,
}

/// Which receipts to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReceiptQuery {
    /// From this place on.
    pub after: u64,
    /// At most this many; absent: 1,000. At most 10,000.
    pub limit: Option<usize>,
    /// Only those of this number.
    pub phone_number_id: Option<String>,
    /// Only those of this message.
    pub wamid: Option<String>,
}

// === impl NewTemplate ===

impl Default for NewTemplate {
    fn default() -> Self {
        Self {
            waba_id: String::new(),
            name: String::new(),
            language: "en_US".to_owned(),
            category: "UTILITY".to_owned(),
            status: "APPROVED".to_owned(),
            components: serde_json::json!([{"type": "BODY", "text": "Hello"}]),
            quietly: false,
        }
    }
}
