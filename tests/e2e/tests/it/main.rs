//! The suite end to end, with the real binaries, over sockets. Each test has a world of its own; see `tests/e2e/src/world.rs`.

#![expect(
    clippy::expect_used,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test tells one story from beginning to end, stops at the first thing that is not as it must be, and owns its tasks"
)]

mod batch;
mod canaries;
mod files;
mod kill;
mod life;
mod outcomes;
mod refusals;
mod shutdown;
mod standing;
mod webhooks;
