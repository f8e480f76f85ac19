//! Which events a reader wants.

use outeract_domain::{ConnectionId, ContactId};
use outeract_proto::tracking::v1::{ListEventsRequest, StreamEventsRequest};
use outeract_rpc::Violation;
use uuid::Uuid;

/// Patterns of one request.
const MAX_PATTERNS: usize = 32;
/// Connections of one request, besides `connection_id`.
const MAX_CONNECTIONS: usize = 32;
/// Characters of an event type.
pub(crate) const MAX_TYPE: usize = 64;

/// What a request says about which events it wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) event_types: &'a [String],
    pub(crate) connection_id: &'a str,
    pub(crate) connection_ids: &'a [String],
    pub(crate) platform_user_id: &'a str,
}

/// Event types, connections and a contact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// `None`: every type.
    pub(crate) types: Option<Types>,
    /// `None`: every connection.
    pub(crate) connections: Option<Vec<Uuid>>,
    /// `None`: every contact, and what names none.
    pub(crate) contact: Option<ContactId>,
}

/// Event types by name or by the beginning of the name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Types {
    pub(crate) names: Vec<String>,
    /// With the dot at the end.
    pub(crate) prefixes: Vec<String>,
}

// === impl Wanted ===

impl<'a> From<&'a ListEventsRequest> for Wanted<'a> {
    fn from(request: &'a ListEventsRequest) -> Self {
        Self {
            event_types: &request.event_types,
            connection_id: &request.connection_id,
            connection_ids: &request.connection_ids,
            platform_user_id: &request.platform_user_id,
        }
    }
}

impl<'a> From<&'a StreamEventsRequest> for Wanted<'a> {
    fn from(request: &'a StreamEventsRequest) -> Self {
        Self {
            event_types: &request.event_types,
            connection_id: &request.connection_id,
            connection_ids: &request.connection_ids,
            platform_user_id: &request.platform_user_id,
        }
    }
}

/// Event types alone, of all connections and contacts.
impl<'a> From<&'a [String]> for Wanted<'a> {
    fn from(event_types: &'a [String]) -> Self {
        Self {
            event_types,
            connection_id: "",
            connection_ids: &[],
            platform_user_id: "",
        }
    }
}

// === impl Filter ===

impl Filter {
    /// Reads the fields of a request that filter.
    pub(crate) fn parse<'a>(wanted: impl Into<Wanted<'a>>, violations: &mut Vec<Violation>) -> Self {
        let wanted = wanted.into();
        Self {
            types: Types::parse(wanted.event_types, violations),
            connections: connections(wanted, violations),
            contact: contact(wanted.platform_user_id, violations),
        }
    }
}

// === impl Types ===

impl Types {
    /// `None`: every type.
    fn parse(event_types: &[String], violations: &mut Vec<Violation>) -> Option<Self> {
        let mut refuse = |path: String, description: &str| {
            violations.push(Violation {
                path,
                description: description.to_owned(),
            });
        };
        let mut types = Self::default();
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
        (!all).then_some(types)
    }
}

fn connections(wanted: Wanted<'_>, violations: &mut Vec<Violation>) -> Option<Vec<Uuid>> {
    let one = (!wanted.connection_id.is_empty()).then(|| ("connection_id".to_owned(), wanted.connection_id));
    if wanted.connection_ids.len() > MAX_CONNECTIONS {
        violations.push(Violation {
            path: "connection_ids".to_owned(),
            description: "must be at most 32".to_owned(),
        });
        return None;
    }
    let more = wanted.connection_ids.iter().enumerate();
    let given: Vec<_> = one
        .into_iter()
        .chain(more.map(|(index, text)| (format!("connection_ids[{index}]"), text.as_str())))
        .collect();
    let mut connections = Vec::with_capacity(given.len());
    for (path, text) in given {
        match text.parse().map(ConnectionId::uuid) {
            Ok(connection) => connections.push(connection),
            Err(_) => violations.push(Violation {
                path,
                description: "must be an id of the form pc_…".to_owned(),
            }),
        }
    }
    (!connections.is_empty()).then_some(connections)
}

fn contact(text: &str, violations: &mut Vec<Violation>) -> Option<ContactId> {
    if text.is_empty() {
        return None;
    }
    let contact = text.parse().ok();
    if contact.is_none() {
        violations.push(Violation {
            path: "platform_user_id".to_owned(),
            description: "must be an id of the form pu_…".to_owned(),
        });
    }
    contact
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
        let wanted = Wanted {
            event_types: &patterns,
            connection_id: connection,
            connection_ids: &[],
            platform_user_id: "",
        };
        let filter = Filter::parse(wanted, &mut violations);
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
        let mut violations = Vec::new();
        let wanted = Wanted {
            event_types: &[],
            connection_id: "",
            connection_ids: &["pc_".to_owned(), String::new()],
            platform_user_id: "+14155559999",
        };
        Filter::parse(wanted, &mut violations);
        let paths: Vec<_> = violations.iter().map(|violation| violation.path.as_str()).collect();
        assert_eq!(paths, ["connection_ids[0]", "connection_ids[1]", "platform_user_id"]);
    }
}
