//! The gRPC services: who calls, then one line to what answers.

mod event_service;
mod internal_service;
mod subscription_service;

pub(crate) use self::event_service::Events;
pub(crate) use self::internal_service::Internal;
