//! A request that cannot be stored now may have been stored before, when it could be: then the answer is that message's.

use outeract_domain::{ApplicationId, EventId};
use outeract_proto::messaging::v1::SendMessageResponse;
use outeract_rpc::Fault;
use uuid::Uuid;

use super::send_message::{reused, stored};
use super::{Messaging, get_message};
use crate::accept::prepare::Identity;
use crate::accept::{Accepted, seen};

/// The answer to a request that `fault` speaks against. Where the keys cannot be looked at, that is the error: nobody knows then whether nothing was stored.
pub(super) async fn replay_or(
    service: &Messaging,
    application: ApplicationId,
    identity: Identity,
    fault: Fault,
) -> Result<SendMessageResponse, Fault> {
    let seen = seen(&service.context.db, application, &[identity]).await?;
    match seen.into_iter().flatten().next() {
        Some(Accepted::Replayed { first, parts }) => replayed(service, application, first, parts).await,
        Some(Accepted::Reused) => Err(reused()),
        _ => Err(fault),
    }
}

/// The answer to a request that was stored before, as far as its first message got.
pub(super) async fn replayed(
    service: &Messaging,
    application: ApplicationId,
    first: Uuid,
    parts: usize,
) -> Result<SendMessageResponse, Fault> {
    let first = EventId::from_uuid(first);
    let status = get_message::status(service, application, first)
        .await?
        .ok_or_else(|| Fault::internal("a replayed message is missing"))?;
    Ok(SendMessageResponse {
        replayed: true,
        ..stored(first, parts, status)
    })
}
