//! Meta's Graph API and webhook formats: how requests are written, what answers and webhooks mean. Nothing here stores anything.

mod account;
mod client;
mod error;
pub mod fault;
pub mod signature;
mod token;
pub mod usage;
pub mod webhook;
pub mod wire;

pub use account::{PhoneNumber, TokenInfo};
pub use client::{CallError, Client, Outcome, Reply};
pub use error::GraphError;
pub use token::Token;
