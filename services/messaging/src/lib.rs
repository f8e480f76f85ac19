//! The messaging service: accepts messages durably, sends each at most once, and tells what became of it.
//!
//! Rooms: `rpc` (the contract), `accept` (storing, many callers at a time), `dispatch` (owners, the scheduler, intents, calls, records), `apply` (what webhooks tell), `contacts` (users, and
//! what they wish), `window` and `limits` (who can be written to freely, and to how many others), `templates`, `files` (what messages carry), `erase` (users who are to be forgotten), `forward` (events on their way to tracking),
//! `projection` (connections, and what operators hold back), `receipts` (messages that are marked as read by themselves), `store` (the SQL).

mod accept;
mod apply;
mod config;
mod contacts;
mod dispatch;
mod erase;
mod events;
mod files;
mod forward;
mod ids;
mod limits;
mod obstacle;
mod problem;
mod projection;
mod receipts;
mod rpc;
mod seldom;
mod service;
mod status;
mod store;
mod templates;
mod upkeep;
mod vault;
mod waiters;
mod window;

pub use config::{Config, Timing};
pub use files::{FilesUrl, Provider};
pub use service::{Messaging, build, migrator};
