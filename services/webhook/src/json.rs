//! JSON as it was written: parts of a body by their place, without changing a byte.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object as they came: in order, repeated ones included.
pub(crate) struct Members<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'a> Members<'a> {
    /// The members of a value that is an object.
    pub(crate) fn of(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// The last member of this name, which is the one that readers take.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| *value)
    }
}

/// The elements of a value that is an array.
pub(crate) fn elements(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// The text of a string or a number.
pub(crate) fn scalar(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(raw.get()).ok().map(Cow::Owned),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(raw.get())),
        _ => None,
    }
}

/// The part of a body at an RFC 6901 pointer.
pub(crate) fn fragment<'a>(body: &'a [u8], pointer: &str) -> Option<&'a str> {
    let mut at: &RawValue = serde_json::from_slice(body).ok()?;
    let mut parts = pointer.split('/');
    // A pointer is empty, or begins with a slash.
    if !parts.next()?.is_empty() {
        return None;
    }
    for part in parts {
        let name = part.replace("~1", "/").replace("~0", "~");
        at = match elements(at) {
            Some(list) => list.get(name.parse::<usize>().ok()?).copied()?,
            None => Members::of(at)?.get(&name)?,
        };
    }
    Some(at.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_by_their_place_as_they_were_written() {
        let body = br#"{"entry": [ {"id":1.50, "a/b": {"~": "x"}, "a/b": {"~": "y"}} ]}"#;
        assert_eq!(fragment(body, "/entry/0/id"), Some("1.50"));
        assert_eq!(fragment(body, "/entry/0/a~1b"), Some(r#"{"~": "y"}"#));
        assert_eq!(fragment(body, "/entry/0/a~1b/~0"), Some(r#""y""#));
        assert_eq!(fragment(body, "").map(str::len), Some(body.len()));
        for absent in ["entry", "/entry/1", "/entry/x", "/nothing", "/entry/0/id/0", "/"] {
            assert_eq!(fragment(body, absent), None, "{absent}");
        }
        assert_eq!(fragment(b"no json", ""), None);
    }
}
