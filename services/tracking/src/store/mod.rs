//! The tables of schema `tracking`, one file per table.

pub(crate) mod consumer;
pub(crate) mod contact;
pub(crate) mod event;
pub(crate) mod event_type;
pub(crate) mod head;
pub(crate) mod log;
pub(crate) mod retention;

#[cfg(test)]
mod tests;
