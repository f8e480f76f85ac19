//! What webhooks tell of users beside their messages: whether they want marketing, and new ids in place of old ones.

use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::lenient;

/// A user's wish about marketing, set in WhatsApp itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Preference {
    /// WhatsApp id: digits.
    pub wa_id: Option<String>,
    /// Business-scoped user id.
    pub user_id: Option<String>,
    /// The wish.
    pub switch: Switch,
    /// When.
    pub occurred: OffsetDateTime,
}

/// A switch for marketing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// No more of it.
    Stop,
    /// More again, or for the first time.
    Resume,
}

/// A user has new ids. An id stands twice where it stays.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Moved {
    /// WhatsApp id before: digits.
    pub wa_id_before: Option<String>,
    /// WhatsApp id now.
    pub wa_id: Option<String>,
    /// Business-scoped user id before.
    pub user_id_before: Option<String>,
    /// Business-scoped user id now.
    pub user_id: Option<String>,
    /// Parent business-scoped user id before.
    pub parent_before: Option<String>,
    /// Parent business-scoped user id now.
    pub parent: Option<String>,
    /// When.
    pub occurred: Option<OffsetDateTime>,
}

/// The value, or one of its entries, is not what Meta documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value is not what Meta documents")]
pub struct NotReadable;

#[derive(Deserialize)]
struct Lists<'a> {
    #[serde(default, borrow)]
    user_preferences: Option<Vec<&'a RawValue>>,
    #[serde(default, borrow)]
    user_id_update: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct WirePreference {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    wa_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    category: Option<String>,
    #[serde(deserialize_with = "lenient::word")]
    value: String,
    #[serde(deserialize_with = "lenient::integer")]
    timestamp: i64,
}

#[derive(Deserialize)]
struct WireUpdate {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    wa_id: Option<String>,
    #[serde(default)]
    user_id: Option<WireChange>,
    #[serde(default)]
    parent_user_id: Option<WireChange>,
    #[serde(deserialize_with = "lenient::integer")]
    timestamp: i64,
}

#[derive(Deserialize, Default)]
struct WireChange {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    previous: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    current: Option<String>,
}

#[derive(Deserialize)]
struct WireMessage {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    from: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    from_user_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    from_parent_user_id: Option<String>,
    #[serde(deserialize_with = "lenient::integer")]
    timestamp: i64,
    system: WireSystem,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "Meta's own names")]
struct WireSystem {
    // Earlier versions call it so.
    #[serde(default, alias = "new_wa_id", deserialize_with = "lenient::optional_word")]
    wa_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    parent_user_id: Option<String>,
}

/// Most entries that are read of one value; Meta batches at most 1,000.
const MAX_ENTRIES: usize = 1_000;

/// Reads the value of `user_preferences`, each entry by itself. Wishes about something other than marketing are left out.
pub fn preferences(
    value: &[u8],
    received: OffsetDateTime,
) -> Result<Vec<Result<Preference, NotReadable>>, NotReadable> {
    let lists: Lists<'_> = serde_json::from_slice(value).map_err(|_| NotReadable)?;
    let entries = bounded(lists.user_preferences)?;
    Ok(entries
        .into_iter()
        .filter_map(|raw| preference(raw, received))
        .collect())
}

/// Reads the value of `user_id_update`, each entry by itself, or (`system`) a message of type system that tells of a new number or id.
pub fn moved(
    field: &str,
    value: &[u8],
    received: OffsetDateTime,
) -> Result<Vec<Result<Moved, NotReadable>>, NotReadable> {
    if field == "system" {
        let message: WireMessage = serde_json::from_slice(value).map_err(|_| NotReadable)?;
        return Ok(vec![message.moved(received)]);
    }
    let lists: Lists<'_> = serde_json::from_slice(value).map_err(|_| NotReadable)?;
    let entries = bounded(lists.user_id_update)?;
    let read = |raw: &RawValue| {
        let update: WireUpdate = serde_json::from_str(raw.get()).map_err(|_| NotReadable)?;
        update.moved(received)
    };
    Ok(entries.into_iter().map(read).collect())
}

pub(super) fn bounded(list: Option<Vec<&RawValue>>) -> Result<Vec<&RawValue>, NotReadable> {
    list.filter(|entries| entries.len() <= MAX_ENTRIES).ok_or(NotReadable)
}

fn preference(raw: &RawValue, received: OffsetDateTime) -> Option<Result<Preference, NotReadable>> {
    let Ok(wire) = serde_json::from_str::<WirePreference>(raw.get()) else {
        return Some(Err(NotReadable));
    };
    if wire
        .category
        .as_deref()
        .is_some_and(|category| category != "marketing_messages")
    {
        return None;
    }
    let switch = match wire.value.as_str() {
        "stop" => Some(Switch::Stop),
        "resume" | "signup" => Some(Switch::Resume),
        _ => None,
    };
    let named = wire.wa_id.is_some() || wire.user_id.is_some();
    let read = switch
        .zip(lenient::time_of(wire.timestamp, received))
        .filter(|_| named)
        .map(|(switch, occurred)| Preference {
            wa_id: wire.wa_id,
            user_id: wire.user_id,
            switch,
            occurred,
        });
    Some(read.ok_or(NotReadable))
}

// === impl WireUpdate, WireMessage ===

impl WireUpdate {
    fn moved(self, received: OffsetDateTime) -> Result<Moved, NotReadable> {
        let user = self.user_id.unwrap_or_default();
        let parent = self.parent_user_id.unwrap_or_default();
        if user.current.is_none() && parent.current.is_none() {
            return Err(NotReadable);
        }
        Ok(Moved {
            // The number is whatever it is: this tells of the ids.
            wa_id_before: None,
            wa_id: self.wa_id,
            user_id_before: user.previous,
            user_id: user.current,
            parent_before: parent.previous,
            parent: parent.current,
            occurred: Some(lenient::time_of(self.timestamp, received).ok_or(NotReadable)?),
        })
    }
}

impl WireMessage {
    fn moved(self, received: OffsetDateTime) -> Result<Moved, NotReadable> {
        let system = self.system;
        if system.wa_id.is_none() && system.user_id.is_none() {
            return Err(NotReadable);
        }
        Ok(Moved {
            wa_id_before: self.from,
            wa_id: system.wa_id,
            user_id_before: self.from_user_id,
            user_id: system.user_id,
            parent_before: self.from_parent_user_id,
            parent: system.parent_user_id,
            occurred: Some(lenient::time_of(self.timestamp, received).ok_or(NotReadable)?),
        })
    }
}

// Ids of users are private.
impl std::fmt::Debug for Preference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preference")
            .field("switch", &self.switch)
            .field("occurred", &self.occurred)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Moved")
            .field("occurred", &self.occurred)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const RECEIVED: OffsetDateTime = datetime!(2026-11-23 10:00:05 UTC);
    const AT: OffsetDateTime = datetime!(2026-11-23 10:00 UTC);

    #[test]
    fn preferences_are_read_one_by_one() {
        let value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": "1"}, "contacts": [], "user_preferences": [
            {"wa_id": "16505551234", "user_id": "US.1", "detail": "…", "category": "marketing_messages", "value": "stop", "timestamp": 1_795_428_000},
            {"user_id": "US.2", "category": "marketing_messages", "value": "signup", "timestamp": "1795428000"},
            {"wa_id": 16_505_551_234_u64, "value": "resume", "timestamp": 1_795_428_000_123_i64},
            {"wa_id": "1", "category": "something_else", "value": "stop", "timestamp": 1_795_428_000},
            {"wa_id": "1", "category": "marketing_messages", "value": "perhaps", "timestamp": 1_795_428_000},
            {"category": "marketing_messages", "value": "stop", "timestamp": 1_795_428_000},
            {"wa_id": "1", "category": "marketing_messages", "value": "stop"},
            7,
        ]});
        let read = preferences(value.to_string().as_bytes(), RECEIVED).expect("readable");
        let brief: Vec<_> = read
            .iter()
            .map(|one| {
                let one = one.as_ref().ok()?;
                Some((one.wa_id.as_deref(), one.user_id.as_deref(), one.switch, one.occurred))
            })
            .collect();
        assert_eq!(
            brief,
            [
                Some((Some("16505551234"), Some("US.1"), Switch::Stop, AT)),
                Some((None, Some("US.2"), Switch::Resume, AT)),
                Some((Some("16505551234"), None, Switch::Resume, AT)),
                None,
                None,
                None,
                None,
            ]
        );
        for broken in [
            json!({}),
            json!({"user_preferences": {}}),
            json!([]),
            json!({"user_preferences": vec![0; 1_001]}),
        ] {
            assert_eq!(preferences(broken.to_string().as_bytes(), RECEIVED), Err(NotReadable));
        }
    }

    #[test]
    fn new_ids_come_as_a_field_and_as_a_message() {
        let value = json!({"user_id_update": [
            {"wa_id": "16505551234", "user_id": {"previous": "US.1", "current": "US.2"}, "parent_user_id": {"previous": "US.ENT.1", "current": "US.ENT.2"}, "timestamp": 1_795_428_000},
            {"user_id": {"previous": "US.3"}, "timestamp": 1_795_428_000},
        ]});
        let read = moved("user_id_update", value.to_string().as_bytes(), RECEIVED).expect("readable");
        let expected = Moved {
            wa_id: Some("16505551234".to_owned()),
            user_id_before: Some("US.1".to_owned()),
            user_id: Some("US.2".to_owned()),
            parent_before: Some("US.ENT.1".to_owned()),
            parent: Some("US.ENT.2".to_owned()),
            occurred: Some(AT),
            wa_id_before: None,
        };
        assert_eq!(read, [Ok(expected), Err(NotReadable)]);

        let message = json!({"from": "16505551234", "from_user_id": "US.1", "id": "wamid.A", "timestamp": "1795428000", "type": "system",
            "system": {"body": "User changed", "wa_id": "16505559999", "user_id": "US.2", "type": "user_changed_number"}});
        let read = moved("system", message.to_string().as_bytes(), RECEIVED).expect("readable");
        let read = read.into_iter().next().expect("one").expect("readable");
        assert_eq!(
            (
                read.wa_id_before.as_deref(),
                read.wa_id.as_deref(),
                read.user_id_before.as_deref(),
                read.user_id.as_deref()
            ),
            (Some("16505551234"), Some("16505559999"), Some("US.1"), Some("US.2"))
        );
        assert!(!format!("{read:?}").contains("1650"));
        assert_eq!(moved("system", b"{}", RECEIVED), Err(NotReadable));
    }
}
