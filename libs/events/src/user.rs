use outeract_domain::{ApplicationId, ConnectionId, ContactId, ErasureId, EventId};
use outeract_proto::messaging::v1::SuppressionSource;
use outeract_proto::tracking::internal::v1::EventRecord;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{Event, SuppressionPayload, UserErasedPayload, UserMergedPayload};
use time::OffsetDateTime;

use crate::timestamp;

/// Two contacts turned out to be one: `user.merged`.
#[derive(Debug, Clone, Copy)]
pub struct Merged {
    /// The application.
    pub application: ApplicationId,
    /// The event.
    pub id: EventId,
    /// When.
    pub at: OffsetDateTime,
    /// The contact that is no more.
    pub source: ContactId,
    /// The contact it is part of.
    pub target: ContactId,
}

/// A user wants no marketing, or does again: `user.suppressed`, `user.unsuppressed`.
#[derive(Clone, Copy)]
pub struct Consent<'a> {
    /// The application.
    pub application: ApplicationId,
    /// The connection it holds for; none: for all.
    pub connection: Option<ConnectionId>,
    /// The event.
    pub id: EventId,
    /// When.
    pub at: OffsetDateTime,
    /// The user.
    pub contact: ContactId,
    /// The user: E.164 with `+`, or the business-scoped user id.
    pub external_id: &'a str,
    /// They want no marketing.
    pub suppressed: bool,
    /// How that came about.
    pub source: SuppressionSource,
}

/// Nothing is left of a user: `user.erased`.
#[derive(Debug, Clone, Copy)]
pub struct Erased<'a> {
    /// The application.
    pub application: ApplicationId,
    /// The event.
    pub id: EventId,
    /// When.
    pub at: OffsetDateTime,
    /// The erasure.
    pub erasure: ErasureId,
    /// The contact; none: none was known.
    pub contact: Option<ContactId>,
    /// Contacts that had been merged into it.
    pub merged: &'a [ContactId],
    /// Of the proof, in lower-case hex digits.
    pub digest: &'a str,
}

// === impl Erased ===

impl Erased<'_> {
    /// The event.
    pub fn record(&self) -> EventRecord {
        let payload = UserErasedPayload {
            erasure_id: self.erasure.to_string(),
            platform_user_id: self.contact.map(|contact| contact.to_string()).unwrap_or_default(),
            merged_user_ids: self.merged.iter().map(ToString::to_string).collect(),
            digest: self.digest.to_owned(),
        };
        let event = event("user.erased", self.at, Payload::UserErased(payload));
        record(self.application, self.id, None, event)
    }
}

// === impl Merged ===

impl Merged {
    /// The event.
    pub fn record(&self) -> EventRecord {
        let payload = UserMergedPayload {
            source_user_id: self.source.to_string(),
            target_user_id: self.target.to_string(),
        };
        let event = event("user.merged", self.at, Payload::UserMerged(payload));
        record(self.application, self.id, None, event)
    }
}

// === impl Consent ===

impl Consent<'_> {
    /// The event.
    pub fn record(&self) -> EventRecord {
        let payload = SuppressionPayload {
            platform_user_id: self.contact.to_string(),
            external_id: self.external_id.to_owned(),
            source: self.source.into(),
        };
        let event_type = if self.suppressed {
            "user.suppressed"
        } else {
            "user.unsuppressed"
        };
        let event = event(event_type, self.at, Payload::Suppression(payload));
        record(self.application, self.id, self.connection, event)
    }
}

// Who it is about is private.
impl std::fmt::Debug for Consent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consent")
            .field("id", &self.id)
            .field("suppressed", &self.suppressed)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

pub(crate) fn event(event_type: &str, at: OffsetDateTime, payload: Payload) -> Event {
    Event {
        event_type: event_type.to_owned(),
        occur_time: Some(timestamp::to_proto(at)),
        receive_time: Some(timestamp::to_proto(at)),
        payload: Some(payload),
        ..Event::default()
    }
}

pub(crate) fn record(
    application: ApplicationId,
    id: EventId,
    connection: Option<ConnectionId>,
    event: Event,
) -> EventRecord {
    EventRecord {
        application_id: application.bytes(),
        id: id.bytes(),
        origin_event_id: Vec::new(),
        connection_id: connection.map_or_else(Vec::new, ConnectionId::bytes),
        event: Some(event),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_types_say_which_way_it_went_and_for_which_connections() {
        let consent = Consent {
            application: ApplicationId::from_uuid(Uuid::from_u128(1)),
            connection: None,
            id: EventId::from_uuid(Uuid::from_u128(2)),
            at: datetime!(2026-11-23 10:00 UTC),
            contact: ContactId::from_uuid(Uuid::from_u128(3)),
            external_id: "+14155551234",
            suppressed: true,
            source: SuppressionSource::StopWord,
        };
        let record = consent.record();
        assert!(record.connection_id.is_empty());
        assert_eq!(
            record.event.map(|event| event.event_type).as_deref(),
            Some("user.suppressed")
        );
        let lifted = Consent {
            suppressed: false,
            connection: Some(ConnectionId::from_uuid(Uuid::from_u128(4))),
            ..consent
        };
        assert_eq!(lifted.record().connection_id.len(), 16);
        assert!(!format!("{consent:?}").contains("1415"));
    }
}
