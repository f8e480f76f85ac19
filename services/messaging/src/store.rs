//! The service's SQL: plain functions on a connection, one file per purpose, every statement schema-qualified and checked at compile time.
//!
//! Lookups by key are written as `CROSS JOIN LATERAL (… LIMIT 1)`: each is one descent of the primary key, whatever the planner believes about the table's size.

pub(crate) mod accept;
pub(crate) mod apply;
pub(crate) mod aside;
pub(crate) mod brake;
pub(crate) mod connection;
pub(crate) mod consent;
pub(crate) mod contact;
pub(crate) mod contact_event;
pub(crate) mod contact_page;
pub(crate) mod erase;
pub(crate) mod erasure;
pub(crate) mod fetch;
pub(crate) mod file;
pub(crate) mod gate;
pub(crate) mod hold;
pub(crate) mod ingest;
pub(crate) mod intent;
pub(crate) mod merge;
pub(crate) mod message;
pub(crate) mod outbox;
pub(crate) mod owner;
pub(crate) mod queue;
pub(crate) mod quota;
pub(crate) mod receipt;
pub(crate) mod record;
pub(crate) mod resolve;
pub(crate) mod retire;
mod run;
pub(crate) mod sandbox;
pub(crate) mod settle;
pub(crate) mod template;
pub(crate) mod template_sync;
pub(crate) mod upkeep;
pub(crate) mod waiting;
pub(crate) mod withdraw;

pub(crate) use self::run::{Attempts, DbError, run};

#[cfg(test)]
mod tests;
