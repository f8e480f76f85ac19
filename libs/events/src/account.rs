use outeract_domain::{ApplicationId, ConnectionId, event_id};
use outeract_proto::tracking::internal::v1::EventRecord;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{AccountPayload, Event};
use time::{Duration, OffsetDateTime};

use crate::timestamp;

/// News of an account, a number or a template: one event for each application concerned.
#[derive(Clone, Copy)]
pub struct AccountNews<'a> {
    /// The application.
    pub application: ApplicationId,
    /// The connection it concerns; none: several of the application's.
    pub connection: Option<ConnectionId>,
    /// Type of the event.
    pub event_type: &'a str,
    /// What is told, without Meta's value.
    pub payload: &'a AccountPayload,
    /// Meta's value, as it came.
    pub value: &'a str,
    /// When Meta made the notice, or when it was received where Meta does not say.
    pub occurred: OffsetDateTime,
    /// When it was received.
    pub received: OffsetDateTime,
}

/// Longest value that an event carries, in bytes: half of what an event may be.
const MAX_VALUE: usize = 128 * 1024;
/// What was learned this long after it happened is `late`.
const LATE_AFTER: Duration = Duration::minutes(5);

// === impl AccountNews ===

impl AccountNews<'_> {
    /// The event.
    pub fn record(&self) -> EventRecord {
        let fits = self.value.len() <= MAX_VALUE;
        let payload = AccountPayload {
            value_json: if fits { self.value.to_owned() } else { String::new() },
            value_omitted: !fits,
            ..self.payload.clone()
        };
        let id = event_id::account(
            self.application,
            &payload.waba_id,
            &payload.field,
            self.value.as_bytes(),
            self.occurred,
        );
        EventRecord {
            application_id: self.application.bytes(),
            id: id.bytes(),
            origin_event_id: Vec::new(),
            connection_id: self.connection.map_or_else(Vec::new, ConnectionId::bytes),
            event: Some(Event {
                event_type: self.event_type.to_owned(),
                occur_time: Some(timestamp::to_proto(self.occurred)),
                receive_time: Some(timestamp::to_proto(self.received)),
                late: self.received - self.occurred > LATE_AFTER,
                payload: Some(Payload::Account(payload)),
                ..Event::default()
            }),
        }
    }
}

// Values hold users' numbers.
impl std::fmt::Debug for AccountNews<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountNews")
            .field("event_type", &self.event_type)
            .field("occurred", &self.occurred)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;

    fn news<'a>(payload: &'a AccountPayload, value: &'a str) -> AccountNews<'a> {
        AccountNews {
            application: ApplicationId::from_uuid(Uuid::from_u128(1)),
            connection: None,
            event_type: "account.updated",
            payload,
            value,
            occurred: datetime!(2026-11-23 10:00 UTC),
            received: datetime!(2026-11-23 10:00:01 UTC),
        }
    }

    #[test]
    fn a_repeated_notice_is_the_same_event_and_a_later_one_is_not() {
        let payload = AccountPayload::default();
        let first = news(&payload, "{}");
        let again = AccountNews {
            received: datetime!(2026-11-23 11:00 UTC),
            connection: Some(ConnectionId::from_uuid(Uuid::from_u128(2))),
            ..first
        };
        assert_eq!(first.record().id, again.record().id);
        let others = [
            AccountNews {
                occurred: datetime!(2026-11-23 10:00:01 UTC),
                ..first
            },
            AccountNews { value: "{ }", ..first },
            AccountNews {
                application: ApplicationId::from_uuid(Uuid::from_u128(9)),
                ..first
            },
        ];
        for other in others {
            assert_ne!(first.record().id, other.record().id);
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_left_out_and_that_is_said() {
        let payload = AccountPayload::default();
        for (length, omitted) in [(MAX_VALUE, false), (MAX_VALUE + 1, true)] {
            let value = "x".repeat(length);
            let event = news(&payload, &value).record().event.expect("event");
            let Some(Payload::Account(told)) = event.payload else {
                panic!("another payload")
            };
            assert_eq!((told.value_omitted, told.value_json.is_empty()), (omitted, omitted));
        }
    }
}
