//! What happened to contacts, told to the tracking service. The rows are written by the statements that made it happen; this task sends and forgets them. One that is sent twice is the same
//! event.

use std::sync::Arc;
use std::time::Duration;

use outeract_domain::{ApplicationId, ConnectionId, ContactId, ErasureId, EventId};
use outeract_events::{Consent, Erased, Merged};
use outeract_proto::messaging::v1::SuppressionSource;
use outeract_proto::tracking::internal::v1::tracking_internal_service_client::TrackingInternalServiceClient;
use outeract_proto::tracking::internal::v1::{EventRecord, RecordEventsRequest, RecordResult};
use outeract_rpc::Channel;
use outeract_runtime::Stop;
use sqlx::PgPool;
use tokio::sync::Notify;

use crate::seldom::Seldom;
use crate::store::contact_event::{self as store, Pending, kind};
use crate::store::{DbError, run};

/// Wakes the task: there is something to tell. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bell(Arc<Notify>);

/// Not everything was told; the next time goes on.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error("tracking answered {0:?}")]
    Tracking(tonic::Code),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Events of one call.
const PAGE: i64 = 256;
/// Merged contacts that the event of an erasure names.
const MERGED: usize = 1_000;
/// What another process wrote, or nobody rang for, is looked for this often.
const LOOK: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);

// === impl Bell ===

impl Bell {
    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }

    pub(crate) async fn rung(&self) {
        self.0.notified().await;
    }
}

/// Tells until the process stops.
pub(crate) async fn tell(db: PgPool, channel: Channel, bell: Bell, stop: Stop) {
    let client = TrackingInternalServiceClient::new(channel);
    let away = Seldom::default();
    loop {
        tokio::select! {
            () = stop.soft().cancelled() => return,
            () = bell.0.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        let told = tokio::select! {
            () = stop.soft().cancelled() => return,
            told = tell_all(&db, &client) => told,
        };
        if let Err(cause) = told {
            if away.again() {
                tracing::warn!(%cause, "Events of contacts could not be recorded; they are kept");
            }
            tokio::select! {
                () = stop.soft().cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

async fn tell_all(db: &PgPool, client: &TrackingInternalServiceClient<Channel>) -> Result<(), Untold> {
    loop {
        let pending = run!(db, "contact_event.pending", |conn| store::pending(conn, PAGE))?;
        if pending.is_empty() {
            return Ok(());
        }
        let whole = pending.len() as i64 == PAGE;
        let ids: Vec<_> = pending.iter().map(|pending| pending.id).collect();
        let events = pending.iter().map(event).collect();
        let mut request = tonic::Request::new(RecordEventsRequest { events });
        request.set_timeout(PATIENCE);
        let answer = client.clone().record_events(request).await;
        let results = answer
            .map_err(|status| Untold::Tracking(status.code()))?
            .into_inner()
            .results;
        let refused = results
            .iter()
            .filter(|result| **result == i32::from(RecordResult::Refused))
            .count();
        if refused > 0 {
            tracing::error!(refused, "Tracking refused events of contacts for good");
            metrics::counter!("messaging_events_refused_total").increment(refused as u64);
        }
        run!(db, "contact_event.forget", |conn| store::forget(conn, &ids))?;
        if !whole {
            return Ok(());
        }
    }
}

fn event(pending: &Pending) -> EventRecord {
    let (application, id) = (
        ApplicationId::from_uuid(pending.application),
        EventId::from_uuid(pending.id),
    );
    let contact = ContactId::from_uuid(pending.contact);
    if pending.kind == kind::MERGED {
        return Merged {
            application,
            id,
            at: pending.at,
            source: contact,
            target: ContactId::from_uuid(pending.other.unwrap_or_default()),
        }
        .record();
    }
    if pending.kind == kind::ERASED {
        let merged = pending.merged.iter().copied().map(ContactId::from_uuid);
        let merged: Vec<_> = merged.filter(|other| *other != contact).take(MERGED).collect();
        return Erased {
            application,
            id,
            at: pending.at,
            erasure: ErasureId::from_uuid(pending.other.unwrap_or_default()),
            contact: (!pending.contact.is_nil()).then_some(contact),
            merged: &merged,
            digest: &hex::encode(&pending.digest),
        }
        .record();
    }
    let source = pending.source.map_or(0, i32::from);
    Consent {
        application,
        connection: (!pending.connection.is_nil()).then(|| ConnectionId::from_uuid(pending.connection)),
        id,
        at: pending.at,
        contact,
        external_id: &pending.external_id,
        suppressed: pending.kind != kind::UNSUPPRESSED,
        source: SuppressionSource::try_from(source).unwrap_or(SuppressionSource::Unspecified),
    }
    .record()
}
