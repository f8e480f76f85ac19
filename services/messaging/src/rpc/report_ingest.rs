//! `ReportIngest`.

use outeract_events::timestamp;
use outeract_proto::messaging::internal::v1::{ReportIngestRequest, ReportIngestResponse};
use outeract_rpc::{Fault, Reply};
use prost_types::Timestamp;
use time::OffsetDateTime;
use tonic::{Request, Response};

use super::Internal;
use crate::store::{ingest, run};

pub(super) async fn report_ingest(
    service: &Internal,
    request: Request<ReportIngestRequest>,
) -> Reply<ReportIngestResponse> {
    let request = request.into_inner();
    let oldest = time(request.oldest_pending_time, "oldest_pending_time")?;
    let newest = time(request.newest_decoded_time, "newest_decoded_time")?;
    let db = &service.context.db;
    run!(db, "ingest.report", |conn| ingest::report(conn, oldest, newest)).map_err(Fault::from)?;
    Ok(Response::new(ReportIngestResponse {}))
}

fn time(at: Option<Timestamp>, path: &str) -> Result<Option<OffsetDateTime>, Fault> {
    let read = at.map(|at| timestamp::from_proto(&at).ok_or_else(|| Fault::invalid(path, "must be a time")));
    read.transpose()
}
