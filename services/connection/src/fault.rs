//! What the database's errors mean for a caller.

use outeract_postgres::{Class, Failure, Summary, classify};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::Fault;
use tonic::{Code, Status};

use crate::store;

/// Why work in a transaction ended: refused, or the database failed.
#[derive(Debug)]
pub(crate) enum Error {
    Refused(Fault),
    Database(sqlx::Error),
}

/// The fault for an error of the database. Its text names no value.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
pub(crate) fn database(error: sqlx::Error) -> Fault {
    let summary = Summary(&error).to_string();
    match classify(&error) {
        // What reaches the database was validated, so data that it refuses is a fault of ours.
        Class::Data | Class::Bug => Fault::internal(summary),
        Class::Conflict | Class::Unavailable | Class::CommitUnknown => Fault::unavailable(summary),
    }
}

/// `ALREADY_EXISTS`: another connection holds the number.
pub(crate) fn number_taken(phone_number_id: Option<&str>) -> Fault {
    let fault = Fault::new(
        Code::AlreadyExists,
        ErrorReason::NumberTaken,
        "a phone number of this account is connected already",
    );
    match phone_number_id {
        Some(id) => fault.with("phone_number_id", id),
        None => fault,
    }
}

// === impl Error ===

impl Failure for Error {
    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Refused(_) => None,
            Self::Database(error) => Some(error),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let held = error
            .as_database_error()
            .is_some_and(|error| error.constraint() == Some(store::connection::NUMBER_HELD));
        if held {
            Self::Refused(number_taken(None))
        } else {
            Self::Database(error)
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(fault) => fault,
            Error::Database(error) => database(error),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}
