use std::fmt;
use std::io::ErrorKind;

use sqlx::Error;
use sqlx::error::DatabaseError;

/// What an error means for the statement that met it; the crate's documentation says what to do about each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A value or a constraint is the reason. Nothing was written.
    Data,
    /// A serialization failure or deadlock: running it again may help. Nothing was written.
    Conflict,
    /// The database cannot be reached, is starting or stopping, or took too long. Nothing was written.
    Unavailable,
    /// The connection was lost or cut while the statement ran: it may have been written.
    CommitUnknown,
    /// A wrong statement, schema or privilege, or a row that cannot be read.
    Bug,
}

/// An error's kind, SQLSTATE and constraint, without the values that Postgres puts into its messages.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a>(pub &'a Error);

/// What `error` means.
pub fn classify(error: &Error) -> Class {
    match error {
        Error::Database(error) => by_code(error.as_ref()),
        Error::Io(error) => by_kind(error.kind()),
        // TLS errors come from the handshake, thus before any statement.
        Error::PoolTimedOut | Error::PoolClosed | Error::BeginFailed | Error::Tls(_) => Class::Unavailable,
        Error::Protocol(_) | Error::WorkerCrashed => Class::CommitUnknown,
        Error::Encode(_) => Class::Data,
        _ => Class::Bug,
    }
}

fn by_code(error: &dyn DatabaseError) -> Class {
    let code = error.code().unwrap_or_default();
    match &*code {
        "40001" | "40P01" => Class::Conflict,
        // The server says so itself; or the backend was told to go: the statement may have committed, with its answer lost.
        "40003" | "57P01" | "57P02" | "57P05" | "25P03" | "25P04" => Class::CommitUnknown,
        // Statement timeout, server starting or stopping, lock timeout, read-only standby.
        "57014" | "57P03" | "55P03" | "25006" => Class::Unavailable,
        // Another session did the same to the same catalog row.
        "XX000" if error.message() == "tuple concurrently updated" => Class::Conflict,
        _ => match code.get(..2).unwrap_or_default() {
            // Data exceptions, cardinality, constraints, check options, exceptions that our functions raise, program limits.
            "22" | "21" | "23" | "44" | "P0" | "54" => Class::Data,
            // Resources, and the server's disks.
            "53" | "58" => Class::Unavailable,
            "08" if matches!(&*code, "08001" | "08004") => Class::Unavailable,
            "08" => Class::CommitUnknown,
            _ => Class::Bug,
        },
    }
}

/// Of input and output errors only those of connecting say that nothing was sent.
fn by_kind(kind: ErrorKind) -> Class {
    match kind {
        ErrorKind::ConnectionRefused
        | ErrorKind::NotFound
        | ErrorKind::AddrNotAvailable
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::PermissionDenied => Class::Unavailable,
        _ => Class::CommitUnknown,
    }
}

// === impl Summary ===

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::Database(error) => {
                write!(
                    f,
                    "postgres error {}",
                    error.code().as_deref().unwrap_or("without a code")
                )?;
                if let Some(table) = error.table() {
                    write!(f, " on {table}")?;
                }
                if let Some(constraint) = error.constraint() {
                    write!(f, " by {constraint}")?;
                }
                Ok(())
            }
            Error::Io(error) => write!(f, "connection to postgres: {}", error.kind()),
            Error::PoolTimedOut => f.write_str("no connection became free in time"),
            Error::PoolClosed => f.write_str("the pool is closed"),
            Error::RowNotFound => f.write_str("no row"),
            Error::ColumnNotFound(column) => write!(f, "no column {column}"),
            Error::ColumnDecode { index, .. } => write!(f, "column {index} cannot be read"),
            error => write!(f, "postgres client: {:?} error", classify(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_connections_sent_nothing() {
        let refused = Error::Io(ErrorKind::ConnectionRefused.into());
        assert_eq!(classify(&refused), Class::Unavailable);
        assert_eq!(
            Summary(&refused).to_string(),
            "connection to postgres: connection refused"
        );
        assert_eq!(classify(&Error::PoolTimedOut), Class::Unavailable);
    }

    #[test]
    fn lost_connections_may_have_committed() {
        for kind in [
            ErrorKind::ConnectionReset,
            ErrorKind::UnexpectedEof,
            ErrorKind::BrokenPipe,
            ErrorKind::TimedOut,
        ] {
            assert_eq!(classify(&Error::Io(kind.into())), Class::CommitUnknown);
        }
    }

    #[test]
    fn unreadable_rows_are_bugs() {
        assert_eq!(classify(&Error::RowNotFound), Class::Bug);
        assert_eq!(classify(&Error::Decode("x".into())), Class::Bug);
    }
}
