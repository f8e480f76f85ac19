//! One JSON object per line on standard output.

use std::fmt;
use std::io::Write as _;

use outeract_clock::{Clock as _, SystemClock};
use outeract_rpc::trace;
use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Writes events as JSON: `timestamp`, `severity`, `message`, `target`, `service.name`, `trace_id` and `span_id` where there are, and the event's fields.
#[derive(Debug)]
pub(crate) struct JsonLog {
    service: &'static str,
}

struct Fields<'a> {
    line: &'a mut Map<String, Value>,
}

// === impl JsonLog ===

impl JsonLog {
    pub(crate) fn new(service: &'static str) -> Self {
        Self { service }
    }

    fn line(&self, event: &Event<'_>) -> String {
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert(
            "timestamp".to_owned(),
            json!(SystemClock.now().format(&Rfc3339).unwrap_or_default()),
        );
        line.insert("severity".to_owned(), json!(severity(*metadata.level())));
        line.insert("message".to_owned(), json!(""));
        line.insert("target".to_owned(), json!(metadata.target()));
        line.insert("service.name".to_owned(), json!(format!("outeract-{}", self.service)));
        if let Some((trace_id, span_id)) = trace::current_ids() {
            line.insert("trace_id".to_owned(), json!(trace_id));
            if let Some(span_id) = span_id {
                line.insert("span_id".to_owned(), json!(span_id));
            }
        }
        event.record(&mut Fields { line: &mut line });
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        text
    }
}

impl<S: Subscriber> Layer<S> for JsonLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = self.line(event);
        // One write per line, so that lines of several threads do not mix. A closed standard output is no reason to fail.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

// === impl Fields ===

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.line.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    struct Kept(JsonLog, Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.1.lock().unwrap().push(self.0.line(event));
        }
    }

    #[test]
    fn a_line_is_one_object_with_the_usual_fields() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Kept(JsonLog::new("tracking"), Arc::clone(&lines));
        let registry = tracing_subscriber::registry().with(kept);
        tracing::subscriber::with_default(registry, || {
            tracing::warn!(count = 3, state = ?Some("x"), "Two\nlines");
        });
        let lines = lines.lock().unwrap();
        assert!(lines[0].ends_with('\n') && !lines[0].trim_end().contains('\n'));
        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["severity"], "WARNING");
        assert_eq!(line["message"], "Two\nlines");
        assert_eq!(line["service.name"], "outeract-tracking");
        assert_eq!(line["count"], 3);
        assert_eq!(line["state"], "Some(\"x\")");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
