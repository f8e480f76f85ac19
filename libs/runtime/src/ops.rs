//! The port for operators and probes: `/livez`, `/readyz`, `/metrics`, `/logfilter`. Reachable inside the cluster only; it asks for no credential.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;

use crate::config::{Invalid, Value as _};
use crate::health::Health;
use crate::measure;
use crate::stop::Stop;
use crate::tasks::{OnExit, Tasks};
use crate::telemetry::{LogControl, LogFilter};

/// What the port shows and changes.
#[derive(Clone)]
pub(crate) struct Ops {
    pub(crate) health: Health,
    pub(crate) db: PgPool,
    pub(crate) tasks: Tasks,
    pub(crate) stop: Stop,
    pub(crate) log: LogControl,
    /// Absent in tests, where many processes share one recorder.
    pub(crate) metrics: Option<PrometheusHandle>,
}

/// `?for=5m`: how long another log filter applies.
#[derive(serde::Deserialize)]
struct For {
    r#for: Option<String>,
}

const REVERT_AFTER: Duration = Duration::from_mins(10);
const REVERT_MAX: Duration = Duration::from_hours(1);
const FILTER_BYTES: usize = 1_024;

// === impl Ops ===

impl Ops {
    pub(crate) fn router(self) -> Router {
        Router::new()
            // Answering is the whole test: it shows that the runtime still runs tasks.
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(show_metrics))
            .route("/logfilter", get(show_filter).put(change_filter))
            .layer(DefaultBodyLimit::max(FILTER_BYTES))
            .with_state(self)
    }
}

async fn ready(State(ops): State<Ops>) -> Response {
    if ops.health.is_ready() {
        return "ok\n".into_response();
    }
    let parts = ops.health.unready().join(" ");
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {parts}\n")).into_response()
}

async fn show_metrics(State(ops): State<Ops>) -> Response {
    let Some(metrics) = &ops.metrics else {
        return StatusCode::NOT_FOUND.into_response();
    };
    measure::record(Some(&ops.db));
    let page = metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page).into_response()
}

async fn show_filter(State(ops): State<Ops>) -> String {
    format!("{}\n", ops.log.present())
}

/// Applies the filter in the body, and the original one again after `for` (10 minutes; at most an hour): debugging is forgotten, full disks are not.
async fn change_filter(State(ops): State<Ops>, Query(query): Query<For>, body: Bytes) -> Response {
    match accept_change(&query, &body) {
        Ok((filter, time)) if ops.log.set(filter.clone()) => {
            tracing::info!(filter = %filter, seconds = time.as_secs(), "Changed the log filter");
            ops.tasks.spawn(
                "log.revert",
                OnExit::Continue,
                revert(ops.log.clone(), filter.clone(), time, ops.stop),
            );
            format!("{filter}\n").into_response()
        }
        Ok(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Err(Invalid(problem)) => (StatusCode::BAD_REQUEST, format!("{problem}\n")).into_response(),
    }
}

fn accept_change(query: &For, body: &[u8]) -> Result<(LogFilter, Duration), Invalid> {
    let text = std::str::from_utf8(body).map_err(|_| Invalid::must("be text"))?;
    let filter = LogFilter::parse(text.trim())?;
    let time = match &query.r#for {
        None => REVERT_AFTER,
        Some(text) => Duration::parse(text)?,
    };
    if time > REVERT_MAX {
        Err(Invalid::must("be for at most 1h"))
    } else {
        Ok((filter, time))
    }
}

async fn revert(log: LogControl, filter: LogFilter, after: Duration, stop: Stop) {
    // A process that stops does not wait for it, and keeps the filter to its end.
    if stop
        .soft()
        .run_until_cancelled(tokio::time::sleep(after))
        .await
        .is_none()
    {
        return;
    }
    // A later change has its own end.
    if log.present() == filter {
        log.revert();
        tracing::info!(filter = %log.present(), "Reverted the log filter");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_checked_and_its_time_bounded() {
        let change = |time: Option<&str>, filter: &str| {
            let query = For {
                r#for: time.map(str::to_owned),
            };
            accept_change(&query, filter.as_bytes()).map(|(_, time)| time)
        };
        assert_eq!(change(None, "debug"), Ok(REVERT_AFTER));
        assert_eq!(
            change(Some("5m"), "info,outeract_rpc=debug\n"),
            Ok(Duration::from_mins(5))
        );
        assert!(change(Some("2h"), "debug").is_err());
        assert!(change(None, "info,=,=").is_err());
    }
}
