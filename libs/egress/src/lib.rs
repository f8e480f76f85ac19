//! The only door for outgoing HTTP: no redirects, no proxies, no retries, bounded in time and size, and clear about whether a request can have left.

mod client;
pub mod guard;

pub use client::{Cause, Client, Config, FilePart, Invalid, Response, SendError, Streamed};
pub use reqwest::Request;
