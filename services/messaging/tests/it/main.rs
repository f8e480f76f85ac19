//! The messaging service over real sockets, a real Postgres and a real Redis, with the Meta simulator as Meta and made-up siblings beside it.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot get what it needs fails at once; the machine's clock is what Meta's would say"
)]

mod away;
mod backlog;
mod batch;
mod consent;
mod contacts;
mod erasing;
mod evidence;
mod fairness;
mod files;
mod files_refused;
mod idempotency;
mod inbound_media;
mod instance;
mod lanes;
mod lifetime;
mod limits;
mod media;
mod merging;
mod obstacles;
mod operators;
mod outcomes;
mod places;
mod portfolio;
mod quota;
mod races;
mod readback;
mod reading;
mod receipts;
mod replicas;
mod resolve;
mod sandbox;
mod send;
mod siblings;
mod standing;
mod suite;
mod templates;
mod uploading;
mod window;
