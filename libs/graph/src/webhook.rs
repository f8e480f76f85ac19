//! Meta's webhooks: one POST holds many entries (WABAs), each many changes (fields), each many items. Items are read one by one, so that one that cannot be read harms no other.

mod item;
mod lenient;
mod message;
mod said;
mod split;
mod user;

pub use item::{
    Account, Context, Conversation, Item, Kind, Member, Message, Origin, Pricing, Product, Referral, Sender, Status,
};
pub use said::{
    Button, CallPermission, Card, CardAddress, CardEmail, CardName, CardOrganization, CardPhone, CardUrl, Edit, Flow,
    Medium, Order, OrderItem, Place, Reaction, Reply, Revoke, Said, System, Unsupported,
};
pub use split::{Malformed, parse};
pub use user::{Moved, NotReadable, Preference, Switch, moved, preferences};
