use outeract_domain::{ApplicationId, ConnectionId, ContactId, Content, EventId, PhoneNumberId, Wamid, event_id};
use outeract_proto::messaging::v1::SendError;
use outeract_proto::tracking::internal::v1::EventRecord;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{Edges, Event, MessagePayload, Party, StatusPayload};
use time::{Duration, OffsetDateTime};

use crate::{content, timestamp};

/// What was learned this long after it happened is `late`.
const LATE_AFTER: Duration = Duration::minutes(5);

/// An application sent a message: `message.outbound`, under the message's own id.
#[derive(Debug, Clone, Copy)]
pub struct Outbound<'a> {
    /// The application.
    pub application: ApplicationId,
    /// The connection it is sent from.
    pub connection: ConnectionId,
    /// The message.
    pub message: EventId,
    /// When it was stored.
    pub stored: OffsetDateTime,
    /// The business number, E.164.
    pub business: &'a str,
    /// The recipient as the caller wrote it.
    pub to: &'a str,
    /// The recipient.
    pub contact: ContactId,
    /// What it says.
    pub content: &'a Content,
    /// Meta's id of the message it replies to.
    pub reply_to: Option<&'a Wamid>,
}

/// A step of a message on its way to Meta: a child of `message.outbound`.
#[derive(Debug, Clone)]
pub struct Submission<'a> {
    /// The application.
    pub application: ApplicationId,
    /// The connection it is sent from.
    pub connection: ConnectionId,
    /// The message.
    pub message: EventId,
    /// Which step.
    pub step: Step,
    /// The attempt it belongs to.
    pub attempt: i32,
    /// When it was recorded.
    pub at: OffsetDateTime,
    /// Meta's id of the message, where Meta gave one.
    pub wamid: Option<&'a Wamid>,
    /// Why it failed; of an expired message, why its last try did.
    pub error: Option<SendError>,
}

/// Steps on the way to Meta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Meta accepted it.
    Accepted,
    /// It will not be sent.
    Failed,
    /// A call was made and its outcome is not known.
    Unknown,
    /// Meta accepted it once more.
    Duplicate,
    /// Its time ran out before it could be sent.
    Expired,
    /// It was taken back before it was sent.
    Canceled,
}

/// Meta reported a status of a message: a child of `message.outbound`.
#[derive(Debug, Clone)]
pub struct Status<'a> {
    /// The application.
    pub application: ApplicationId,
    /// The connection it was sent from.
    pub connection: ConnectionId,
    /// The message.
    pub message: EventId,
    /// Meta's id of the message.
    pub wamid: &'a Wamid,
    /// Meta's word, for example `delivered`.
    pub word: &'a str,
    /// When it happened, by Meta's clock.
    pub occurred: OffsetDateTime,
    /// When it was received.
    pub received: OffsetDateTime,
    /// Why it failed.
    pub error: Option<SendError>,
    /// What Meta tells with it: price, conversation, group.
    pub told: StatusPayload,
}

/// A user sent a message, `message.inbound`; or the business did, in its own app, `message.echo`.
#[derive(Debug, Clone)]
pub struct Inbound<'a> {
    /// The application.
    pub application: ApplicationId,
    /// The connection it was sent to.
    pub connection: ConnectionId,
    /// Meta's id of the number it was sent to.
    pub number: &'a PhoneNumberId,
    /// Meta's id of the message.
    pub wamid: &'a Wamid,
    /// When it was sent, by Meta's clock.
    pub occurred: OffsetDateTime,
    /// When it was received.
    pub received: OffsetDateTime,
    /// The business number, E.164.
    pub business: &'a str,
    /// The user: E.164 with `+`, or the business-scoped user id.
    pub from: &'a str,
    /// The user.
    pub contact: ContactId,
    /// The user's name as Meta reported it; empty when it did not.
    pub name: &'a str,
    /// The business wrote it, to the user.
    pub echo: bool,
    /// What it says, as the contract writes it: users write what Meta lets them, not what Meta lets us send. Whose it is, and its id, are filled in.
    pub payload: MessagePayload,
}

// === impl Outbound ===

impl Outbound<'_> {
    /// The event.
    pub fn record(&self) -> EventRecord {
        let payload = MessagePayload {
            platform: "whatsapp".to_owned(),
            external_message_id: String::new(),
            role: "assistant".to_owned(),
            content: Some(content::to_proto(self.content)),
            reply_to_external_message_id: self
                .reply_to
                .map_or_else(String::new, |wamid| wamid.as_str().to_owned()),
            ..MessagePayload::default()
        };
        let edges = Edges {
            sent_by: Some(business(self.business)),
            sent_to: Some(user(self.to, self.contact, "")),
        };
        let event = event(
            "message.outbound",
            self.stored,
            self.stored,
            Payload::Message(payload),
            Some(edges),
        );
        record(self.application, self.message, None, self.connection, event)
    }
}

// === impl Submission ===

impl Submission<'_> {
    /// The event.
    pub fn record(&self) -> EventRecord {
        let word = self.step.word();
        let payload = StatusPayload {
            status: word.to_owned(),
            external_message_id: self.wamid.map_or_else(String::new, |wamid| wamid.as_str().to_owned()),
            error: self.error.clone(),
            attempt: self.attempt,
            ..StatusPayload::default()
        };
        let id = event_id::submission(self.message, self.attempt, word);
        let event = event(
            &format!("message.{word}"),
            self.at,
            self.at,
            Payload::Status(payload),
            None,
        );
        record(self.application, id, Some(self.message), self.connection, event)
    }
}

impl Step {
    /// The last part of the event's type.
    pub fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Duplicate => "duplicate",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
        }
    }
}

// === impl Status ===

impl Status<'_> {
    /// The event.
    pub fn record(&self) -> EventRecord {
        let code = self.error.as_ref().map_or(0, |error| error.meta_code);
        let payload = StatusPayload {
            status: self.word.to_owned(),
            external_message_id: self.wamid.as_str().to_owned(),
            error: self.error.clone(),
            attempt: 0,
            ..self.told.clone()
        };
        let id = event_id::status(self.message, self.wamid, self.word, code);
        let event = event(
            &format!("message.{}", self.word),
            self.occurred,
            self.received,
            Payload::Status(payload),
            None,
        );
        record(self.application, id, Some(self.message), self.connection, event)
    }
}

// === impl Inbound ===

impl Inbound<'_> {
    /// The event.
    pub fn record(self) -> EventRecord {
        let (user, business) = (user(self.from, self.contact, self.name), business(self.business));
        let (event_type, role, by, to) = if self.echo {
            ("message.echo", "assistant", business, user)
        } else {
            ("message.inbound", "user", user, business)
        };
        let payload = MessagePayload {
            platform: "whatsapp".to_owned(),
            external_message_id: self.wamid.as_str().to_owned(),
            role: role.to_owned(),
            ..self.payload
        };
        let edges = Edges {
            sent_by: Some(by),
            sent_to: Some(to),
        };
        let id = event_id::inbound(self.number, self.wamid, self.occurred);
        let event = event(
            event_type,
            self.occurred,
            self.received,
            Payload::Message(payload),
            Some(edges),
        );
        record(self.application, id, None, self.connection, event)
    }
}

fn event(
    event_type: &str,
    occurred: OffsetDateTime,
    received: OffsetDateTime,
    payload: Payload,
    edges: Option<Edges>,
) -> Event {
    Event {
        event_type: event_type.to_owned(),
        occur_time: Some(timestamp::to_proto(occurred)),
        receive_time: Some(timestamp::to_proto(received)),
        late: received - occurred > LATE_AFTER,
        payload: Some(payload),
        edges,
        // The tracking service fills these in.
        id: String::new(),
        connection_id: String::new(),
        origin_event_id: String::new(),
        cursor: String::new(),
        erased: false,
    }
}

fn record(
    application: ApplicationId,
    id: EventId,
    parent: Option<EventId>,
    connection: ConnectionId,
    event: Event,
) -> EventRecord {
    EventRecord {
        application_id: application.bytes(),
        id: id.bytes(),
        origin_event_id: parent.map_or_else(Vec::new, EventId::bytes),
        connection_id: connection.bytes(),
        event: Some(event),
    }
}

fn business(number: &str) -> Party {
    Party {
        external_id: number.to_owned(),
        platform_user_id: String::new(),
        name: String::new(),
        system: true,
    }
}

fn user(external_id: &str, contact: ContactId, name: &str) -> Party {
    Party {
        external_id: external_id.to_owned(),
        platform_user_id: contact.to_string(),
        name: name.to_owned(),
        system: false,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;

    fn status(wamid: &Wamid, received: OffsetDateTime) -> Status<'_> {
        Status {
            application: ApplicationId::from_uuid(Uuid::from_u128(1)),
            connection: ConnectionId::from_uuid(Uuid::from_u128(2)),
            message: EventId::from_uuid(Uuid::from_u128(3)),
            wamid,
            word: "delivered",
            occurred: datetime!(2026-11-23 10:00 UTC),
            received,
            error: None,
            told: StatusPayload::default(),
        }
    }

    #[test]
    fn a_repeated_status_is_the_same_event_and_says_when_it_is_late() {
        let wamid = Wamid::new("wamid.A").expect("valid");
        let first = status(&wamid, datetime!(2026-11-23 10:00:01 UTC)).record();
        let again = status(&wamid, datetime!(2026-11-23 10:06 UTC)).record();
        assert_eq!(first.id, again.id);
        assert_eq!(first.origin_event_id, EventId::from_uuid(Uuid::from_u128(3)).bytes());
        let late = |record: &EventRecord| record.event.as_ref().map(|event| event.late);
        assert_eq!((late(&first), late(&again)), (Some(false), Some(true)));
        assert_eq!(
            first.event.map(|event| event.event_type),
            Some("message.delivered".to_owned())
        );
    }
}
