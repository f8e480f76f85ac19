//! One file for each scenario.

pub(crate) mod accept;
pub(crate) mod apply;
pub(crate) mod backlog;
pub(crate) mod dispatch;
pub(crate) mod fairness;
pub(crate) mod ingest;
pub(crate) mod lifecycle;
pub(crate) mod memory;
pub(crate) mod recovery;
pub(crate) mod webhooks;
