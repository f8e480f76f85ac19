//! Calls to addresses that strangers name: only vetted ones are connected to.

mod address;
mod client;
mod resolve;
mod target;

pub use address::{Networks, is_public};
pub use client::{Answer, CallError, Guarded, Limits};
pub use resolve::{Lookup, NoAddress, SystemLookup};
pub use target::{Policy, Refused, Target};
