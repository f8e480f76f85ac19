//! Meta writes numbers as strings and back, and seconds as milliseconds: read either.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_json::value::RawValue;
use time::OffsetDateTime;

/// Times from here on are written in milliseconds.
pub(super) const MILLISECONDS: i64 = 100_000_000_000;

/// Longest text of an id, name or word that is read.
const MAX_WORD: usize = 1_024;
/// Longest other text that is read: far above Meta's own limits.
const MAX_TEXT: usize = 64 * 1_024;

/// A word that may come as a number.
pub(super) fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_any(Text::<MAX_WORD>).map(Cow::into_owned)
}

/// A word that may come as a number, may be null and may be absent.
pub(super) fn optional_word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let word = deserializer.deserialize_any(Optional::<MAX_WORD>)?;
    Ok(word.map(Cow::into_owned).filter(|word| !word.is_empty()))
}

/// A longer text that may come as a number, may be null and may be absent.
pub(super) fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = deserializer.deserialize_any(Optional::<MAX_TEXT>)?;
    Ok(text.map(Cow::into_owned).filter(|text| !text.is_empty()))
}

/// JSON that may come as text or as itself.
pub(super) fn json_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let raw = <Option<&RawValue>>::deserialize(deserializer)?.map_or("null", RawValue::get);
    if raw.len() > MAX_TEXT {
        return Err(D::Error::invalid_length(raw.len(), &Text::<MAX_TEXT>));
    }
    if raw.starts_with('"') {
        return serde_json::from_str(raw).map(Some).map_err(D::Error::custom);
    }
    Ok((raw != "null").then(|| raw.to_owned()))
}

/// A whole number that may come as a string, may be null and may be absent.
pub(super) fn optional_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(optional_word(deserializer)?.and_then(|word| word.trim().parse().ok()))
}

/// Yes or no, also as a word or a number. Anything else: no.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    Ok(matches!(raw.trim_matches('"'), "true" | "1"))
}

/// Null is as good as absent.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A whole number that may come as a string.
pub(super) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let word = deserializer.deserialize_any(Text::<MAX_WORD>)?;
    word.trim().parse().map_err(|_| D::Error::custom("not a whole number"))
}

/// A time in unix seconds, or in milliseconds: no message of ours is from the year 5138. It is taken as Meta wrote it, for it is part of what tells a repetition from a new message; a
/// time days ahead of the webhook itself is none.
pub(super) fn time_of(written: i64, received: OffsetDateTime) -> Option<OffsetDateTime> {
    let seconds = if written.unsigned_abs() >= MILLISECONDS.unsigned_abs() {
        written / 1_000
    } else {
        written
    };
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    // WhatsApp began in 2009.
    (at.year() >= 2009 && at <= received + time::Duration::DAY).then_some(at)
}

/// Text of at most so many bytes.
struct Text<const MAX: usize>;

/// Such a text, or null.
struct Optional<const MAX: usize>;

impl<'de, const MAX: usize> Visitor<'de> for Text<MAX> {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string of at most {MAX} bytes, or a number")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        if text.len() <= MAX {
            Ok(Cow::Borrowed(text))
        } else {
            Err(E::invalid_length(text.len(), &self))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if text.len() <= MAX {
            Ok(Cow::Owned(text.to_owned()))
        } else {
            Err(E::invalid_length(text.len(), &self))
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }
}

impl<'de, const MAX: usize> Visitor<'de> for Optional<MAX> {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text::<MAX>.expecting(f)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Text::<MAX>.visit_borrowed_str(text).map(Some)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Text::<MAX>.visit_str(text).map(Some)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Text::<MAX>.visit_i64(number).map(Some)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Text::<MAX>.visit_u64(number).map(Some)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Text::<MAX>.visit_f64(number).map(Some)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_in_seconds_or_milliseconds_as_meta_wrote_them() {
        let received = datetime!(2026-11-23 10:00:00.5 UTC);
        let at = datetime!(2026-11-23 09:59:59 UTC);
        assert_eq!(time_of(at.unix_timestamp(), received), Some(at));
        assert_eq!(time_of(at.unix_timestamp() * 1_000 + 7, received), Some(at));
        // The same message, delivered again an hour later, has the same time.
        let ahead = datetime!(2026-11-23 11:00 UTC);
        for received in [received, received + time::Duration::HOUR] {
            assert_eq!(time_of(ahead.unix_timestamp(), received), Some(ahead));
        }
        assert_eq!(time_of(datetime!(2027-01-01 0:00 UTC).unix_timestamp(), received), None);
        for nonsense in [0, -1, i64::MIN, i64::MAX, 1_000_000_000] {
            assert_eq!(time_of(nonsense, received), None, "{nonsense}");
        }
    }
}
