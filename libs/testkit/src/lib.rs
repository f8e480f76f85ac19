#![doc = include_str!("../README.md")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot get what it needs fails at once"
)]

mod admin;
mod database;
mod eventually;
mod port;
mod proxy;
mod redis;
mod template;

pub use database::{TestDatabase, database_url};
pub use eventually::eventually;
pub use port::free_port;
pub use proxy::FaultProxy;
pub use redis::{RedisServer, redis_prefix, redis_url};
