//! `SendMessage`: check, store, and wait for Meta's answer where that is to be expected.

use std::sync::Arc;
use std::time::Duration;

use outeract_domain::{ApplicationId, EventId};
use outeract_proto::messaging::v1::{SendMessageRequest, SendMessageResponse, SendStatus};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::deadline::Deadline;
use outeract_rpc::{Call, Fault, Reply, caller};
use tonic::{Request, Response};

use super::replay::{replay_or, replayed};
use super::{Messaging, get_message};
use crate::accept::draft::{self, Draft};
use crate::accept::prepare::Identity;
use crate::accept::{Accepted, Order};
use crate::dispatch::LONGEST_WAIT;
use crate::ids;
use crate::status::queued;
use crate::waiters::Waiter;

/// Of the caller's time, so much is kept for the answer's way back.
const MARGIN: Duration = Duration::from_millis(100);

pub(super) async fn send_message(
    service: &Messaging,
    request: Request<SendMessageRequest>,
) -> Reply<SendMessageResponse> {
    let application = caller::application(&request)?.id;
    let call = Arc::clone(caller::call(&request)?);
    let mut request = request.into_inner();
    let identity = identify(service, application, &mut request);
    Ok(Response::new(
        send(service, application, &call, request, identity).await?,
    ))
}

/// Stores a message and waits for what becomes of it.
pub(super) async fn send(
    service: &Messaging,
    application: ApplicationId,
    call: &Call,
    request: SendMessageRequest,
    identity: Identity,
) -> Result<SendMessageResponse, Fault> {
    // Requests are large: boxed, they are not part of everybody's future.
    let (mut order, wait) = match Box::pin(prepare(service, application, request, identity)).await {
        Ok(prepared) => prepared,
        Err(fault) => return Box::pin(replay_or(service, application, identity, fault)).await,
    };
    // Before it is stored: the answer may come before the reply to the INSERT is read here.
    let mut waiter = wait.then(|| service.waiters.join(order.id.uuid())).flatten();
    order.awaited = waiter.is_some();
    let (id, parts) = (order.id, order.parts.len());
    match service.acceptor.accept(order).await? {
        Accepted::Stored => {
            // From here on the call only waits; those who wait are bounded elsewhere.
            call.leave_limit();
            let status = match &mut waiter {
                Some(waiter) => outcome(service, application, id, waiter, call.deadline()).await,
                None => queued(),
            };
            Ok(stored(id, parts, status))
        }
        Accepted::Replayed { first, parts } => Box::pin(replayed(service, application, first, parts)).await,
        Accepted::Reused => Err(reused()),
        Accepted::Contended => Err(contended()),
        Accepted::Refused(refusal) => Err(refusal.into()),
    }
}

/// What tells a request from others.
pub(super) fn identify(service: &Messaging, application: ApplicationId, request: &mut SendMessageRequest) -> Identity {
    Identity {
        key_hash: service.vault.key_hash(application, &request.idempotency_key),
        fingerprint: service.vault.fingerprint(application, request),
    }
}

/// An order and whether the caller waits for Meta's answer, or what is answered of everything that speaks against it now. It may have been stored before all the same.
pub(super) async fn prepare(
    service: &Messaging,
    application: ApplicationId,
    request: SendMessageRequest,
    identity: Identity,
) -> Result<(Order, bool), Fault> {
    let draft = read(service, request)?;
    let wait = draft.wait;
    let prepared = service.preparer.prepare(application, draft, identity).await;
    Ok((prepared.map_err(first)?, wait))
}

/// Checks a request, all of it at once.
fn read(service: &Messaging, request: SendMessageRequest) -> Result<Draft, Fault> {
    let key = draft::check_key(&request.idempotency_key);
    let checked = draft::check(request, service.context.clock.now());
    match (key, checked) {
        (Ok(()), Ok(draft)) => Ok(draft),
        (key, checked) => {
            let violations = key.err().into_iter().chain(checked.err().into_iter().flatten());
            Err(Fault::invalid_many(violations.collect()))
        }
    }
}

/// What is answered of everything that speaks against a message.
fn first(faults: Vec<Fault>) -> Fault {
    let first = faults.into_iter().next();
    first.unwrap_or_else(|| Fault::internal("an order was refused for no reason"))
}

pub(super) fn stored(id: EventId, parts: usize, status: SendStatus) -> SendMessageResponse {
    SendMessageResponse {
        id: id.to_string(),
        status: Some(status),
        replayed: false,
        message_ids: (0..parts).map(|number| ids::part(id, number).to_string()).collect(),
    }
}

pub(super) fn reused() -> Fault {
    Fault::already_exists(
        ErrorReason::IdempotencyKeyReused,
        "the idempotency key was used for another request; nothing was stored",
    )
}

pub(super) fn contended() -> Fault {
    Fault::aborted(
        ErrorReason::ConcurrentRequest,
        "another request with this idempotency key is being worked on; try again",
    )
}

/// Meta's answer, or how far the message is when waiting for it comes to an end.
async fn outcome(
    service: &Messaging,
    application: ApplicationId,
    id: EventId,
    waiter: &mut Waiter,
    deadline: Option<Deadline>,
) -> SendStatus {
    let patience = deadline.map_or(LONGEST_WAIT, |deadline| {
        deadline.remaining().saturating_sub(MARGIN).min(LONGEST_WAIT)
    });
    if let Ok(status) = tokio::time::timeout(patience, waiter.answer()).await {
        return status;
    }
    let late = deadline.is_some_and(|deadline| deadline.remaining() < MARGIN);
    // The message is stored, whatever this look at it brings.
    let looked = if late {
        None
    } else {
        get_message::status(service, application, id).await.ok().flatten()
    };
    looked.unwrap_or_else(queued)
}
