#![doc = include_str!("../README.md")]

mod again;
mod board;
mod budget;
mod config;
mod decode;
mod edge;
mod erase;
mod ingest;
mod json;
mod ledger;
mod park;
mod projection;
mod reason;
mod replay;
mod report;
mod rpc;
mod sealed;
mod service;
mod store;
mod upkeep;

pub use config::Config;
pub use edge::{Credentials, PATH, router_without_storage};
pub use service::Webhook;
