//! The tables of schema `tracking`, one file per table.

pub(crate) mod consumer;
pub(crate) mod contact;
pub(crate) mod delivery;
pub(crate) mod erasure;
pub(crate) mod event;
pub(crate) mod event_type;
pub(crate) mod head;
pub(crate) mod log;
pub(crate) mod retention;
pub(crate) mod subscription;
pub(crate) mod worker;

#[cfg(test)]
mod tests;
