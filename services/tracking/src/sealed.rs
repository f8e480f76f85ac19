//! Event bodies as they are stored: sealed protobuf, without what the row's columns say.

use std::sync::Arc;

use outeract_clock::{Random, SharedRandom};
use outeract_domain::{ApplicationId, ConnectionId, EventId};
use outeract_events::timestamp;
use outeract_proto::tracking::v1::Event;
use outeract_rpc::Fault;
use outeract_seal::{Aad, KeyRing};
use prost::Message as _;
use uuid::Uuid;

use crate::cursor::Cursors;
use crate::store::log::{Body, Entry};

/// Seals and opens bodies.
#[derive(Debug, Clone)]
pub(crate) struct Bodies {
    ring: Arc<KeyRing>,
    random: SharedRandom,
    cursors: Cursors,
}

// === impl Bodies ===

impl Bodies {
    pub(crate) fn new(ring: Arc<KeyRing>, random: SharedRandom) -> Self {
        let cursors = Cursors::new(Arc::clone(&ring));
        Self { ring, random, cursors }
    }

    pub(crate) fn cursors(&self) -> &Cursors {
        &self.cursors
    }

    /// Seals the encoded event `id` of `application`.
    pub(crate) fn seal(&self, application: Uuid, id: Uuid, body: &[u8]) -> Vec<u8> {
        let random: &dyn Random = &*self.random;
        self.ring.seal(&aad(application, &id), body, random)
    }

    /// The event in a stored body, without what the row's columns say.
    pub(crate) fn decode(&self, application: Uuid, id: Uuid, body: &[u8]) -> Result<Event, Fault> {
        let opened = self.ring.open(&aad(application, &id), body).map_err(Fault::data_loss)?;
        Event::decode(opened.as_slice()).map_err(Fault::data_loss)
    }

    /// The event of a log entry as its readers see it.
    pub(crate) fn open(&self, application: ApplicationId, entry: &Entry) -> Result<Event, Fault> {
        let event = match &entry.body {
            Body::Kept(body) => self.decode(application.uuid(), entry.id, body)?,
            // Its readers learn that there was something.
            Body::Dropped { event_type, recorded } => Event {
                event_type: event_type.clone(),
                receive_time: Some(timestamp::to_proto(*recorded)),
                late: true,
                ..Event::default()
            },
        };
        Ok(Event {
            id: EventId::from_uuid(entry.id).to_string(),
            connection_id: connection(entry.connection),
            origin_event_id: entry
                .origin
                .map_or_else(String::new, |origin| EventId::from_uuid(origin).to_string()),
            cursor: self.cursors.encode(application, entry.position),
            ..event
        })
    }
}

/// Empty: the event concerns no connection more than another.
fn connection(id: Uuid) -> String {
    if id.is_nil() {
        String::new()
    } else {
        ConnectionId::from_uuid(id).to_string()
    }
}

fn aad(application: Uuid, id: &Uuid) -> Aad<'_> {
    Aad::new(Some(application), "event", "body", id.as_bytes())
}
