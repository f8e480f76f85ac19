//! Which events a reader wants.

use outeract_domain::ConnectionId;
use outeract_rpc::Violation;

/// Patterns of one request.
const MAX_PATTERNS: usize = 32;
/// Characters of an event type.
pub(crate) const MAX_TYPE: usize = 64;

/// Event types and a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// `None`: every type.
    pub(crate) types: Option<Types>,
    /// `None`: every connection.
    pub(crate) connection: Option<ConnectionId>,
}

/// Event types by name or by the beginning of the name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Types {
    pub(crate) names: Vec<String>,
    /// With the dot at the end.
    pub(crate) prefixes: Vec<String>,
}

// === impl Filter ===

impl Filter {
    /// Reads the fields `event_types` and `connection_id` of a request.
    pub(crate) fn parse(event_types: &[String], connection_id: &str, violations: &mut Vec<Violation>) -> Self {
        let mut refuse = |path: String, description: &str| {
            violations.push(Violation {
                path,
                description: description.to_owned(),
            });
        };
        let mut types = Types::default();
        let mut all = event_types.is_empty();
        if event_types.len() > MAX_PATTERNS {
            refuse("event_types".to_owned(), "must be at most 32 patterns");
            all = true;
        }
        for (index, pattern) in event_types.iter().take(MAX_PATTERNS).enumerate() {
            if pattern == "*" {
                all = true;
            } else if let Some(prefix) = pattern
                .strip_suffix('*')
                .filter(|prefix| prefix.ends_with('.') && is_type(prefix))
            {
                types.prefixes.push(prefix.to_owned());
            } else if is_type(pattern) {
                types.names.push(pattern.clone());
            } else {
                refuse(
                    format!("event_types[{index}]"),
                    "must be an event type such as `message.inbound`, a prefix such as `message.*`, or `*`",
                );
            }
        }
        let connection = match connection_id {
            "" => None,
            text => text
                .parse()
                .map_err(|_| refuse("connection_id".to_owned(), "must be an id of the form pc_…"))
                .ok(),
        };
        Self {
            types: (!all).then_some(types),
            connection,
        }
    }
}

/// Whether `text` could name an event type: 1 to 64 of `a-z0-9_.`.
pub(crate) fn is_type(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'.';
    (1..=MAX_TYPE).contains(&text.len()) && text.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(patterns: &[&str], connection: &str) -> (Filter, Vec<String>) {
        let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        let mut violations = Vec::new();
        let filter = Filter::parse(&patterns, connection, &mut violations);
        (filter, violations.into_iter().map(|violation| violation.path).collect())
    }

    #[test]
    fn patterns_are_names_prefixes_or_all() {
        assert_eq!(parse(&[], "").0.types, None);
        assert_eq!(parse(&["message.inbound", "*"], "").0.types, None);
        let (filter, violations) = parse(&["message.inbound", "link_code.*"], "");
        let types = filter.types.unwrap();
        assert_eq!(types.names, ["message.inbound"]);
        assert_eq!(types.prefixes, ["link_code."]);
        assert!(violations.is_empty());
    }

    #[test]
    fn every_broken_field_is_named() {
        let (_, violations) = parse(
            &["message.inbound", "mess*", "", "Message", "a b", ".**", &"a".repeat(65)],
            "evt_x",
        );
        assert_eq!(
            violations,
            [
                "event_types[1]",
                "event_types[2]",
                "event_types[3]",
                "event_types[4]",
                "event_types[5]",
                "event_types[6]",
                "connection_id"
            ]
        );
        assert_eq!(parse(&["a"; 33], "").1, ["event_types"]);
    }
}
