//! The connection service: applications and their keys, operators and the audit log, connected WhatsApp numbers and the tokens to use them.
//!
//! It alone knows tokens and the app secret: messaging gets a token for one send at a time, with its proof. What the other services need to know of a
//! connection is pushed to them.

mod audit;
mod bootstrap;
mod config;
mod connect;
mod convert;
mod desk;
mod examine;
mod fault;
mod fields;
mod keys;
mod meta;
mod news;
mod operator_key;
mod push;
mod rpc;
mod sealed;
mod service;
mod shown;
mod standing;
mod store;
mod subscription;

pub use config::Config;
pub use service::Connection;
pub use subscription::Callback;
