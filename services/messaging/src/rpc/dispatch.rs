//! `Dispatch`: another process stored messages for numbers that this one owns.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use outeract_proto::messaging::internal::v1::{DispatchRequest, DispatchResponse};
use outeract_rpc::{Fault, Reply};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Internal, bounded};
use crate::dispatch::{Hinted, LONGEST_WAIT};
use crate::status::queued;
use crate::waiters::Waiter;

/// Outcomes as they come.
pub(crate) struct Answers(Pin<Box<dyn Stream<Item = Result<DispatchResponse, Status>> + Send>>);

pub(super) fn dispatch(service: &Internal, request: Request<DispatchRequest>) -> Reply<Answers> {
    let hints = request.into_inner().hints;
    bounded(&hints, "hints")?;
    let mut hinted = Vec::with_capacity(hints.len());
    let waiting = FuturesUnordered::new();
    for (index, hint) in hints.into_iter().enumerate() {
        let message = Uuid::from_slice(&hint.message_id)
            .map_err(|_| Fault::invalid(format!("hints[{index}].message_id"), "must be 16 bytes"))?;
        let waiter = hint.wait.then(|| service.waiters.join(message)).flatten();
        hinted.push(Hinted {
            number: hint.phone_number_id,
            message,
            awaited: waiter.is_some(),
        });
        if hint.wait {
            waiting.push(answer(message, waiter));
        }
    }
    service.hints.hinted(hinted);
    Ok(Response::new(Answers(waiting.map(Ok).boxed())))
}

async fn answer(message: Uuid, waiter: Option<Waiter>) -> DispatchResponse {
    let status = match waiter {
        Some(mut waiter) => tokio::time::timeout(LONGEST_WAIT, waiter.answer())
            .await
            .unwrap_or_else(|_| queued()),
        None => queued(),
    };
    DispatchResponse {
        message_id: message.as_bytes().to_vec(),
        status: Some(status),
    }
}

impl Stream for Answers {
    type Item = Result<DispatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}
