#![doc = include_str!("../README.md")]

mod batcher;
mod flusher;
mod meter;

pub use batcher::{BatchConfig, Batcher, Submission, SubmitError};
pub use flusher::{Flush, FlushError, Flusher};
