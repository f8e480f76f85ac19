#![doc = include_str!("../README.md")]

mod aad;
mod mac;
mod ring;
mod secret;

pub use aad::Aad;
pub use mac::hmac_sha256;
pub use ring::{KeyRing, OpenError, ParseError};
pub use secret::Secret;
