//! How occurrences become events of the log: one builder per kind, used by whichever service learns of the occurrence first, so that both make the same event.

mod account;
mod build;
pub mod content;
mod file;
#[cfg(any(test, feature = "test-util"))]
pub mod sample;
mod subscription;
pub mod timestamp;
mod user;

pub use account::AccountNews;
pub use build::{Inbound, Outbound, Status, Step, Submission};
pub use file::FileEnd;
pub use subscription::SubscriptionDisabled;
pub use user::{Consent, Erased, Merged};
