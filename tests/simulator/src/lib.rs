#![doc = include_str!("../README.md")]

mod auth;
mod bare;
mod config;
pub mod control;
mod deliver;
mod errors;
mod faults;
mod graph;
mod ids;
mod known;
mod ledger;
mod limits;
mod media;
mod meta;
mod outbox;
mod respond;
mod rules;
mod server;
mod templates;
mod usage;
mod users;
mod webhook;
mod world;

pub use config::{Config, StatusDelays, Webhooks};
pub use errors::Refusal;
pub use faults::{Effect, Match, Rule};
pub use ledger::{Accepted, Receipt, Summary};
pub use meta::Switches;
pub use server::{Handle, Simulator, StartError};
