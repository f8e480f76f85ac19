//! `ReportIngest`.

use outeract_events::timestamp;
use outeract_proto::messaging::internal::v1::{ReportIngestRequest, ReportIngestResponse};
use outeract_rpc::{Fault, Reply};
use tonic::{Request, Response};

use super::Internal;
use crate::store::{ingest, run};

pub(super) async fn report_ingest(
    service: &Internal,
    request: Request<ReportIngestRequest>,
) -> Reply<ReportIngestResponse> {
    let oldest = request
        .into_inner()
        .oldest_pending_time
        .map(|time| timestamp::from_proto(&time).ok_or_else(|| Fault::invalid("oldest_pending_time", "must be a time")))
        .transpose()?;
    run!(service.context.db, "ingest.report", |conn| ingest::report(conn, oldest)).map_err(Fault::from)?;
    Ok(Response::new(ReportIngestResponse {}))
}
