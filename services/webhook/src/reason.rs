//! Stable reasons of items that were not applied. They never change their meaning; clients show and filter by them.

/// The body is no JSON.
pub(crate) const MALFORMED_JSON: &str = "MALFORMED_JSON";
/// The stored body was changed after it was stored, or this version fails over it.
pub(crate) const BODY_UNREADABLE: &str = "BODY_UNREADABLE";
/// No connection has the number.
pub(crate) const NO_CONNECTION: &str = "NO_CONNECTION";
/// The connection of the number was ended.
pub(crate) const CONNECTION_ENDED: &str = "CONNECTION_ENDED";
/// Older items of the number are being applied first.
pub(crate) const BEHIND_PARKED: &str = "BEHIND_PARKED";
/// It waited too long for a connection.
pub(crate) const PARKED_TOO_LONG: &str = "PARKED_TOO_LONG";
/// Too many items of the number wait already.
pub(crate) const PARKED_TOO_MANY: &str = "PARKED_TOO_MANY";
/// The number belongs to another WABA than the webhook says, or now to another application than when the item came.
pub(crate) const ROUTE_MISMATCH: &str = "ROUTE_MISMATCH";
/// The value of a field is not what Meta documents.
pub(crate) const VALUE_UNREADABLE: &str = "VALUE_UNREADABLE";
/// It names no phone number.
pub(crate) const NUMBER_MISSING: &str = "NUMBER_MISSING";
/// A field that is not understood yet.
pub(crate) const FIELD_UNSUPPORTED: &str = "FIELD_UNSUPPORTED";
/// A message of a type that is not understood yet.
pub(crate) const MESSAGE_TYPE_UNSUPPORTED: &str = "MESSAGE_TYPE_UNSUPPORTED";
/// The messaging service cannot take it.
pub(crate) const APPLY_REFUSED: &str = "APPLY_REFUSED";
/// The connection service cannot take it.
pub(crate) const REPORT_REFUSED: &str = "REPORT_REFUSED";
/// The tracking service cannot take its event.
pub(crate) const EVENT_REFUSED: &str = "EVENT_REFUSED";
/// Its user was erased.
pub(crate) const ERASED: &str = "ERASED";
/// It was parked, and this version no longer finds it in its webhook.
pub(crate) const ITEM_LOST: &str = "ITEM_LOST";
/// A status of a kind that is not understood yet.
pub(crate) const STATUS_UNSUPPORTED: &str = "STATUS_UNSUPPORTED";
/// An error that Meta reports of a number, or a webhook of another product of Meta's.
pub(crate) const KIND_UNSUPPORTED: &str = "KIND_UNSUPPORTED";
/// The number is being moved from one connection to another.
pub(crate) const CONNECTION_MOVING: &str = "CONNECTION_MOVING";
/// The sender has neither a phone number nor a business-scoped user id that can be one.
pub(crate) const SENDER_UNREADABLE: &str = "SENDER_UNREADABLE";

/// The reason for something that is not understood, by Meta's name of it: `message.image`, `field.account_update`.
pub(crate) fn unsupported(what: &str) -> &'static str {
    match what.split_once('.').map(|(kind, _)| kind) {
        Some("message") => MESSAGE_TYPE_UNSUPPORTED,
        Some("status") => STATUS_UNSUPPORTED,
        Some("field") => FIELD_UNSUPPORTED,
        _ => KIND_UNSUPPORTED,
    }
}
