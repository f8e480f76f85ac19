//! Calls that users make. Only their beginning counts: it opens the window, as a message does.

use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::lenient;
use super::user::{NotReadable, bounded};

/// A call that a user made, whether or not it was taken.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// WhatsApp id: digits.
    pub wa_id: Option<String>,
    /// Business-scoped user id.
    pub user_id: Option<String>,
    /// When it began.
    pub occurred: OffsetDateTime,
}

#[derive(Deserialize)]
struct Value<'a> {
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default, borrow)]
    calls: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    display_phone_number: Option<String>,
}

#[derive(Deserialize)]
struct WireCall {
    #[serde(default, deserialize_with = "lenient::optional_word")]
    event: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    direction: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    from: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_word")]
    from_user_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    timestamp: Option<i64>,
}

/// Reads the value of `calls`, each by itself: those that users began. Calls of the business, the end of calls, and what is told of their delivery are left out.
pub fn calls(value: &[u8], received: OffsetDateTime) -> Result<Vec<Result<Call, NotReadable>>, NotReadable> {
    let value: Value<'_> = serde_json::from_slice(value).map_err(|_| NotReadable)?;
    // `statuses` come without calls.
    let Some(calls) = value.calls else {
        return Ok(Vec::new());
    };
    let business = value.metadata.and_then(|metadata| metadata.display_phone_number);
    let business = digits(business.as_deref().unwrap_or_default());
    let read = |raw: &RawValue| match serde_json::from_str::<WireCall>(raw.get()) {
        Ok(call) => call.read(&business, received),
        Err(_) => Some(Err(NotReadable)),
    };
    Ok(bounded(Some(calls))?.into_iter().filter_map(read).collect())
}

fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

// === impl WireCall ===

impl WireCall {
    /// `None`: no call that a user began.
    fn read(self, business: &str, received: OffsetDateTime) -> Option<Result<Call, NotReadable>> {
        if self.event.as_deref() != Some("connect") {
            return None;
        }
        let wa_id = self.from.map(|from| digits(&from)).filter(|from| !from.is_empty());
        let by_user = match self.direction.as_deref() {
            Some(direction) => direction == "USER_INITIATED",
            None => wa_id.as_deref() != Some(business),
        };
        if !by_user {
            return None;
        }
        let occurred = self.timestamp.and_then(|at| lenient::time_of(at, received));
        let named = wa_id.is_some() || self.from_user_id.is_some();
        Some(match occurred {
            Some(occurred) if named => Ok(Call {
                wa_id,
                user_id: self.from_user_id,
                occurred,
            }),
            _ => Err(NotReadable),
        })
    }
}

// Who calls is private.
impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("occurred", &self.occurred)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;

    const RECEIVED: OffsetDateTime = datetime!(2026-11-23 10:00 UTC);

    fn read(calls: &Value) -> Vec<Option<(Option<String>, Option<String>)>> {
        let value =
            json!({"metadata": {"display_phone_number": "+1 555-078-3881", "phone_number_id": "1"}, "calls": calls});
        let read = super::calls(value.to_string().as_bytes(), RECEIVED).unwrap();
        read.into_iter()
            .map(|call| call.ok().map(|call| (call.wa_id, call.user_id)))
            .collect()
    }

    #[test]
    fn only_calls_that_users_begin_are_read() {
        let at = "1795428000";
        let calls = json!([
            {"id": "wacid.1", "from": "16505551234", "event": "connect", "direction": "USER_INITIATED", "timestamp": at},
            {"id": "wacid.2", "from_user_id": "US.1", "event": "connect", "timestamp": 1_795_428_000_000_i64},
            {"id": "wacid.3", "from": "15550783881", "event": "connect", "timestamp": at},
            {"id": "wacid.4", "from": "16505551234", "event": "connect", "direction": "BUSINESS_INITIATED", "timestamp": at},
            {"id": "wacid.5", "from": "16505551234", "event": "terminate", "direction": "USER_INITIATED", "timestamp": at},
            {"id": "wacid.6", "from": "16505551234", "event": "connect"},
            {"id": "wacid.7", "event": "connect", "timestamp": at},
            7,
        ]);
        let user = |wa_id: Option<&str>, user: Option<&str>| Some((wa_id.map(str::to_owned), user.map(str::to_owned)));
        assert_eq!(
            read(&calls),
            [
                user(Some("16505551234"), None),
                user(None, Some("US.1")),
                None,
                None,
                None
            ]
        );
    }

    #[test]
    fn statuses_of_calls_say_nothing_of_users() {
        let value = br#"{"statuses":[{"id":"wacid.1","type":"call","status":"RINGING"}]}"#;
        assert_eq!(super::calls(value, RECEIVED), Ok(Vec::new()));
        assert_eq!(super::calls(b"[7", RECEIVED), Err(NotReadable));
    }
}
