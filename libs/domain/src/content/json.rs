use std::collections::BTreeMap;
use std::fmt;

use super::Private;
use super::part::Part;

/// A number that is neither infinite nor none. Zero has no sign, so that equal numbers are written alike.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Finite(f64);

/// Data as a flow's first screen reads it. Private: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub enum Json {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A number.
    Number(Finite),
    /// A text.
    Text(Private),
    /// A list.
    List(Vec<Json>),
    /// Named values.
    Object(BTreeMap<String, Json>),
}

// === impl Finite ===

impl Finite {
    /// The number, if it is finite.
    pub fn new(number: f64) -> Option<Self> {
        // Minus zero plus zero is zero.
        number.is_finite().then_some(Self(number + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

// Only what is no number differs from itself.
impl Eq for Finite {}

// === impl Json ===

impl Json {
    /// Deepest nesting that is taken. What reads a message's protobuf form gives up at a hundred levels, and each level here is three of those.
    pub const MAX_DEPTH: usize = 16;

    /// How deep lists and objects are nested.
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => 0,
            Self::List(elements) => 1 + elements.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(fields) => 1 + fields.values().map(Self::depth).max().unwrap_or(0),
        }
    }
}

impl Part for Json {
    fn heap(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => 0,
            Self::Text(text) => text.heap(),
            Self::List(elements) => elements.heap(),
            Self::Object(fields) => fields.heap(),
        }
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_finite_and_zero_has_no_sign() {
        assert_eq!(Finite::new(f64::NAN), None);
        assert_eq!(Finite::new(f64::INFINITY), None);
        let zero = Finite::new(-0.0).expect("finite");
        assert!(zero.get().is_sign_positive());
    }

    #[test]
    fn depth_counts_lists_and_objects() {
        let inner = Json::Object(BTreeMap::from([("a".to_owned(), Json::Null)]));
        assert_eq!(Json::List(vec![Json::Bool(true), inner]).depth(), 2);
        assert_eq!(Json::Null.depth(), 0);
    }
}
