//! Errors that tonic makes by itself (an undecodable message, an unknown method) and bare statuses get the details that every error of ours has.

use http::{HeaderMap, HeaderName, HeaderValue};
use outeract_proto::r#type::v1::ErrorReason;
use tonic::{Code, Status};

use crate::Fault;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Texts of tonic's own INTERNAL statuses that are really the caller's mistakes. A test over sockets holds them against tonic.
const MALFORMED: [&str; 3] = [
    "failed to decode Protobuf message",
    "Missing request message",
    "protocol error",
];

/// tonic's text when the caller went away amid its request.
const BROKEN_OFF: &str = "h2 protocol error";

/// The outcome in response headers or trailers, after adding what is missing. `None` when they hold no outcome.
pub(crate) fn complete(headers: &mut HeaderMap) -> Option<Code> {
    let value = headers.get(&STATUS)?;
    if value == "0" {
        return Some(Code::Ok);
    }
    let status = Status::from_header_map(headers)?;
    if !status.details().is_empty() || status.code() == Code::Cancelled {
        return Some(status.code());
    }
    if status.message().starts_with(BROKEN_OFF) {
        // Nobody reads an answer, and it is no fault of ours.
        return Some(Code::Cancelled);
    }
    let completed = Status::from(fault(&status));
    let code = completed.code();
    put(&completed, headers);
    Some(code)
}

/// Writes a status over the one that stands in the headers.
pub(crate) fn put(status: &Status, headers: &mut HeaderMap) {
    if status.add_header(headers).is_err() {
        headers.insert(STATUS, HeaderValue::from(status.code() as i32));
    }
}

fn fault(status: &Status) -> Fault {
    let message = status.message().to_owned();
    let plain = |reason| Fault::new(status.code(), reason, message.clone());
    match status.code() {
        Code::InvalidArgument => plain(ErrorReason::InvalidField),
        Code::NotFound => plain(ErrorReason::NotFound),
        Code::Unauthenticated => plain(ErrorReason::CredentialsMissing),
        Code::PermissionDenied => plain(ErrorReason::ScopeMissing),
        Code::DeadlineExceeded => Fault::deadline_exceeded(),
        Code::OutOfRange => plain(ErrorReason::MessageTooLarge),
        Code::Unimplemented => method_unknown(),
        Code::Internal if MALFORMED.iter().any(|text| message.starts_with(text)) => malformed(),
        Code::Unavailable => Fault::unavailable(message),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss => Fault::internal(format!("a bare status: {:?}: {message}", status.code())),
    }
}

/// A method that this listener does not serve.
pub(crate) fn method_unknown() -> Fault {
    Fault::new(
        Code::Unimplemented,
        ErrorReason::MethodUnknown,
        "this listener serves no such method",
    )
}

fn malformed() -> Fault {
    Fault::new(
        Code::InvalidArgument,
        ErrorReason::RequestMalformed,
        "the request is not a message of the method's type",
    )
}

/// A message above the listener's limit.
pub(crate) fn too_large(max_bytes: usize) -> Fault {
    Fault::new(
        Code::OutOfRange,
        ErrorReason::MessageTooLarge,
        format!("a request may have at most {max_bytes} bytes"),
    )
    .with("max_bytes", max_bytes.to_string())
}

/// A compression that is not read here.
pub(crate) fn compressed() -> Fault {
    Fault::new(
        Code::Unimplemented,
        ErrorReason::RequestMalformed,
        "requests may not be compressed",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason;

    #[test]
    fn a_caller_that_went_away_is_no_fault() {
        let status = Status::resource_exhausted("h2 protocol error: error reading a body from connection");
        let mut headers = HeaderMap::new();
        put(&status, &mut headers);
        assert_eq!(complete(&mut headers), Some(Code::Cancelled));
    }

    fn completed(status: &Status) -> Status {
        let mut headers = HeaderMap::new();
        put(status, &mut headers);
        complete(&mut headers);
        Status::from_header_map(&headers).unwrap()
    }

    #[test]
    fn a_bare_status_gets_a_reason_and_an_internal_one_loses_its_text() {
        let status = completed(&Status::not_found("message not found"));
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::NotFound, Some(ErrorReason::NotFound))
        );
        assert_eq!(status.message(), "message not found");
        let status = completed(&Status::internal("password=hunter2"));
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::Internal, Some(ErrorReason::Internal))
        );
        assert_eq!(status.message(), "internal error");
        let status = completed(&Status::internal("failed to decode Protobuf message: buffer underflow"));
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::InvalidArgument, Some(ErrorReason::RequestMalformed))
        );
    }

    #[test]
    fn a_status_with_details_stays_as_it_is() {
        let status = Status::from(Fault::not_found("event"));
        let back = completed(&status);
        assert_eq!(back.details(), status.details());
        assert_eq!(complete(&mut HeaderMap::new()), None);
    }
}
