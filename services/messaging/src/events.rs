//! Events made from what this service stores.

use outeract_domain::{ApplicationId, ConnectionId, ContactId, EventId, Wamid};
use outeract_events::{Outbound, Status, Step, Submission, timestamp};
use outeract_graph::{GraphError, fault};
use outeract_proto::messaging::internal::v1::StatusItem;
use outeract_proto::messaging::v1::SendError;
use outeract_proto::tracking::internal::v1::EventRecord;
use outeract_proto::tracking::v1::StatusPayload;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::forward::{Origin, Told};
use crate::problem;
use crate::projection::Connection;
use crate::store::apply::Adopted;
use crate::store::outbox::{Key, kind};
use crate::vault::Letter;

/// A message of which something is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    pub application: ApplicationId,
    pub connection: ConnectionId,
    pub message: EventId,
}

/// An application sent a message.
pub(crate) fn outbound(
    subject: Subject,
    connection: &Connection,
    contact: Uuid,
    letter: &Letter,
    at: OffsetDateTime,
) -> Told {
    let record = Outbound {
        application: subject.application,
        connection: subject.connection,
        message: subject.message,
        stored: at,
        business: &connection.display_number,
        to: letter.to.as_str(),
        contact: ContactId::from_uuid(contact),
        content: &letter.content,
        reply_to: letter.reply_to.as_ref(),
    }
    .record();
    Told {
        origin: Origin::Outbox(Key {
            message: subject.message.uuid(),
            kind: kind::OUTBOUND,
            attempt: 0,
        }),
        record,
    }
}

/// A step of a message on its way to Meta.
pub(crate) fn step(
    subject: Subject,
    step: Step,
    attempt: i32,
    at: OffsetDateTime,
    wamid: Option<&Wamid>,
    error: Option<SendError>,
) -> Told {
    let record = Submission {
        application: subject.application,
        connection: subject.connection,
        message: subject.message,
        step,
        attempt,
        at,
        wamid,
        error,
    }
    .record();
    let kind = match step {
        Step::Accepted => kind::ACCEPTED,
        Step::Failed => kind::FAILED,
        Step::Unknown => kind::UNKNOWN,
        Step::Duplicate => kind::DUPLICATE,
        Step::Expired => kind::EXPIRED,
        Step::Canceled => kind::CANCELED,
    };
    Told {
        origin: Origin::Outbox(Key {
            message: subject.message.uuid(),
            kind,
            attempt,
        }),
        record,
    }
}

/// What follows a simulated acceptance.
pub(crate) fn simulated(subject: Subject, attempt: i32, at: OffsetDateTime, wamid: &Wamid) -> Vec<Told> {
    [kind::SENT, kind::DELIVERED, kind::READ]
        .into_iter()
        .filter_map(|kind| simulated_status(subject, kind, attempt, at, wamid))
        .collect()
}

/// The simulated status of this kind of outbox row.
pub(crate) fn simulated_status(
    subject: Subject,
    kind: i16,
    attempt: i32,
    at: OffsetDateTime,
    wamid: &Wamid,
) -> Option<Told> {
    let word = match kind {
        kind::SENT => "sent",
        kind::DELIVERED => "delivered",
        kind::READ => "read",
        _ => return None,
    };
    let record = Status {
        application: subject.application,
        connection: subject.connection,
        message: subject.message,
        wamid,
        word,
        occurred: at,
        received: at,
        error: None,
        told: StatusPayload::default(),
    }
    .record();
    Some(Told {
        origin: Origin::Outbox(Key {
            message: subject.message.uuid(),
            kind,
            attempt,
        }),
        record,
    })
}

/// A status that had been kept until its message was known.
pub(crate) fn adopted(orphan: &Adopted, status: &StatusItem) -> Option<Told> {
    let wamid = Wamid::new(status.wamid.clone())?;
    let record = status_record(
        ApplicationId::from_uuid(orphan.application),
        ConnectionId::from_uuid(orphan.connection),
        EventId::from_uuid(orphan.message),
        &wamid,
        status,
        orphan.received_at,
    );
    Some(Told {
        origin: Origin::Orphan(orphan.hash.clone(), orphan.id),
        record,
    })
}

fn status_record(
    application: ApplicationId,
    connection: ConnectionId,
    message: EventId,
    wamid: &Wamid,
    status: &StatusItem,
    received: OffsetDateTime,
) -> EventRecord {
    let occurred = status
        .occur_time
        .as_ref()
        .and_then(timestamp::from_proto)
        .unwrap_or(received);
    let error = (status.error_code != 0).then(|| {
        let verdict = fault::classify(&GraphError::from_code(status.error_code));
        problem::of_verdict(&verdict, status.error_code, false)
    });
    Status {
        application,
        connection,
        message,
        wamid,
        word: &status.status,
        occurred,
        received,
        error,
        told: status.told.clone().unwrap_or_default(),
    }
    .record()
}
