#![doc = include_str!("../README.md")]

mod aad;
mod ring;
mod secret;

pub use aad::Aad;
pub use ring::{KeyRing, OpenError, ParseError};
pub use secret::Secret;
