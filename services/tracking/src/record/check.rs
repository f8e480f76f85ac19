//! The rules of the log: what an event must be to be appended.

use outeract_domain::{ContactId, EventId};
use outeract_proto::tracking::internal::v1::EventRecord;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{Event, UserMergedPayload};
use prost::Message as _;
use uuid::Uuid;

use crate::read::is_type;

/// Bytes of an encoded event.
const MAX_BODY: usize = 256 << 10;

/// An event that keeps the rules.
#[derive(Debug, PartialEq)]
pub(super) struct Fit {
    pub(super) id: Uuid,
    pub(super) application: Uuid,
    /// Nil: none.
    pub(super) connection: Uuid,
    pub(super) origin: Option<Uuid>,
    pub(super) event_type: String,
    /// The contact that the event names.
    pub(super) contact: Option<Uuid>,
    /// A contact that became part of another, and that other.
    pub(super) merge: Option<(Uuid, Uuid)>,
    /// The encoded event, without what stands in columns.
    pub(super) body: Vec<u8>,
}

/// The rule that an event breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the id is no version-7 UUID")]
    Id,
    #[error("the application's id is not 16 bytes")]
    Application,
    #[error("the connection's id is not 16 bytes")]
    Connection,
    #[error("the parent's id is not 16 bytes, or not of the same time as the child's")]
    Origin,
    #[error("there is no event in the record")]
    Absent,
    #[error("the event type is not 1 to 64 of a-z0-9_.")]
    Type,
    #[error("the event has more than 256 KiB")]
    Size,
}

pub(super) fn check(record: EventRecord) -> Result<Fit, Refusal> {
    let id = EventId::from_slice(&record.id).ok_or(Refusal::Id)?;
    if id.uuid().get_version_num() != 7 {
        return Err(Refusal::Id);
    }
    let uuid = |bytes: &[u8]| Uuid::from_slice(bytes).ok().filter(|uuid| !uuid.is_nil());
    let application = uuid(&record.application_id).ok_or(Refusal::Application)?;
    let connection = match record.connection_id.as_slice() {
        [] => Uuid::nil(),
        bytes => uuid(bytes).ok_or(Refusal::Connection)?,
    };
    let origin = match record.origin_event_id.as_slice() {
        [] => None,
        bytes => Some(origin(bytes, id)?),
    };
    let event = record.event.ok_or(Refusal::Absent)?;
    if !is_type(&event.event_type) {
        return Err(Refusal::Type);
    }
    let event = Event {
        id: String::new(),
        origin_event_id: String::new(),
        connection_id: String::new(),
        cursor: String::new(),
        ..event
    };
    if event.encoded_len() > MAX_BODY {
        return Err(Refusal::Size);
    }
    Ok(Fit {
        id: id.uuid(),
        application,
        connection,
        origin,
        contact: contact(&event),
        merge: merge(&event),
        body: event.encode_to_vec(),
        event_type: event.event_type,
    })
}

/// The user of a message, or whom a fact about a user concerns; of a merge, who is left.
fn contact(event: &Event) -> Option<Uuid> {
    let named = match &event.payload {
        Some(Payload::UserMerged(merged)) => &merged.target_user_id,
        Some(Payload::Suppression(suppression)) => &suppression.platform_user_id,
        Some(Payload::UserErased(erased)) => &erased.platform_user_id,
        _ => {
            let edges = event.edges.as_ref()?;
            let parties = edges.sent_by.iter().chain(&edges.sent_to);
            &parties
                .into_iter()
                .find(|party| !party.platform_user_id.is_empty())?
                .platform_user_id
        }
    };
    parsed(named)
}

fn merge(event: &Event) -> Option<(Uuid, Uuid)> {
    let Some(Payload::UserMerged(UserMergedPayload {
        source_user_id,
        target_user_id,
    })) = &event.payload
    else {
        return None;
    };
    let merge = (parsed(source_user_id)?, parsed(target_user_id)?);
    (merge.0 != merge.1).then_some(merge)
}

fn parsed(contact: &str) -> Option<Uuid> {
    contact.parse().ok().map(ContactId::uuid)
}

/// A child is found beside its parent, by the time bits of their ids.
fn origin(bytes: &[u8], child: EventId) -> Result<Uuid, Refusal> {
    EventId::from_slice(bytes)
        .filter(|parent| parent.unix_millis() == child.unix_millis() && *parent != child)
        .map(EventId::uuid)
        .ok_or(Refusal::Origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> EventRecord {
        let id = |text: &str| text.parse::<Uuid>().unwrap().as_bytes().to_vec();
        EventRecord {
            application_id: id("01a20000-0000-7000-8000-000000000001"),
            id: id("01a20000-0000-7000-8000-000000000002"),
            origin_event_id: id("01a20000-0000-7000-8000-000000000003"),
            connection_id: id("01a20000-0000-7000-8000-000000000004"),
            event: Some(Event {
                id: "evt_of_the_sender".to_owned(),
                event_type: "message.sent".to_owned(),
                cursor: "x".to_owned(),
                late: true,
                ..Event::default()
            }),
        }
    }

    #[test]
    fn what_stands_in_columns_is_not_stored_twice() {
        let fit = check(record()).unwrap();
        let stored = Event::decode(fit.body.as_slice()).unwrap();
        assert_eq!((stored.id.as_str(), stored.cursor.as_str()), ("", ""));
        assert_eq!((stored.event_type.as_str(), stored.late), ("message.sent", true));
    }

    #[test]
    fn an_event_may_concern_no_connection() {
        let record = EventRecord {
            connection_id: Vec::new(),
            ..record()
        };
        assert!(check(record).unwrap().connection.is_nil());
    }

    #[test]
    fn each_rule_is_told() {
        let broken = |change: fn(&mut EventRecord)| {
            let mut record = record();
            change(&mut record);
            check(record).unwrap_err()
        };
        assert_eq!(broken(|record| record.id.truncate(15)), Refusal::Id);
        assert_eq!(broken(|record| record.id[6] = 0x40), Refusal::Id);
        assert_eq!(broken(|record| record.application_id.clear()), Refusal::Application);
        assert_eq!(
            broken(|record| record.application_id = vec![0; 16]),
            Refusal::Application
        );
        assert_eq!(broken(|record| record.connection_id.push(0)), Refusal::Connection);
        assert_eq!(broken(|record| record.origin_event_id.truncate(1)), Refusal::Origin);
        assert_eq!(broken(|record| record.origin_event_id[5] ^= 1), Refusal::Origin);
        assert_eq!(
            broken(|record| record.origin_event_id = record.id.clone()),
            Refusal::Origin
        );
        assert_eq!(broken(|record| record.event = None), Refusal::Absent);
        assert_eq!(
            broken(|record| record.event.as_mut().unwrap().event_type = "Message Sent".to_owned()),
            Refusal::Type
        );
        assert_eq!(
            broken(|record| record.event.as_mut().unwrap().event_type = String::new()),
            Refusal::Type
        );
    }
}
