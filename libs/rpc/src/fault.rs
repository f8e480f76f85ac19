use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outeract_proto::reason_str;
use outeract_proto::r#type::v1::ErrorReason;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::call::{self, Call};
use crate::{BoxError, trace};

pub use outeract_domain::Violation;

/// `ErrorInfo.domain` of every error.
const DOMAIN: &str = "outeract";
/// When to come back, where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a call fails, in full: what the caller reads, and what only the log reads. Becomes a [`Status`] with `ErrorInfo`, and `BadRequest` or `RetryInfo`
/// where they apply. A cause is logged when the fault becomes a status, once; its text never leaves.
pub struct Fault(Box<Inner>);

struct Inner {
    code: Code,
    reason: ErrorReason,
    message: Cow<'static, str>,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
    metadata: Vec<(&'static str, String)>,
    source: Option<BoxError>,
}

/// What happened to a cause since it was last logged: causes of one outage repeat thousands of times a second.
static UNAVAILABLE_LOGGED: AtomicU64 = AtomicU64::new(0);

// === impl Fault ===

impl Fault {
    /// A fault of this code and reason. `message` is for people: clients decide on code and reason.
    pub fn new(code: Code, reason: ErrorReason, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            reason,
            message: message.into(),
            violations: Vec::new(),
            retry_after: None,
            metadata: Vec::new(),
            source: None,
        }))
    }

    /// `INVALID_ARGUMENT` for one field. `path` as in `content.text.body`; `description` says what the field must be, never what it was.
    pub fn invalid(path: impl Into<String>, description: impl Into<String>) -> Self {
        Self::invalid_many(vec![Violation {
            path: path.into(),
            description: description.into(),
        }])
    }

    /// `INVALID_ARGUMENT` for several fields.
    pub fn invalid_many(violations: Vec<Violation>) -> Self {
        let message = match violations.as_slice() {
            [one] => format!("{} {}", one.path, one.description),
            many => format!("{} fields break their limits", many.len()),
        };
        let mut fault = Self::new(Code::InvalidArgument, ErrorReason::InvalidField, message);
        fault.0.violations = violations;
        fault
    }

    /// `NOT_FOUND`. `noun` as in `message`. The same for an absent thing and for another application's.
    pub fn not_found(noun: &'static str) -> Self {
        Self::new(Code::NotFound, ErrorReason::NotFound, format!("{noun} not found"))
    }

    /// `ALREADY_EXISTS`.
    pub fn already_exists(reason: ErrorReason, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::AlreadyExists, reason, message)
    }

    /// `FAILED_PRECONDITION`.
    pub fn precondition(reason: ErrorReason, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::FailedPrecondition, reason, message)
    }

    /// ABORTED: the caller may try again with what is true now.
    pub fn aborted(reason: ErrorReason, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Aborted, reason, message)
    }

    /// UNAVAILABLE: something this service needs is away. `source` is logged, at most once a second.
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::new(
            Code::Unavailable,
            ErrorReason::DependencyUnavailable,
            "something this service needs is away; try again",
        )
        .retry_after(RETRY_AFTER)
        .source(source)
    }

    /// UNAVAILABLE: this process is stopping, another replica answers.
    pub fn shutting_down() -> Self {
        Self::new(
            Code::Unavailable,
            ErrorReason::ShuttingDown,
            "this process is shutting down; connect again",
        )
        .retry_after(Duration::from_millis(100))
    }

    /// `RESOURCE_EXHAUSTED`: a bounded queue is full and nothing was stored.
    pub fn overloaded(retry_after: Duration) -> Self {
        Self::new(
            Code::ResourceExhausted,
            ErrorReason::Overloaded,
            "too much is waiting here already; try again later",
        )
        .retry_after(retry_after)
    }

    /// `DEADLINE_EXCEEDED`.
    pub fn deadline_exceeded() -> Self {
        Self::new(
            Code::DeadlineExceeded,
            ErrorReason::DeadlineExceeded,
            "the deadline passed before the work was done",
        )
    }

    /// INTERNAL: a fault of ours. The caller gets a trace id that finds the log line with `source`.
    pub fn internal(source: impl Into<BoxError>) -> Self {
        Self::new(Code::Internal, ErrorReason::Internal, "internal error").source(source)
    }

    /// `DATA_LOSS`: a stored value could not be opened or read.
    pub fn data_loss(source: impl Into<BoxError>) -> Self {
        Self::new(
            Code::DataLoss,
            ErrorReason::SealedValueUnreadable,
            "a stored value could not be read",
        )
        .source(source)
    }

    /// What a sibling service's failure means for this call: away, too slow or too busy is passed on as such, anything else is a fault of ours.
    pub fn sibling(status: &Status) -> Self {
        // Not the status itself: its text spells out details and headers.
        let cause = format!("a sibling answered {:?}: {}", status.code(), status.message());
        match status.code() {
            Code::Unavailable | Code::Cancelled | Code::Aborted => Self::unavailable(cause),
            Code::DeadlineExceeded => Self::deadline_exceeded(),
            Code::ResourceExhausted => Self::overloaded(retry_delay(status).unwrap_or(RETRY_AFTER)),
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => Self::internal(cause),
        }
    }

    /// Adds when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Adds a fact to `ErrorInfo.metadata`.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.metadata.push((key, value.into()));
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The gRPC code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The reason.
    pub fn reason(&self) -> ErrorReason {
        self.0.reason
    }

    /// What the caller reads.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The fields that break their limits.
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// Logs the cause once, where the fault leaves the process.
    fn log(&self, trace_id: &str) {
        let Some(source) = &self.0.source else { return };
        let method = call::with_current(Call::method).unwrap_or_default();
        let cause = Chain(source.as_ref());
        if self.0.code == Code::Unavailable {
            let second = trace::since_start().as_secs() + 1;
            if UNAVAILABLE_LOGGED.swap(second, Ordering::Relaxed) != second {
                tracing::warn!(method, trace_id, "A dependency is away: {cause}");
            }
        } else {
            tracing::error!(
                method,
                trace_id,
                reason = reason_str(self.0.reason),
                "Call failed: {cause}"
            );
        }
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let mut metadata: HashMap<String, String> = HashMap::with_capacity(fault.0.metadata.len() + 1);
        if fault.0.source.is_some() || matches!(fault.0.code, Code::Internal | Code::DataLoss) {
            let trace_id = trace::current_trace_id();
            fault.log(&trace_id);
            metadata.insert("trace_id".to_owned(), trace_id);
        }
        let inner = *fault.0;
        metadata.extend(inner.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)));
        let mut details = ErrorDetails::with_error_info(reason_str(inner.reason), DOMAIN, metadata);
        for violation in inner.violations {
            details.add_bad_request_violation(violation.path, violation.description);
        }
        let mut headers = MetadataMap::new();
        if let Some(after) = inner.retry_after {
            details.set_retry_info(Some(after));
            // Older clients read the push-back, newer ones the detail.
            headers.insert("grpc-retry-pushback-ms", (after.as_millis() as u64).into());
            if inner.reason == ErrorReason::RateLimited {
                // What clients of other protocols look for: whole seconds, not too few.
                headers.insert("retry-after", (after.as_secs_f64().ceil() as u64).into());
            }
        }
        Self::with_error_details_and_metadata(inner.code, inner.message, details, headers)
    }
}

impl From<Violation> for Fault {
    fn from(violation: Violation) -> Self {
        Self::invalid_many(vec![violation])
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("code", &self.0.code)
            .field("reason", &reason_str(self.0.reason))
            .field("message", &self.0.message)
            .field("violations", &self.0.violations)
            .field("retry_after", &self.0.retry_after)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", reason_str(self.0.reason), self.0.message)
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// An error and its causes on one line.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0, f)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

/// The reason in a status that one of our services answered; `None` when it carries none that is known here.
pub fn reason(status: &Status) -> Option<ErrorReason> {
    let info = status.get_details_error_info()?;
    if info.domain != DOMAIN {
        return None;
    }
    ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason))
}

/// When the status says to try again.
fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_lists_every_reason() {
        let readme = include_str!("../../../proto/README.md");
        for reason in (1..).map_while(|number| ErrorReason::try_from(number).ok()) {
            let reason = reason_str(reason);
            assert!(readme.contains(&format!("| `{reason}` |")), "{reason}");
        }
    }

    #[test]
    fn a_bad_field_names_its_path() {
        let status = Status::from(Fault::invalid("content.text.body", "must be 1 to 4096 characters"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(reason(&status), Some(ErrorReason::InvalidField));
        let bad = status.get_details_bad_request().unwrap();
        assert_eq!(bad.field_violations[0].field, "content.text.body");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("INVALID_FIELD", "outeract")
        );
    }

    #[test]
    fn a_retry_time_stands_in_the_detail_and_in_the_push_back() {
        let status = Status::from(Fault::overloaded(Duration::from_millis(250)));
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(retry_delay(&status), Some(Duration::from_millis(250)));
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "250");
    }

    #[test]
    fn a_cause_never_leaves() {
        let cause = std::io::Error::other("password=hunter2");
        let status = Status::from(Fault::internal(cause));
        assert_eq!(status.message(), "internal error");
        assert!(!String::from_utf8_lossy(status.details()).contains("hunter2"));
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata["trace_id"].len(), 32);
    }

    #[test]
    fn a_siblings_failure_is_passed_on_only_where_it_means_the_same_here() {
        assert_eq!(
            Fault::sibling(&Status::unavailable("x")).reason(),
            ErrorReason::DependencyUnavailable
        );
        assert_eq!(
            Fault::sibling(&Status::permission_denied("x")).reason(),
            ErrorReason::Internal
        );
        let busy = Fault::sibling(&Fault::overloaded(Duration::from_secs(7)).into());
        assert_eq!(busy.reason(), ErrorReason::Overloaded);
        assert_eq!(retry_delay(&busy.into()), Some(Duration::from_secs(7)));
    }
}
