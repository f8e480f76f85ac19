#![doc = include_str!("../README.md")]

mod acknowledge;
mod config;
mod cursor;
mod erase;
mod fault;
mod hooks;
mod maintenance;
mod read;
mod record;
mod rpc;
mod sealed;
mod service;
mod store;
mod stream;

pub use config::Config;
pub use service::Tracking;
