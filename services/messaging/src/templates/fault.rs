//! What goes wrong with templates, for callers.

use std::time::Duration;

use outeract_graph::{CallError, GraphError};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::Fault;
use tonic::Code;

use super::{Definition, FindError, Halt, SyncError};

/// When to come back, where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// `TEMPLATE_NOT_FOUND`.
pub(crate) fn not_found() -> Fault {
    Fault::new(
        Code::NotFound,
        ErrorReason::TemplateNotFound,
        "the account has no template of this name in this language",
    )
}

/// `TEMPLATE_NOT_APPROVED`.
pub(crate) fn not_approved(definition: &Definition) -> Fault {
    Fault::precondition(
        ErrorReason::TemplateNotApproved,
        "Meta does not allow the template to be sent",
    )
    .with("status", definition.meta_status())
}

/// Nothing is known of the account's templates yet.
pub(super) fn unread() -> Fault {
    Fault::new(
        Code::Unavailable,
        ErrorReason::MetaUnavailable,
        "the account's templates have not been read yet; try again",
    )
    .retry_after(RETRY_AFTER)
}

fn unavailable() -> Fault {
    Fault::new(
        Code::Unavailable,
        ErrorReason::MetaUnavailable,
        "Meta could not be reached or answered with a fault; try again",
    )
    .retry_after(RETRY_AFTER)
}

fn limited(wait: Duration) -> Fault {
    Fault::new(
        Code::ResourceExhausted,
        ErrorReason::RateLimited,
        "the account's templates were read a moment ago, or its calls are used up; try again later",
    )
    .retry_after(wait)
}

fn refused(error: &GraphError) -> Fault {
    let code = error.code.to_string();
    if error.http_status < 500 && !error.is_transient {
        Fault::precondition(ErrorReason::MetaRefused, format!("Meta refused: error {code}")).with("meta_code", code)
    } else {
        unavailable().with("meta_code", code)
    }
}

impl From<&Halt> for Fault {
    fn from(halt: &Halt) -> Self {
        match halt {
            Halt::NoConnection => Self::precondition(
                ErrorReason::ConnectionNotActive,
                "no connection of the account is active",
            ),
            Halt::Refused(error) => refused(error),
            Halt::Limited(wait) => limited(*wait),
            Halt::Away(CallError::Invalid(_)) | Halt::TooMany => Self::internal(halt.to_string()),
            Halt::Away(_) => unavailable().source(halt.to_string()),
            Halt::NoToken(_) | Halt::Database(_) => Self::unavailable(halt.to_string()),
            // Another process reads them, or this one stops and another will.
            Halt::Overtaken => limited(RETRY_AFTER),
            Halt::Stopping => Self::shutting_down(),
        }
    }
}

impl From<&SyncError> for Fault {
    fn from(error: &SyncError) -> Self {
        match error {
            SyncError::Early(wait) => limited(*wait),
            SyncError::Full => Self::overloaded(RETRY_AFTER),
            SyncError::Halted(halt) => halt.into(),
            SyncError::Database(cause) => Self::unavailable(cause.to_string()),
        }
    }
}

impl From<FindError> for Fault {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Unread(cause) => cause.into(),
            FindError::Late => unread(),
            FindError::Sync(cause) => match &*cause {
                // The caller asked for a send, not for a reading.
                SyncError::Early(wait) | SyncError::Halted(Halt::Limited(wait)) => unread().retry_after(*wait),
                other => other.into(),
            },
        }
    }
}
