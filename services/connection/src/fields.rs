//! Checks of request fields. Every broken one is named before a call is refused.

use std::str::FromStr;

use outeract_events::timestamp;
use outeract_rpc::{Fault, Violation};
use prost_types::Timestamp;
use time::OffsetDateTime;

/// What a key can be given: the scopes of the methods, and all of them.
pub(crate) const SCOPES: [&str; 9] = [
    "events:read",
    "events:write",
    "connections:read",
    "connections:write",
    "users:read",
    "users:write",
    "webhooks:read",
    "webhooks:write",
    "*",
];

/// What an application's id must be.
pub(crate) const APPLICATION_ID: &str = "must be an application's id, app_…";
/// What a connection's id must be.
pub(crate) const CONNECTION_ID: &str = "must be a connection's id, pc_…";
/// What a key's id must be.
pub(crate) const KEY_ID: &str = "must be a key's id, key_…";
/// What Meta's ids must be.
pub(crate) const META_ID: &str = "must be 1 to 32 digits";

const MAX_NAME: usize = 120;
const MAX_SCOPES: usize = 16;

/// The violations found so far in one request. A check returns `None` for a broken field; a request with one ends in [`Fields::fault`].
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<Violation>);

// === impl Fields ===

impl Fields {
    /// Notes a violation.
    pub(crate) fn add(&mut self, path: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation {
            path: path.into(),
            description: description.into(),
        });
    }

    /// Whether no violation was found.
    pub(crate) fn are_valid(&self) -> bool {
        self.0.is_empty()
    }

    /// `INVALID_ARGUMENT` with every violation.
    pub(crate) fn fault(self) -> Fault {
        Fault::invalid_many(self.0)
    }

    /// An id, or anything else that its type parses; `form` says what it must be.
    pub(crate) fn parsed<T: FromStr>(&mut self, path: impl Into<String>, text: &str, form: &str) -> Option<T> {
        let value = text.parse().ok();
        if value.is_none() {
            self.add(path, form);
        }
        value
    }

    /// A name shown to people.
    pub(crate) fn name(&mut self, path: &str, text: String) -> Option<String> {
        if is_name(&text) {
            Some(text)
        } else {
            self.add(
                path,
                "must be 1 to 120 characters, not all blank, without control characters",
            );
            None
        }
    }

    /// A name that may be left out. `None` if it is, or is broken: [`Self::are_valid`] tells which.
    pub(crate) fn optional_name(&mut self, path: &str, text: String) -> Option<String> {
        if text.is_empty() { None } else { self.name(path, text) }
    }

    /// The environment in a key's text.
    pub(crate) fn environment(&mut self, path: &str, text: String) -> Option<String> {
        if text.is_empty() {
            return Some("live".to_owned());
        }
        let formed = text.len() <= 16
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if formed && text != "op" {
            Some(text)
        } else {
            self.add(path, "must be 1 to 16 of a-z and 0-9, and not `op`");
            None
        }
    }

    /// What a key may do, each scope once.
    pub(crate) fn scopes(&mut self, path: &str, scopes: &[String]) -> Option<Vec<String>> {
        if !(1..=MAX_SCOPES).contains(&scopes.len()) {
            self.add(path, "must be 1 to 16 scopes");
            return None;
        }
        let mut valid = true;
        for (index, scope) in scopes.iter().enumerate() {
            if !SCOPES.contains(&scope.as_str()) {
                valid = false;
                self.add(
                    format!("{path}[{index}]"),
                    format!("must be one of: {}", SCOPES.join(" ")),
                );
            }
        }
        // In the order of the list above, so that equal keys look equal.
        let given = |scope: &&str| scopes.iter().any(|given| given == scope);
        valid.then(|| SCOPES.into_iter().filter(given).map(str::to_owned).collect())
    }

    /// An expiry that lies ahead. `None` if there is none, or it is broken: [`Self::are_valid`] tells which.
    pub(crate) fn expiry(&mut self, path: &str, at: Option<&Timestamp>, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let at = at?;
        match timestamp::from_proto(at) {
            Some(at) if at > now => return Some(at),
            Some(_) => self.add(path, "must be in the future"),
            None => self.add(path, "must be a time between the years 1 and 9999"),
        }
        None
    }
}

/// Whether Meta's or a caller's text can serve as a name.
pub(crate) fn is_name(text: &str) -> bool {
    // Counting stops early: the text may be as long as a request.
    let characters = text.chars().take(MAX_NAME + 1).count();
    (1..=MAX_NAME).contains(&characters) && !text.trim().is_empty() && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use outeract_domain::ApplicationId;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-23 10:00 UTC);

    #[test]
    fn every_violation_is_named() {
        let mut fields = Fields::default();
        assert_eq!(
            fields.parsed::<ApplicationId>("application_id", "app_nonsense", APPLICATION_ID),
            None
        );
        assert_eq!(fields.name("name", String::new()), None);
        assert_eq!(fields.environment("environment", "op".to_owned()), None);
        assert_eq!(fields.scopes("scopes", &["*".to_owned(), "all".to_owned()]), None);
        assert_eq!(fields.expiry("expire_time", Some(&timestamp::to_proto(NOW)), NOW), None);
        assert!(!fields.are_valid());
        let fault = fields.fault();
        let paths: Vec<_> = fault
            .violations()
            .iter()
            .map(|violation| violation.path.as_str())
            .collect();
        assert_eq!(
            paths,
            ["application_id", "name", "environment", "scopes[1]", "expire_time"]
        );
    }

    #[test]
    fn names_count_characters_and_refuse_what_cannot_be_shown() {
        let mut fields = Fields::default();
        let longest = "é".repeat(120);
        assert_eq!(fields.name("name", longest.clone()), Some(longest));
        for bad in ["é".repeat(121), " ".to_owned(), "a\0b".to_owned(), "a\nb".to_owned()] {
            assert_eq!(fields.name("name", bad), None);
        }
        assert_eq!(fields.optional_name("name", String::new()), None);
        assert_eq!(fields.fault().violations().len(), 4);
    }

    #[test]
    fn scopes_are_known_and_counted_and_lose_repetitions() {
        let given = |scopes: &[&str]| scopes.iter().map(|&scope| scope.to_owned()).collect::<Vec<_>>();
        let mut fields = Fields::default();
        assert_eq!(
            fields.scopes("scopes", &given(&["*", "events:read", "*"])),
            Some(given(&["events:read", "*"]))
        );
        assert_eq!(fields.scopes("scopes", &[]), None);
        assert_eq!(fields.scopes("scopes", &given(&["*"; 17])), None);
    }

    #[test]
    fn environments_are_short_and_never_the_operators() {
        let mut fields = Fields::default();
        assert_eq!(
            fields.environment("environment", String::new()).as_deref(),
            Some("live")
        );
        assert_eq!(
            fields.environment("environment", "test2".to_owned()).as_deref(),
            Some("test2")
        );
        for bad in ["op", "Live", "a_b", "abcdefghijklmnopq"] {
            assert_eq!(fields.environment("environment", bad.to_owned()), None, "{bad}");
        }
    }
}
