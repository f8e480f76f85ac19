#![doc = include_str!("../README.md")]

mod board;
mod config;
mod decode;
mod edge;
mod ingest;
mod park;
mod projection;
mod reason;
mod report;
mod rpc;
mod sealed;
mod service;
mod store;
mod upkeep;

pub use config::Config;
pub use edge::{Credentials, PATH, router_without_storage};
pub use service::Webhook;
