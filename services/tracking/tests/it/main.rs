//! The tracking service over real sockets, on real Postgres.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot get what it needs fails at once"
)]

mod acknowledge;
mod contact;
mod erase;
mod get;
mod hooks;
mod hooks_life;
mod hooks_retry;
mod instances;
mod list;
mod plans;
mod receiver;
mod record;
mod retention;
mod stream;
mod suite;
mod writers;
