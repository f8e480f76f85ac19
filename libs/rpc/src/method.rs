use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, OnceLock};

use metrics::Histogram;
use outeract_proto::{Access, FILE_DESCRIPTOR_SET, access};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;

/// One RPC method: who may call it, whether it streams, and its measures.
pub(crate) struct Method {
    /// `/package.Service/Method`.
    path: &'static str,
    pub(crate) admit: Admit,
    pub(crate) server_streaming: bool,
    pub(crate) client_streaming: bool,
    served: Measure,
    called: Measure,
}

/// Whom a method admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admit {
    /// Whom the option beside the method names.
    By(Access),
    /// Health and reflection: anyone who reaches the listener.
    Anyone,
    /// A method that is not known here: no one.
    NoOne,
}

/// A duration histogram per outcome, found by index: no lookup by label on the way of a call.
struct Measure {
    metric: &'static str,
    by_code: [OnceLock<Histogram>; CODES],
}

const CODES: usize = 17;

static METHODS: LazyLock<HashMap<&'static str, &'static Method>> = LazyLock::new(known);
static OTHER: LazyLock<&'static Method> = LazyLock::new(|| leak("/_OTHER", Admit::NoOne, false, false));

// === impl Method ===

impl Method {
    /// The method at `path` (`/package.Service/Method`).
    pub(crate) fn at(path: &str) -> &'static Self {
        METHODS.get(path).copied().unwrap_or(*OTHER)
    }

    /// `package.Service/Method`, as measures and logs show it.
    pub(crate) fn name(&self) -> &'static str {
        self.path.trim_start_matches('/')
    }

    pub(crate) fn streams(&self) -> bool {
        self.server_streaming || self.client_streaming
    }

    /// Records that a call of this method was answered.
    pub(crate) fn served(&self, code: Code, seconds: f64) {
        self.served.record(self.name(), code, seconds);
    }

    /// Records that a call to a sibling was answered.
    pub(crate) fn called(&self, code: Code, seconds: f64) {
        self.called.record(self.name(), code, seconds);
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Measure ===

impl Measure {
    fn new(metric: &'static str) -> Self {
        Self {
            metric,
            by_code: [const { OnceLock::new() }; CODES],
        }
    }

    fn record(&self, method: &'static str, code: Code, seconds: f64) {
        let Some(cell) = self.by_code.get(code as usize) else {
            return;
        };
        let histogram = cell.get_or_init(
            || metrics::histogram!(self.metric, "rpc_method" => method, "rpc_status_code" => code_name(code)),
        );
        histogram.record(seconds);
    }
}

/// The code as semantic conventions write it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Outcomes that are a fault of the server.
pub(crate) fn is_server_error(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

fn known() -> HashMap<&'static str, &'static Method> {
    let mut methods = HashMap::new();
    // The set is made by our own build script; were it broken, every method would be unknown and every call refused.
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default().file;
    for file in &files {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let admit = access(&path).map_or(Admit::NoOne, Admit::By);
                let method = leak(&path, admit, method.server_streaming(), method.client_streaming());
                methods.insert(method.path, method);
            }
        }
    }
    for (path, streams) in [
        ("/grpc.health.v1.Health/Check", false),
        ("/grpc.health.v1.Health/List", false),
        ("/grpc.health.v1.Health/Watch", true),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true),
    ] {
        let method = leak(path, Admit::Anyone, streams, streams && path.contains("Reflection"));
        methods.insert(method.path, method);
    }
    methods
}

/// Methods live as long as the process: there are as many as the contract has.
fn leak(path: &str, admit: Admit, server_streaming: bool, client_streaming: bool) -> &'static Method {
    let path: &'static str = Box::leak(path.to_owned().into_boxed_str());
    Box::leak(Box::new(Method {
        path,
        admit,
        server_streaming,
        client_streaming,
        served: Measure::new("rpc_server_call_duration_seconds"),
        called: Measure::new("rpc_client_call_duration_seconds"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_come_from_the_contract() {
        let send = Method::at("/outeract.messaging.v1.MessagingService/SendMessage");
        assert_eq!(send.name(), "outeract.messaging.v1.MessagingService/SendMessage");
        assert_eq!(send.admit, Admit::By(Access::Scope("events:write")));
        assert!(!send.streams());
        assert!(Method::at("/outeract.tracking.v1.EventService/StreamEvents").server_streaming);
        assert_eq!(Method::at("/grpc.health.v1.Health/Check").admit, Admit::Anyone);
    }

    #[test]
    fn what_is_not_in_the_contract_admits_no_one() {
        for path in ["/", "", "/outeract.messaging.v1.MessagingService/Nothing", "/_OTHER"] {
            assert_eq!(Method::at(path).admit, Admit::NoOne);
            assert_eq!(Method::at(path).name(), "_OTHER");
        }
    }
}
