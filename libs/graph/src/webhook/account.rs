//! News of accounts, numbers and templates, and fields that are kept whole, read as far as events and decisions need them. Reading is lenient: what is absent or of another form is absent.

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::lenient;
use super::user::NotReadable;

/// What a change of a field tells.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
pub struct News {
    /// Type of its event, for example `template.status_updated`.
    pub event_type: &'static str,
    /// Meta's word for what happened, for example `DISABLED_UPDATE`. Empty: the field says it all.
    pub event: String,
    /// Meta's word for why. Empty: not given.
    pub reason: String,
    /// The business number it concerns: digits. Empty: none is named.
    pub number: String,
    /// State before. Empty: not given.
    pub previous: String,
    /// State now: a decision, limit, quality, category, status or user name. Empty: not given.
    pub current: String,
    /// The template it concerns.
    pub template: Option<TemplateName>,
    /// Bans: `DISABLE`, `REINSTATE`, `SCHEDULE_FOR_DISABLE`. Empty: none.
    pub ban_state: String,
    /// Restrictions of an account.
    pub restrictions: Vec<Restriction>,
    /// What an alert says.
    pub alert: Option<Alert>,
    /// Partner events: the business that owns the account. Empty: not given.
    pub owner_business_id: String,
    /// Partner events: the app whose link to the account it is about. Empty: not given.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub partner_app_id: String,
    /// What became of a user name. Empty: it is about none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username_status: String,
}

/// A template, as news name it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TemplateName {
    /// Meta's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its language.
    pub language: String,
}

/// Something an account may not do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Restriction {
    /// Meta's word, for example `RESTRICTED_BIZ_INITIATED_MESSAGING`.
    pub kind: String,
    /// When it ends, in unix seconds. 0: not known.
    pub expires: i64,
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Alert {
    /// What it is about, in Meta's words.
    pub entity_type: String,
    /// Meta's id of that.
    pub entity_id: String,
    /// Meta's word, for example `CRITICAL`.
    pub severity: String,
    /// Meta's word, for example `ACTIVE`.
    pub status: String,
}

/// Fields that messaging acts on.
const ACTING: &[&str] = &[
    "business_capability_update",
    "calls",
    "message_template_components_update",
    "message_template_quality_update",
    "message_template_status_update",
    "phone_number_quality_update",
    "template_category_update",
    "user_id_update",
    "user_preferences",
];

/// Fields that the connection service keeps, or acts on.
const STANDING: &[&str] = &[
    "account_review_update",
    "account_update",
    "business_capability_update",
    "business_username_update",
    "business_username_updates",
    "phone_number_name_update",
    "phone_number_quality_update",
];

/// Fields of the user names of business numbers: the page uses both spellings.
const USERNAMES: &[&str] = &["business_username_update", "business_username_updates"];

/// The other fields that are understood, and the types of their events.
const TOLD: &[(&str, &str)] = &[
    ("account_alerts", "account.alert"),
    ("account_review_update", "account.reviewed"),
    ("account_settings_update", "account.settings_updated"),
    ("account_update", "account.updated"),
    ("automatic_events", "account.automatic_event"),
    ("business_username_update", "phone_number.username_updated"),
    ("business_username_updates", "phone_number.username_updated"),
    ("flows", "flow.updated"),
    ("group_lifecycle_update", "group.lifecycle_updated"),
    ("group_participants_update", "group.participants_updated"),
    ("group_settings_update", "group.settings_updated"),
    ("group_status_update", "group.status_updated"),
    ("history", "history.received"),
    ("messaging_handovers", "account.handover"),
    ("partner_solutions", "account.solution_updated"),
    ("payment_configuration_update", "account.payment_configuration_updated"),
    ("phone_number_name_update", "phone_number.name_updated"),
    ("security", "phone_number.security"),
    ("smb_app_state_sync", "state_sync.received"),
    ("tracking_events", "account.tracking_event"),
];

/// Events of `account_update` that concern the link between the account and this app.
const LINKS: &[&str] = &[
    "ACCOUNT_OFFBOARDED",
    "ACCOUNT_RECONNECTED",
    "PARTNER_ADDED",
    "PARTNER_APP_INSTALLED",
    "PARTNER_APP_UNINSTALLED",
    "PARTNER_REMOVED",
];

/// Longest word or name that is taken over, in bytes.
const MAX_TEXT: usize = 512;
/// Most restrictions of one change.
const MAX_RESTRICTIONS: usize = 32;

/// The messaging service acts on news of this field. `system` is a message of that type.
pub fn acts(field: &str) -> bool {
    field == "system" || ACTING.contains(&field)
}

/// The connection service keeps news of this field, or acts on them.
pub fn stands(field: &str) -> bool {
    STANDING.contains(&field)
}

/// The event tells of the link between an account and this app.
pub fn is_link(event: &str) -> bool {
    LINKS.contains(&event)
}

/// News of this field are understood.
pub(super) fn understood(field: &str) -> bool {
    ACTING.contains(&field) || TOLD.iter().any(|(told, _)| *told == field)
}

/// The account that a change concerns: partner events come under the partner's own id and name the account inside.
pub(super) fn waba_of(field: &str, value: &str) -> Option<String> {
    if field != "account_update" {
        return None;
    }
    let value: Value = serde_json::from_str(value).ok()?;
    Some(text(&value, "/waba_info/waba_id")).filter(|id| !id.is_empty())
}

// === impl News ===

impl News {
    /// Reads the value of a field. `None`: what it tells are users' affairs, of which messaging writes the events.
    pub fn read(field: &str, value: &str, received: OffsetDateTime) -> Result<Option<Self>, NotReadable> {
        let value: Value = serde_json::from_str(value).map_err(|_| NotReadable)?;
        if !value.is_object() {
            return Err(NotReadable);
        }
        let first = |paths: &[&str]| first(&value, paths);
        let event = first(&["/event", "/alert_info/alert_type"]);
        let Some(event_type) = event_type(field, &event) else {
            return Ok(None);
        };
        let number = first(&[
            "/display_phone_number",
            "/metadata/display_phone_number",
            "/phone_number",
        ]);
        Ok(Some(Self {
            event_type,
            reason: first(&[
                "/reason",
                "/rejection_reason",
                "/rejection_info/reason",
                "/disconnection_info/reason",
                "/violation_info/violation_type",
                "/alert_info/alert_description",
            ]),
            number: number.chars().filter(char::is_ascii_digit).collect(),
            previous: first(&["/previous_quality_score", "/previous_category", "/old_limit"]),
            current: first(CURRENT),
            template: template(&value),
            ban_state: text(&value, "/ban_info/waba_ban_state"),
            restrictions: restrictions(&value, received),
            alert: alert(&value),
            owner_business_id: text(&value, "/waba_info/owner_business_id"),
            partner_app_id: text(&value, "/waba_info/partner_app_id"),
            username_status: if USERNAMES.contains(&field) {
                text(&value, "/status")
            } else {
                String::new()
            },
            event,
        }))
    }
}

/// Where a field says what holds now, the more telling first.
const CURRENT: &[&str] = &[
    "/decision",
    "/new_quality_score",
    "/new_category",
    "/max_daily_conversations_per_business",
    "/max_daily_conversation_per_business",
    "/current_limit",
    "/username",
    "/status",
    "/country",
];

fn event_type(field: &str, event: &str) -> Option<&'static str> {
    match field {
        "account_update" if is_link(event) => Some("connection.account_updated"),
        "business_capability_update" => Some("account.capability_updated"),
        "calls" => Some("call.updated"),
        "message_template_components_update" => Some("template.components_updated"),
        "message_template_quality_update" => Some("template.quality_updated"),
        "message_template_status_update" => Some("template.status_updated"),
        "phone_number_quality_update" => Some("phone_number.quality_updated"),
        "template_category_update" => Some("template.category_updated"),
        _ => TOLD
            .iter()
            .find(|(told, _)| *told == field)
            .map(|(_, event_type)| *event_type),
    }
}

fn template(value: &Value) -> Option<TemplateName> {
    let template = TemplateName {
        id: text(value, "/message_template_id"),
        name: text(value, "/message_template_name"),
        language: text(value, "/message_template_language"),
    };
    (template != TemplateName::default()).then_some(template)
}

fn alert(value: &Value) -> Option<Alert> {
    value.get("alert_info")?;
    Some(Alert {
        entity_type: text(value, "/entity_type"),
        entity_id: text(value, "/entity_id"),
        severity: text(value, "/alert_info/alert_severity"),
        status: text(value, "/alert_info/alert_status"),
    })
}

fn restrictions(value: &Value, received: OffsetDateTime) -> Vec<Restriction> {
    let list = value.get("restriction_info").and_then(Value::as_array);
    let read = |one: &Value| Restriction {
        kind: text(one, "/restriction_type"),
        expires: expiry(&text(one, "/expiration"), received),
    };
    list.into_iter().flatten().take(MAX_RESTRICTIONS).map(read).collect()
}

/// In unix seconds; in the future, other than what `lenient::time_of` reads.
fn expiry(written: &str, received: OffsetDateTime) -> i64 {
    let written: i64 = written.parse().unwrap_or(0);
    let seconds = if written >= lenient::MILLISECONDS {
        written / 1_000
    } else {
        written
    };
    // Ten years ahead is no expiry.
    let most = received.unix_timestamp().saturating_add(10 * 366 * 86_400);
    if (1..=most).contains(&seconds) { seconds } else { 0 }
}

fn first(value: &Value, paths: &[&str]) -> String {
    let texts = paths.iter().map(|path| text(value, path));
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

/// A word that may be a number; bounded.
fn text(value: &Value, path: &str) -> String {
    match value.pointer(path) {
        Some(Value::String(text)) => text[..text.floor_char_boundary(MAX_TEXT)].to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

// Numbers are private.
impl std::fmt::Debug for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("News")
            .field("event_type", &self.event_type)
            .finish_non_exhaustive()
    }
}
