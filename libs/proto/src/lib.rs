//! The contract in `proto/` as Rust: messages, clients, servers, the descriptor set for reflection, and who may call what.
//!
//! Modules mirror packages: `outeract.messaging.v1` is [`messaging::v1`]. Nothing here is written by hand but this page.

/// Generated code, one module per package segment.
#[allow(
    clippy::allow_attributes,
    clippy::large_enum_variant,
    reason = "the generator knows nothing of sizes; whether a version of it trips over this is not ours to expect"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}

pub use generated::outeract::{connection, messaging, tracking, r#type, webhook};

use r#type::v1::ErrorReason;

/// The compiled `proto/` with comments, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// Who may call a method: the option that stands beside it in `proto/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Any application key.
    Any,
    /// An application key with this scope, or with `*`.
    Scope(&'static str),
    /// The services named, each with its own secret.
    Callers(&'static [&'static str]),
    /// An operator key.
    Operator,
}

include!(concat!(env!("OUT_DIR"), "/access.rs"));

/// The reason as clients see it in `ErrorInfo.reason`: the enum value's name without its prefix.
pub fn reason_str(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_comes_from_the_method_options() {
        assert_eq!(
            access("/outeract.messaging.v1.MessagingService/SendMessage"),
            Some(Access::Scope("events:write"))
        );
        assert_eq!(
            access("/outeract.connection.v1.ApplicationService/GetApplication"),
            Some(Access::Any)
        );
        assert_eq!(
            access("/outeract.connection.admin.v1.AdminService/RevokeKey"),
            Some(Access::Operator)
        );
        assert_eq!(
            access("/outeract.connection.internal.v1.ConnectionInternalService/GetTokenForSend"),
            Some(Access::Callers(&["messaging"]))
        );
        assert_eq!(access("/outeract.messaging.v1.MessagingService/Nothing"), None);
    }

    #[test]
    fn reasons_lose_their_prefix() {
        assert_eq!(reason_str(ErrorReason::NumberTaken), "NUMBER_TAKEN");
    }
}
