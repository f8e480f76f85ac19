//! What this service's failures mean to callers.

use std::time::Duration;

use outeract_batch::SubmitError;
use outeract_domain::ApplicationId;
use outeract_postgres::{Class, Summary, classify};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::Fault;
use tonic::Code;

use crate::cursor::Cursors;

/// When to come back to a full queue.
const FULL: Duration = Duration::from_millis(500);

/// Postgres failed.
#[expect(clippy::needless_pass_by_value, reason = "passed to map_err")]
pub(crate) fn database(error: sqlx::Error) -> Fault {
    by_class(&error)
}

/// A batch did not take or did not write what it was given.
pub(crate) fn batch(error: SubmitError<sqlx::Error>) -> Fault {
    match error {
        SubmitError::Full => Fault::overloaded(FULL),
        SubmitError::Closed => Fault::shutting_down(),
        SubmitError::Aborted => Fault::unavailable("the flush was cut off"),
        SubmitError::Failed(error) => by_class(&error),
    }
}

/// The text is no cursor, page token or session of this application.
pub(crate) fn cursor_invalid(path: &'static str) -> Fault {
    Fault::new(
        Code::InvalidArgument,
        ErrorReason::CursorInvalid,
        format!("{path} was not issued by this service for this application and filter"),
    )
}

/// What comes after the cursor is kept no more; `earliest` is the first position that is.
pub(crate) fn cursor_expired(cursors: &Cursors, application: ApplicationId, earliest: i64) -> Fault {
    Fault::new(
        Code::OutOfRange,
        ErrorReason::CursorExpired,
        "the cursor is older than what is retained",
    )
    .with("earliest_cursor", cursors.encode(application, earliest - 1))
}

/// A newer stream of the same consumer has taken over.
pub(crate) fn fenced() -> Fault {
    Fault::aborted(
        ErrorReason::ConsumerFenced,
        "another consumer with the same name has taken over",
    )
}

fn by_class(error: &sqlx::Error) -> Fault {
    let summary = Summary(error).to_string();
    match classify(error) {
        Class::Conflict | Class::Unavailable | Class::CommitUnknown => Fault::unavailable(summary),
        Class::Data | Class::Bug => Fault::internal(summary),
    }
}
