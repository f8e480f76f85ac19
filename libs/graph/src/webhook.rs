//! Meta's webhooks: one POST holds many entries (WABAs), each many changes (fields), each many items. Items are read one by one, so that one that cannot be read harms no other.

mod account;
mod call;
mod card;
mod item;
mod lenient;
mod message;
mod read;
mod said;
mod split;
mod user;

pub use account::{Alert, News, Restriction, TemplateName, acts, is_link, stands};
pub use call::{Call, calls};
pub use card::{Card, CardAddress, CardEmail, CardName, CardOrganization, CardPhone, CardUrl};
pub use item::{
    Account, Context, Conversation, Item, Kind, Member, Message, Origin, Pricing, Product, Referral, Sender, Status,
    Welcome,
};
pub use said::{
    Button, CallPermission, Edit, Flow, Identity, Medium, Order, OrderItem, Place, Reaction, Reply, Revoke, Said,
    System, Unknown, Unsupported,
};
pub use split::{Malformed, parse};
pub use user::{Moved, NotReadable, Preference, Switch, moved, preferences};
