//! Configuration from the environment: strings become types once, every fault is told at once, unknown keys are refused, secrets are redacted.

mod env;
mod reader;
mod value;

pub use env::Env;
pub use reader::{Fault, Faults, FromEnv, Reader, Reported, Setting};
pub use value::{Invalid, ServiceUrl, Value};
