//! The messaging service over real sockets, a real Postgres and a real Redis, with the Meta simulator as Meta and made-up siblings beside it.

#![expect(clippy::expect_used, reason = "a test that cannot get what it needs fails at once")]

mod away;
mod batch;
mod evidence;
mod fairness;
mod idempotency;
mod instance;
mod lanes;
mod outcomes;
mod portfolio;
mod quota;
mod replicas;
mod send;
mod siblings;
mod suite;
mod window;
