//! What became of users' media, told to the tracking service. The rows are written by the statements that made it happen; one that is told twice is the same event.

use std::time::Duration;

use outeract_domain::{ApplicationId, ConnectionId, EventId, FileId};
use outeract_events::FileEnd;
use outeract_proto::tracking::internal::v1::tracking_internal_service_client::TrackingInternalServiceClient;
use outeract_proto::tracking::internal::v1::{EventRecord, RecordEventsRequest, RecordResult};
use outeract_rpc::Channel;
use outeract_runtime::Stop;

use super::Bell;
use crate::files::Files;
use crate::seldom::Seldom;
use crate::store::fetch::{self as store, Ended};
use crate::store::{DbError, run};

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
/// What another process left untold, as it died, is looked for this often.
const LOOK: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells until the process stops.
pub(super) async fn tell(files: Files, channel: Channel, bell: Bell, stop: Stop) {
    let client = TrackingInternalServiceClient::new(channel);
    let away = Seldom::default();
    let mut failed = false;
    loop {
        tokio::select! {
            () = stop.soft().cancelled() => return,
            // While tracking is away nobody's bell makes it be asked more often.
            () = bell.rung(), if !failed => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        let told = tokio::select! {
            () = stop.soft().cancelled() => return,
            told = tell_all(&files, &client) => told,
        };
        failed = told.is_err();
        if let Err(cause) = told
            && away.again()
        {
            tracing::warn!(%cause, "Events of files could not be recorded; they are kept");
        }
    }
}

async fn tell_all(files: &Files, client: &TrackingInternalServiceClient<Channel>) -> Result<(), Untold> {
    loop {
        let ended = run!(files.0.db, "fetch.ended", |conn| store::ended(conn, PAGE))?;
        if ended.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = ended.iter().map(|file| file.file).collect();
        let events = ended.iter().map(|file| event(files, file)).collect();
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
            tracing::error!(refused, "Tracking refused events of files for good");
            metrics::counter!("messaging_events_refused_total").increment(refused as u64);
        }
        run!(files.0.db, "fetch.forget", |conn| store::forget(conn, &ids))?;
        if (ended.len() as i64) < PAGE {
            return Ok(());
        }
    }
}

fn event(files: &Files, ended: &Ended) -> EventRecord {
    let application = ApplicationId::from_uuid(ended.application);
    let file = FileId::from_uuid(ended.file);
    // A name that cannot be read any more holds nothing up.
    let name = files.0.vault.open_file_name(application, file, &ended.name_sealed);
    FileEnd {
        application,
        connection: ConnectionId::from_uuid(ended.connection),
        message: EventId::from_uuid(ended.event),
        at: ended.at,
        file,
        mime_type: &ended.mime_type,
        size_bytes: ended.size_bytes,
        sha256: &ended.sha256,
        name: name.as_deref().unwrap_or_default(),
        reason: &ended.reason,
    }
    .record()
}
