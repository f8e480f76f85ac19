//! The webhook service over real sockets and a real Postgres, with made-up siblings beside it.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot get what it needs fails at once"
)]

mod account;
mod batch;
mod bodies;
mod budget;
mod decode;
mod edge;
mod erase;
mod floor;
mod http;
mod operate;
mod park;
mod replay;
mod replay_live;
mod rpc;
mod siblings;
mod standing;
mod suite;
