use super::MAX_WORDS;
use crate::content::part::part;
use crate::content::{Check, Draft, Private};

/// A person's name: the whole and at least one of its parts.
#[derive(Clone, PartialEq, Eq)]
pub struct Name {
    formatted: Private,
    first: Option<Private>,
    last: Option<Private>,
    middle: Option<Private>,
    prefix: Option<Private>,
    suffix: Option<Private>,
}

/// A name's parts, each at most 250 characters; empty: none.
#[derive(Default)]
pub struct NameParts {
    /// The whole name as it is shown. Required.
    pub formatted: String,
    /// First name.
    pub first: String,
    /// Last name.
    pub last: String,
    /// Middle name.
    pub middle: String,
    /// For example `Dr.`.
    pub prefix: String,
    /// For example `Jr.`.
    pub suffix: String,
}

part!(struct Name { formatted, first, last, middle, prefix, suffix });

// === impl Name ===

impl Name {
    /// A name of these parts.
    pub fn new(parts: NameParts, check: &mut Check) -> Draft<Self> {
        let name = Self {
            formatted: check.text("formatted_name", parts.formatted, MAX_WORDS),
            first: check.optional_text("first_name", parts.first, MAX_WORDS),
            last: check.optional_text("last_name", parts.last, MAX_WORDS),
            middle: check.optional_text("middle_name", parts.middle, MAX_WORDS),
            prefix: check.optional_text("prefix", parts.prefix, MAX_WORDS),
            suffix: check.optional_text("suffix", parts.suffix, MAX_WORDS),
        };
        let parts = [&name.first, &name.last, &name.middle, &name.prefix, &name.suffix];
        let some = parts.iter().any(|part| part.is_some());
        check.expect(some, "", "must have at least one part beside formatted_name");
        Draft(Some(name))
    }

    /// The whole name.
    pub fn formatted(&self) -> &str {
        &self.formatted
    }

    /// First name.
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// Last name.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Middle name.
    pub fn middle(&self) -> Option<&str> {
        self.middle.as_deref()
    }

    /// What stands before it.
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// What stands behind it.
    pub fn suffix(&self) -> Option<&str> {
        self.suffix.as_deref()
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Name(…)")
    }
}

impl std::fmt::Debug for NameParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NameParts(…)")
    }
}
