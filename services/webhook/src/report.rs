//! How far behind decoding is: for operators as a gauge, and for messaging, which settles unknown outcomes only while it can trust silence.

use std::time::Duration;

use outeract_events::timestamp;
use outeract_postgres::Summary;
use outeract_proto::messaging::internal::v1::ReportIngestRequest;
use outeract_proto::messaging::internal::v1::messaging_internal_service_client::MessagingInternalServiceClient;
use outeract_rpc::Channel;
use sqlx::PgPool;

use crate::store::cursor;

/// How often it is reported.
const EVERY: Duration = Duration::from_secs(5);

/// Reports until the process stops. Every replica does: they read the same truth.
pub(crate) async fn report(db: PgPool, messaging: Channel) {
    let mut client = MessagingInternalServiceClient::new(messaging);
    let lag = metrics::gauge!("webhook_decode_lag_seconds");
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let backlog = match cursor::backlog(&db).await {
            Ok(backlog) => backlog,
            Err(error) => {
                // Saying nothing is right: what is not reported is not trusted.
                tracing::warn!(error = %Summary(&error), "The age of what waits cannot be read");
                continue;
            }
        };
        lag.set(backlog.lag_seconds.unwrap_or(0.0));
        let request = ReportIngestRequest {
            oldest_pending_time: backlog.oldest.map(timestamp::to_proto),
            newest_decoded_time: backlog.newest.map(timestamp::to_proto),
        };
        let reported = client.report_ingest(request).await;
        metrics::counter!("webhook_ingest_reports_total", "outcome" => if reported.is_ok() { "done" } else { "failed" }).increment(1);
    }
}
