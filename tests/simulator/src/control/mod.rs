//! The control API: makes worlds, injects messages, sets faults, answers from the ledger.

mod client;
mod model;
mod routes;

pub use client::{Client, ClientError};
pub use model::{
    Advance, ChangeNumber, ChangePortfolio, ChangeToken, Inbound, InboundAccepted, LedgerQuery, NewWorld,
    NumberCreated, Pause, Posted, RawChange, RawItem, RawPost, Reset, RuleApplied, Stats, Tier, WabaCreated,
    WorldCreated,
};
pub(crate) use routes::routes;
