//! Meta's Graph API and webhook formats: how requests are written, what answers and webhooks mean. Nothing here stores anything.

mod account;
mod client;
mod error;
pub mod fault;
mod media;
mod regain;
pub mod signature;
pub mod template;
mod token;
mod usage;
pub mod webhook;
pub mod wire;

pub use account::{PhoneNumber, TokenInfo};
pub use client::{CallError, Client, Outcome, Reply};
pub use error::GraphError;
pub use media::{Download, Medium};
pub use token::Token;
pub use usage::Usage;
