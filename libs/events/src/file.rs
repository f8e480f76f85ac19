use outeract_domain::{ApplicationId, ConnectionId, EventId, FileId, event_id};
use outeract_proto::tracking::internal::v1::EventRecord;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{Event, FilePayload};
use time::OffsetDateTime;

use crate::timestamp;

/// A user's medium was fetched, or never will be: `file.inbound`, `file.failed`; children of `message.inbound`.
#[derive(Clone, Copy)]
pub struct FileEnd<'a> {
    /// The application.
    pub application: ApplicationId,
    /// The connection that the message was sent to.
    pub connection: ConnectionId,
    /// The message's event.
    pub message: EventId,
    /// When.
    pub at: OffsetDateTime,
    /// The file.
    pub file: FileId,
    /// Its MIME type.
    pub mime_type: &'a str,
    /// Its size in bytes; 0: it never came.
    pub size_bytes: i64,
    /// SHA-256 of its bytes; empty: they never came.
    pub sha256: &'a [u8],
    /// Its name; empty: none.
    pub name: &'a str,
    /// Why it never came; empty: it did.
    pub reason: &'a str,
}

// === impl FileEnd ===

impl FileEnd<'_> {
    /// The event.
    pub fn record(&self) -> EventRecord {
        let kind = if self.reason.is_empty() { "inbound" } else { "failed" };
        let payload = FilePayload {
            file_id: self.file.to_string(),
            mime_type: self.mime_type.to_owned(),
            size_bytes: self.size_bytes,
            sha256: hex::encode(self.sha256),
            file_name: self.name.to_owned(),
            reason: self.reason.to_owned(),
        };
        let event = Event {
            event_type: format!("file.{kind}"),
            occur_time: Some(timestamp::to_proto(self.at)),
            receive_time: Some(timestamp::to_proto(self.at)),
            payload: Some(Payload::File(payload)),
            ..Event::default()
        };
        EventRecord {
            application_id: self.application.bytes(),
            id: event_id::file(self.message, kind).bytes(),
            origin_event_id: self.message.bytes(),
            connection_id: self.connection.bytes(),
            event: Some(event),
        }
    }
}

// Its name is private.
impl std::fmt::Debug for FileEnd<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileEnd")
            .field("file", &self.file)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}
