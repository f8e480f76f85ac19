//! The suite end to end: [`World`] starts real processes (Postgres, Redis, the four services, the simulator), [`Api`] calls them as an application does.

mod api;
mod ledgers;
mod windows;
mod world;

pub use api::{Admin, Api, Urls, reason, text_message};
pub use ledgers::{Fault, Load, Verdict, strike_and_compare};
pub use windows::open_windows;
pub use world::{Options, World};
