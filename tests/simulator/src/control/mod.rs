//! The control API: makes worlds, injects messages, sets faults, answers from the ledger.

mod account_routes;
mod client;
mod echo_routes;
mod media_routes;
mod model;
mod routes;
mod samples;
mod sending;
mod sending_client;
mod standing_routes;
mod template_routes;
mod user_routes;

pub use client::{Client, ClientError};
pub use model::{
    Advance, ChangeNumber, ChangeToken, Echo, Inbound, InboundAccepted, LedgerQuery, NewWorld, NumberCreated, Pause,
    Posted, RawChange, RawItem, RawPost, Reset, RuleApplied, Stats, Tier, WabaCreated, WorldCreated,
};
pub(crate) use routes::routes;
pub use samples::{SAMPLES, sample};
pub use sending::{
    AccountChange, BrokenLinks, ChangePortfolio, ChangeTemplate, ChangeUser, ChangeUserId, ChangeWaba, MediumCreated,
    MediumState, NewTemplate, PortfolioState, Preference, ReceiptQuery, TemplateCreated, Told, UserSeen,
};
