#![doc = include_str!("../README.md")]

mod bootstrap;
mod class;
mod pool;
mod schema;
mod transaction;

pub use bootstrap::{BOOTSTRAP_SQL, Passwords, SERVICES, bootstrap};
pub use class::{Class, Summary, classify};
pub use pool::{PostgresConfig, connect, record_pool};
pub use schema::{SchemaError, check_schema, migrate};
pub use transaction::{Failure, retry, run_tx};
