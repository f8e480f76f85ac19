#![doc = include_str!("../README.md")]

mod buckets;
mod gcra;
mod health;
mod local;
mod remote;

pub use buckets::{Buckets, BucketsConfig, GiveBack, Grant, Spend, Take};
pub use remote::ConnectError;
