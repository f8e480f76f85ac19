//! The connection service on real Postgres and sockets, with the simulator as Meta.
#![expect(clippy::unwrap_used, reason = "a test that cannot get what it needs fails at once")]

mod admin;
mod app_subscription;
mod bootstrap;
mod canary;
mod connections;
mod internal;
mod keys;
mod outbox;
mod races;
mod refusals;
mod settings;
mod sibling;
mod standing;
mod suite;
