use std::fmt;
use std::str::FromStr;

use crate::EventId;

/// What we give Meta with each call and Meta echoes in every status: which message, and which attempt. It holds no personal data: every app subscribed to the WABA sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Callback {
    /// The message.
    pub message: EventId,
    /// The attempt, from 1.
    pub attempt: i32,
}

/// The text was not made by this product: another app's data, or a forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not callback data of this product")]
pub struct InvalidCallback;

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.message, self.attempt)
    }
}

impl FromStr for Callback {
    type Err = InvalidCallback;

    fn from_str(text: &str) -> Result<Self, InvalidCallback> {
        let (message, digits) = text.split_once('.').ok_or(InvalidCallback)?;
        let message = message.parse().map_err(|_| InvalidCallback)?;
        // Exactly what Display writes: no sign, no leading zero.
        let canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        let attempt = digits.parse().ok().filter(|_| canonical).ok_or(InvalidCallback)?;
        Ok(Self { message, attempt })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn round_trips(bytes: [u8; 16], attempt in 1..i32::MAX) {
            let callback = Callback { message: EventId::from_uuid(Uuid::from_bytes(bytes)), attempt };
            prop_assert_eq!(callback.to_string().parse(), Ok(callback));
        }

        #[test]
        fn nothing_else_parses(text in ".{0,64}") {
            if let Ok(callback) = text.parse::<Callback>() {
                prop_assert_eq!(callback.to_string(), text);
            }
        }
    }

    #[test]
    fn near_misses_are_refused() {
        let id = EventId::from_uuid(Uuid::from_u128(7));
        for bad in ["0", "-1", "+1", "01", "", "1.0", "99999999999"] {
            assert_eq!(format!("{id}.{bad}").parse::<Callback>(), Err(InvalidCallback), "{bad}");
        }
    }
}
