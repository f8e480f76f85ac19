//! What marking as read and the typing indicator share: whose connection it is, and what a call to Meta that failed means for the caller.

use std::sync::Arc;
use std::time::Duration;

use outeract_domain::{ApplicationId, ConnectionId, Wamid};
use outeract_graph::CallError;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{Fault, deadline};
use tonic::Code;

use super::Messaging;
use crate::dispatch::{BUSY, NoCredential, ReadError};
use crate::projection::Connection;

/// When to come back after Meta was away.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// As long as Meta's ids get, by far.
const LONGEST: usize = 512;

/// One of Meta's ids in a request.
pub(super) fn wamid(text: String) -> Option<Wamid> {
    let plain = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
    plain.then(|| Wamid::new(text)).flatten()
}

pub(super) const WAMID: &str = "must be 1 to 512 printable ASCII characters without spaces: Meta's id of a message";

/// The application's connection, if it can call Meta.
pub(super) async fn connection(
    service: &Messaging,
    application: ApplicationId,
    id: ConnectionId,
) -> Result<Arc<Connection>, Fault> {
    let known = service.projection.get(id).await?;
    let connection = known
        .filter(|connection| connection.application == application)
        .ok_or_else(|| Fault::not_found("connection"))?;
    // A pause and a hold are of messages.
    if connection.is_active() {
        Ok(connection)
    } else {
        Err(not_active(connection.obstacle()))
    }
}

/// Calls Meta, for as long as the caller waits.
pub(super) async fn read(
    service: &Messaging,
    connection: &Connection,
    wamid: &Wamid,
    typing: bool,
) -> Result<(), Fault> {
    let call = service.reader.read(connection, wamid, typing);
    let answer = match deadline::current() {
        None => call.await,
        Some(deadline) => {
            let patience = deadline.pass_on().ok_or_else(Fault::deadline_exceeded)?;
            tokio::time::timeout(patience, call)
                .await
                .map_err(|_| Fault::deadline_exceeded())?
        }
    };
    answer.map_err(|error| fault(error, connection))
}

fn fault(error: ReadError, connection: &Connection) -> Fault {
    let passes = error.passes();
    match error {
        ReadError::Busy => Fault::overloaded(BUSY),
        ReadError::NoCredential(NoCredential(Code::FailedPrecondition | Code::NotFound)) => {
            not_active(connection.obstacle())
        }
        ReadError::NoCredential(cause) => Fault::unavailable(cause),
        // Meta's own words may quote the user: only its code is told.
        ReadError::Call(CallError::Refused(error)) => {
            let code = error.code.to_string();
            let authorisation = matches!(
                outeract_graph::fault::classify(&error).class,
                outeract_graph::fault::Class::Authorisation
            );
            if passes && !authorisation {
                unavailable().with("meta_code", code).source(error)
            } else {
                Fault::precondition(ErrorReason::MetaRefused, format!("Meta refused: error {code}"))
                    .with("meta_code", code)
            }
        }
        ReadError::Call(cause @ (CallError::Unreachable(_) | CallError::Unintelligible { .. })) => {
            unavailable().source(cause)
        }
        ReadError::Call(cause @ (CallError::Invalid(_) | CallError::Foreign)) => Fault::internal(cause),
    }
}

fn unavailable() -> Fault {
    Fault::new(
        Code::Unavailable,
        ErrorReason::MetaUnavailable,
        "Meta could not be reached or answered with a fault; try again",
    )
    .retry_after(RETRY_AFTER)
}

fn not_active(state: &'static str) -> Fault {
    Fault::precondition(ErrorReason::ConnectionNotActive, format!("the connection is {state}")).with("state", state)
}
