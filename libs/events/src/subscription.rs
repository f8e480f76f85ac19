use outeract_domain::{ApplicationId, SubscriptionId, event_id};
use outeract_proto::tracking::internal::v1::EventRecord;
use outeract_proto::tracking::v1::SubscriptionDisabledPayload;
use outeract_proto::tracking::v1::event::Payload;
use time::OffsetDateTime;

use crate::user::{event, record};

/// A subscription was disabled: `subscription.disabled`.
#[derive(Debug, Clone, Copy)]
pub struct SubscriptionDisabled {
    /// The application.
    pub application: ApplicationId,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// When: with the subscription, it makes the event's id.
    pub at: OffsetDateTime,
    /// `gone`, `failing` or `behind`.
    pub reason: &'static str,
}

// === impl SubscriptionDisabled ===

impl SubscriptionDisabled {
    /// The event.
    pub fn record(&self) -> EventRecord {
        let payload = SubscriptionDisabledPayload {
            subscription_id: self.subscription.to_string(),
            reason: self.reason.to_owned(),
        };
        let event = event("subscription.disabled", self.at, Payload::SubscriptionDisabled(payload));
        record(
            self.application,
            event_id::disabled(self.subscription, self.at),
            None,
            event,
        )
    }
}
