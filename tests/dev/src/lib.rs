//! What `cargo dev` is made of, for end-to-end tests and benchmarks too: private Postgres and Redis servers, and the four services as
//! processes that can be killed and started again. Uses std only, so that it builds in seconds.
//!
//! ```no_run
//! use std::time::Duration;
//! use outeract_dev::{Instance, Postgres, PostgresPrograms, Redis, RedisProgram, Service, Suite, SuiteOptions};
//!
//! # fn main() -> outeract_dev::Result<()> {
//! let instance = Instance::create()?; // everything below ends with this process, however that ends
//! let mut postgres = Postgres::start(&instance, &PostgresPrograms::find()?, &[])?;
//! let redis = Redis::start(&instance, &RedisProgram::find()?)?;
//! let options = SuiteOptions::new(postgres.url("postgres"), redis.url(), "target/dev/example");
//! let mut suite = Suite::new(&instance, options)?; // with a simulator of Meta
//! suite.service(Service::Messaging)?.set("MESSAGING_UNKNOWN_AFTER", "30s");
//! suite.migrate()?;
//! suite.start(Duration::from_secs(30))?;
//! println!("{}", suite.service(Service::Messaging)?.application_url());
//!
//! suite.service(Service::Messaging)?.kill();
//! postgres.crash();
//! postgres.restart()?;
//! suite.service(Service::Messaging)?.start()?;
//! suite.service(Service::Messaging)?.wait_until_ready(Duration::from_secs(10))?;
//! # Ok(())
//! # }
//! ```

#![expect(
    clippy::print_stdout,
    reason = "part of a program for the terminal: it says what it installs"
)]

mod account;
mod environment;
mod error;
mod identity;
mod install;
mod instance;
mod poll;
mod postgres;
mod process;
mod random;
mod redis;
mod replica;
mod sha256;
mod suite;
mod tree;
mod which;
mod wire;

pub use account::is_root;
pub use environment::Secrets;
pub use error::{Context, Error, Result};
pub use identity::Signal;
pub use install::{debian_packages, is_possible as can_install};
pub use instance::{Instance, binaries, guard};
pub use postgres::{Postgres, PostgresPrograms, Psql};
pub use process::{Ending, Process, Program, exec};
pub use redis::{Redis, RedisProgram};
pub use replica::Replica;
pub use sha256::sha256_hex;
pub use suite::{Service, Suite, SuiteOptions, bootstrap, role_url};
pub use tree::{cargo, root};
pub use which::which;

use poll::poll;
