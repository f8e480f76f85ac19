//! Logs, spans and measures of the process. Set up once, in `main`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use outeract_rpc::{BoxError, trace};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{DynFilterFn, EnvFilter, FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::base::Otlp;
use crate::config::{Invalid, Value};
use crate::log::JsonLog;

/// Which log lines are written, as in `info,outeract_messaging=debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LogFilter(String);

/// The telemetry of the process.
pub(crate) struct Telemetry {
    pub(crate) log: LogControl,
    pub(crate) metrics: PrometheusHandle,
    spans: Option<SdkTracerProvider>,
}

/// Changes the log filter while the process runs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LogControl(Arc<LogState>);

struct LogState {
    original: LogFilter,
    present: Mutex<LogFilter>,
    set: Box<dyn Fn(&LogFilter) -> bool + Send + Sync>,
}

/// Bounds of seconds: from a cache hit to the longest deadline.
const BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
const QUEUE: usize = 4_096;
const BATCH: usize = 512;
const EXPORT_EVERY: Duration = Duration::from_secs(2);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
const FLUSH: Duration = Duration::from_secs(2);

// === impl Telemetry ===

impl Telemetry {
    /// Takes over the process's logs, spans and measures. Inside of the tokio runtime; once.
    pub(crate) fn install(service: &'static str, filter: &LogFilter, otlp: Option<&Otlp>) -> Result<Self, BoxError> {
        let metrics = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?
            .install_recorder()?;
        let (log_filter, handle) = reload::Layer::new(filter.to_env_filter());
        // A filter without a hint would have every line of every library below the level looked at, each time.
        let fit = filter_fn(is_fit_for_logs).with_max_level_hint(LevelFilter::TRACE);
        let log = JsonLog::new(service).with_filter(log_filter.and(fit));
        let spans = otlp.map(|otlp| provider(service, otlp)).transpose()?;
        let export = spans.as_ref().map(|spans| {
            tracing_opentelemetry::layer()
                .with_tracer(spans.tracer("outeract"))
                .with_location(false)
                .with_target(false)
                .with_tracked_inactivity(false)
                .with_threads(false)
                .with_filter(in_sampled_traces())
        });
        tracing_subscriber::registry().with(export).with(log).try_init()?;
        if let Some(otlp) = otlp {
            trace::export(otlp.ratio);
        }
        std::panic::set_hook(Box::new(log_panic));
        let set = move |filter: &LogFilter| handle.reload(filter.to_env_filter()).is_ok();
        Ok(Self {
            log: LogControl::new(filter.clone(), Box::new(set)),
            metrics,
            spans,
        })
    }

    /// Sends what is left, for at most two seconds.
    pub(crate) async fn flush(self) {
        let Some(spans) = self.spans else { return };
        // It blocks its thread; the exporter's channel needs the runtime meanwhile.
        let _ = tokio::task::spawn_blocking(move || spans.shutdown_with_timeout(FLUSH)).await;
    }
}

fn provider(service: &'static str, otlp: &Otlp) -> Result<SdkTracerProvider, BoxError> {
    // Connects when it first exports; a collector that is away costs the spans of its absence, and no call waits for it.
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(otlp.endpoint.clone())
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let batches = BatchSpanProcessor::builder(Counted(exporter))
        .with_batch_config(
            BatchConfigBuilder::default()
                .with_max_queue_size(QUEUE)
                .with_max_export_batch_size(BATCH)
                .with_scheduled_delay(EXPORT_EVERY)
                .build(),
        )
        .build();
    let resource = Resource::builder_empty()
        .with_attribute(opentelemetry::KeyValue::new(
            "service.name",
            format!("outeract-{service}"),
        ))
        .with_attribute(opentelemetry::KeyValue::new("service.namespace", "outeract"))
        .with_attribute(opentelemetry::KeyValue::new(
            "service.version",
            env!("CARGO_PKG_VERSION"),
        ))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(batches)
        // Whether a trace is sampled was decided where it began: spans of other traces are never made.
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
        .with_resource(resource)
        .build())
}

/// Spans that begin a trace on purpose, and spans inside of them. All else would begin traces of its own.
fn in_sampled_traces<S>() -> impl Filter<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    DynFilterFn::new(|metadata, context: &Context<'_, S>| {
        metadata.is_span()
            && *metadata.level() <= Level::INFO
            && (metadata.target() == trace::ROOT || context.lookup_current().is_some())
    })
    .with_max_level_hint(LevelFilter::INFO)
}

/// Whatever the filter says, libraries write nothing below INFO: they show headers and frames there.
fn is_fit_for_logs(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || metadata.target().starts_with("outeract")
}

/// Where it happened; and the text only if it stands in the code, since a formatted one may quote data.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let text = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("");
    tracing::error!(at, "Panicked: {text}");
}

/// Counts what became of spans.
#[derive(Debug)]
struct Counted<E>(E);

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.0.export(batch).await;
        let outcome = if result.is_ok() { "sent" } else { "lost" };
        metrics::counter!("outeract_spans_exported_total", "outcome" => outcome).increment(spans);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

// === impl LogFilter ===

impl LogFilter {
    fn to_env_filter(&self) -> EnvFilter {
        // Checked when it was read.
        EnvFilter::try_new(&self.0).unwrap_or_else(|_| EnvFilter::new("info"))
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl Value for LogFilter {
    fn parse(text: &str) -> Result<Self, Invalid> {
        match EnvFilter::try_new(text) {
            Ok(_) if text.len() <= 1_024 => Ok(Self(text.to_owned())),
            Ok(_) | Err(_) => Err(Invalid::must("be a log filter such as info,outeract_messaging=debug")),
        }
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl LogControl ===

impl LogControl {
    pub(crate) fn new(original: LogFilter, set: Box<dyn Fn(&LogFilter) -> bool + Send + Sync>) -> Self {
        Self(Arc::new(LogState {
            present: Mutex::new(original.clone()),
            original,
            set,
        }))
    }

    /// The filter that applies.
    pub(crate) fn present(&self) -> LogFilter {
        self.0.present.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Applies another filter.
    pub(crate) fn set(&self, filter: LogFilter) -> bool {
        let mut present = self.0.present.lock().unwrap_or_else(PoisonError::into_inner);
        let set = (self.0.set)(&filter);
        if set {
            *present = filter;
        }
        set
    }

    /// Applies the filter that the process began with.
    pub(crate) fn revert(&self) {
        self.set(self.0.original.clone());
    }
}
