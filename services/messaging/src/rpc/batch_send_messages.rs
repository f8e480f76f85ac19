//! `BatchSendMessages`: many messages, each stored or refused by itself, in their order.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use outeract_domain::{ApplicationId, EventId};
use outeract_proto::messaging::v1::batch_send_result::Result as Outcome;
use outeract_proto::messaging::v1::{
    BatchSendError, BatchSendMessagesRequest, BatchSendMessagesResponse, BatchSendResult, FieldViolation,
    SendMessageRequest, SendMessageResponse, SendStatus,
};
use outeract_proto::reason_str;
use outeract_rpc::{Fault, Reply, Violation, caller};
use tonic::{Code, Request, Response};
use uuid::Uuid;

use super::send_message::{contended, identify, reused, stored};
use super::{Messaging, get_message, send_message};
use crate::accept::prepare::Identity;
use crate::accept::{Accepted, Order, seen};
use crate::status::queued;

/// A message under its own id and of so many parts, and what became of it.
type Told = (EventId, usize, Accepted);

/// A message that is not stored by this call.
struct Refused {
    /// Whether it was stored before is yet to be looked at.
    unseen: Option<Identity>,
    fault: Fault,
}

const MOST: usize = 1_000;
/// Messages that are prepared at a time: most need nobody else for it.
const AT_ONCE: usize = 32;

pub(super) async fn batch_send_messages(
    service: &Messaging,
    request: Request<BatchSendMessagesRequest>,
) -> Reply<BatchSendMessagesResponse> {
    let application = caller::application(&request)?.id;
    let call = Arc::clone(caller::call(&request)?);
    let messages = request.into_inner().messages;
    if !(1..=MOST).contains(&messages.len()) {
        return Err(Fault::invalid("messages", format!("must be 1 to {MOST} messages")).into());
    }
    // One was charged when the call came.
    call.charge(messages.len() as u32 - 1)?;
    // Prepared in any order, and then stored in the given one.
    let orders: Vec<Result<Order, Refused>> = futures_util::stream::iter(messages)
        .map(|message| prepare(service, application, message))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let accepted = join_all(orders.into_iter().map(async |order| {
        let order = order?;
        let (id, parts) = (order.id, order.parts.len());
        let accepted = service.acceptor.accept(order).await;
        let accepted = accepted.map_err(|fault| Refused { unseen: None, fault })?;
        Ok((id, parts, accepted))
    }))
    .await;
    let accepted = look_back(service, application, accepted).await?;
    let statuses = statuses(service, application, &accepted).await?;
    let results = accepted.into_iter().map(|accepted| BatchSendResult {
        result: Some(match accepted.and_then(|accepted| answer(accepted, &statuses)) {
            Ok(response) => Outcome::Stored(response),
            Err(fault) => Outcome::Error(error(&fault)),
        }),
    });
    let results = results.collect();
    Ok(Response::new(BatchSendMessagesResponse { results }))
}

async fn prepare(
    service: &Messaging,
    application: ApplicationId,
    mut message: SendMessageRequest,
) -> Result<Order, Refused> {
    let identity = identify(service, application, &mut message);
    let prepared = send_message::prepare(service, application, message, identity).await;
    let (order, _) = prepared.map_err(|fault| Refused {
        unseen: Some(identity),
        fault,
    })?;
    Ok(order)
}

/// Of those that something speaks against now, some may have been stored before: asked for all of them at once.
async fn look_back(
    service: &Messaging,
    application: ApplicationId,
    accepted: Vec<Result<Told, Refused>>,
) -> Result<Vec<Result<Told, Fault>>, Fault> {
    let unseen = |accepted: &Result<Told, Refused>| accepted.as_ref().err().and_then(|refused| refused.unseen);
    let requests: Vec<_> = accepted.iter().filter_map(unseen).collect();
    let mut seen = seen(&service.context.db, application, &requests).await?.into_iter();
    let told = accepted.into_iter().map(|accepted| {
        let Refused { unseen, fault } = match accepted {
            Ok(told) => return Ok(told),
            Err(refused) => refused,
        };
        match unseen.and_then(|_| seen.next()).flatten() {
            Some(Accepted::Replayed { first, parts }) => {
                let replayed = Accepted::Replayed { first, parts };
                Ok((EventId::from_uuid(first), parts, replayed))
            }
            Some(Accepted::Reused) => Err(reused()),
            _ => Err(fault),
        }
    });
    Ok(told.collect())
}

/// How far those got that had been stored before: asked for all of them at once.
async fn statuses(
    service: &Messaging,
    application: ApplicationId,
    accepted: &[Result<Told, Fault>],
) -> Result<HashMap<Uuid, SendStatus>, Fault> {
    let replayed: Vec<Uuid> = accepted
        .iter()
        .filter_map(|accepted| match accepted {
            Ok((_, _, Accepted::Replayed { first, .. })) => Some(*first),
            _ => None,
        })
        .collect();
    if replayed.is_empty() {
        return Ok(HashMap::new());
    }
    get_message::statuses(service, application, &replayed).await
}

fn answer((id, parts, accepted): Told, statuses: &HashMap<Uuid, SendStatus>) -> Result<SendMessageResponse, Fault> {
    match accepted {
        Accepted::Stored => Ok(stored(id, parts, queued())),
        Accepted::Replayed { first, parts } => {
            let status = statuses.get(&first).cloned();
            let status = status.ok_or_else(|| Fault::internal("a replayed message is missing"))?;
            Ok(SendMessageResponse {
                replayed: true,
                ..stored(EventId::from_uuid(first), parts, status)
            })
        }
        Accepted::Reused => Err(reused()),
        Accepted::Contended => Err(contended()),
        Accepted::Refused(refusal) => Err(refusal.into()),
    }
}

fn error(fault: &Fault) -> BatchSendError {
    BatchSendError {
        code: fault.code() as i32,
        reason: reason_str(fault.reason()).to_owned(),
        message: fault.message().to_owned(),
        field_violations: fault.violations().iter().map(violation).collect(),
        retryable: matches!(
            fault.code(),
            Code::Unavailable | Code::ResourceExhausted | Code::Aborted | Code::DeadlineExceeded
        ),
    }
}

pub(super) fn violation(violation: &Violation) -> FieldViolation {
    FieldViolation {
        field: violation.path.clone(),
        description: violation.description.clone(),
    }
}
