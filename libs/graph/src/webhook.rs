//! Meta's webhooks: one POST holds many entries (WABAs), each many changes (fields), each many items. Items are read one by one, so that one that cannot be read harms no other.

mod item;
mod lenient;
mod split;

pub use item::{InboundText, Item, Kind, Status};
pub use split::{Malformed, parse};
