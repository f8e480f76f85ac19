//! The simulator as a caller of Meta sees it.

#![expect(clippy::expect_used, reason = "what is not as expected fails the test")]

mod limits;
mod media;
mod messages;
mod simulator;
mod sink;
mod stage;
mod standing;
mod templates;
mod users;
