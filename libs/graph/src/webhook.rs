//! Meta's webhooks: one POST holds many entries (WABAs), each many changes (fields), each many items. Items are read one by one, so that one that cannot be read harms no other.

mod account;
mod item;
mod lenient;
mod message;
mod split;
mod user;

pub use account::{Alert, News, Restriction, TemplateName, acts};
pub use item::{Account, InboundOther, InboundText, Item, Kind, Sender, Status};
pub use split::{Malformed, parse};
pub use user::{Moved, NotReadable, Preference, Switch, moved, preferences};
