//! Streaming: a log from where its consumer left off, and on with what happens.

mod open;
mod poll;
mod pump;
mod streams;

pub(crate) use self::open::{Streamer, consumer_name};
pub(crate) use self::poll::poll;
pub(crate) use self::streams::Streams;
