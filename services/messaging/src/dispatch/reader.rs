//! Telling Meta that a user's message was read, and that an answer is being written: one call, made at once, outside the send queue. Repeating it changes nothing.

use std::sync::Arc;
use std::time::Duration;

use outeract_domain::Wamid;
use outeract_graph::fault::{Class, classify};
use outeract_graph::{CallError, Client};
use tokio::sync::Semaphore;
use tonic::Code;

use super::credentials::{Credentials, NoCredential};
use crate::projection::Connection;

/// Makes the calls: at most so many at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    credentials: Credentials,
    graph: Client,
    slots: Arc<Semaphore>,
}

/// A message was not marked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// Too many calls are being made.
    #[error("too many calls to Meta are being made")]
    Busy,
    #[error(transparent)]
    NoCredential(#[from] NoCredential),
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Calls at a time.
const MOST: usize = 128;
/// When to come back while so many are made.
pub(crate) const BUSY: Duration = Duration::from_millis(250);

// === impl Reader ===

impl Reader {
    pub(super) fn new(credentials: Credentials, graph: Client) -> Self {
        Self {
            credentials,
            graph,
            slots: Arc::new(Semaphore::new(MOST)),
        }
    }

    /// Marks a user's message to the connection's number, and all before it, as read; with `typing` the user also sees that an answer is being written. Where Meta refuses the token it is
    /// tried once more with a younger one.
    pub(crate) async fn read(&self, connection: &Connection, wamid: &Wamid, typing: bool) -> Result<(), ReadError> {
        let _slot = self.slots.try_acquire().map_err(|_| ReadError::Busy)?;
        let credential = self.credentials.get(connection).await?;
        let call = async |token| self.graph.mark_read(token, &connection.number, wamid, typing).await;
        let answer = call(&credential.token).await;
        let outcome = match answer {
            Err(CallError::Refused(error)) if classify(&error).class == Class::Authorisation => {
                match self.credentials.younger(connection.id, credential.version).await {
                    Some(younger) => call(&younger.token).await,
                    None => Err(error.into()),
                }
            }
            answer => answer,
        };
        let label = if outcome.is_ok() { "read" } else { "failed" };
        metrics::counter!("messaging_reads_total", "outcome" => label).increment(1);
        Ok(outcome?)
    }
}

// === impl ReadError ===

impl ReadError {
    /// It may go through later.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Busy | Self::Call(CallError::Unreachable(_) | CallError::Unintelligible { .. }) => true,
            Self::NoCredential(NoCredential(code)) => *code != Code::NotFound,
            Self::Call(CallError::Refused(error)) => matches!(
                classify(error).class,
                Class::Transient | Class::Wait | Class::Authorisation
            ),
            Self::Call(CallError::Invalid(_) | CallError::Foreign) => false,
        }
    }
}
