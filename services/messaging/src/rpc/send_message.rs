//! `SendMessage`: check, store, and wait for Meta's answer where that is to be expected.

use std::sync::Arc;
use std::time::Duration;

use outeract_domain::{ApplicationId, ConnectionId, EventId, OnUnknown};
use outeract_events::content;
use outeract_proto::messaging::v1::{
    OnUnknown as OnUnknownProto, SendMessageRequest, SendMessageResponse, SendStatus, SendWait,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::deadline::Deadline;
use outeract_rpc::{Fault, Reply, Violation, caller, trace};
use tonic::{Request, Response};

use super::{Messaging, get_message};
use crate::accept::{Accepted, Order};
use crate::dispatch::LONGEST_WAIT;
use crate::projection::Connection;
use crate::status::queued;
use crate::vault::Letter;
use crate::waiters::Waiter;

/// A request that keeps every limit.
#[derive(Debug)]
struct Checked {
    idempotency_key: String,
    connection: ConnectionId,
    letter: Letter,
    on_unknown: OnUnknown,
    wait: bool,
}

/// Of the caller's time, so much is kept for the answer's way back.
const MARGIN: Duration = Duration::from_millis(100);
const LONGEST_KEY: usize = 128;

pub(super) async fn send_message(
    service: &Messaging,
    request: Request<SendMessageRequest>,
) -> Reply<SendMessageResponse> {
    let application = caller::application(&request)?.id;
    let call = Arc::clone(caller::call(&request)?);
    let checked = check(request.into_inner()).map_err(Fault::invalid_many)?;
    let connection = connection(service, application, checked.connection).await?;

    let id = service.ids.next();
    // Before it is stored: the answer may come before the reply to the INSERT is read here.
    let mut waiter = checked.wait.then(|| service.waiters.join(id.uuid())).flatten();
    let order = Order {
        id,
        application,
        key_hash: service.vault.key_hash(application, &checked.idempotency_key),
        fingerprint: service
            .vault
            .fingerprint(connection.id, &checked.letter, checked.on_unknown),
        sealed: service.vault.seal_letter(application, id.uuid(), &checked.letter),
        connection,
        letter: Arc::new(checked.letter),
        on_unknown: checked.on_unknown,
        traceparent: trace::current_traceparent(),
        awaited: waiter.is_some(),
    };
    match service.acceptor.accept(order).await? {
        Accepted::Stored => {
            // From here on the call only waits; those who wait are bounded elsewhere.
            call.leave_limit();
            let status = match &mut waiter {
                Some(waiter) => outcome(service, application, id, waiter, call.deadline()).await,
                None => queued(),
            };
            Ok(answer(id, status, false))
        }
        Accepted::Replayed(first) => {
            let first = EventId::from_uuid(first);
            let status = get_message::status(service, application, first)
                .await?
                .ok_or_else(|| Fault::internal("a replayed message is missing"))?;
            Ok(answer(first, status, true))
        }
        Accepted::Reused => Err(Fault::already_exists(
            ErrorReason::IdempotencyKeyReused,
            "the idempotency key was used for another request; nothing was stored",
        )
        .into()),
        Accepted::Contended => Err(Fault::aborted(
            ErrorReason::ConcurrentRequest,
            "another request with this idempotency key is being worked on; try again",
        )
        .into()),
    }
}

/// The application's connection, if it can send now.
async fn connection(
    service: &Messaging,
    application: ApplicationId,
    id: ConnectionId,
) -> Result<Arc<Connection>, Fault> {
    let known = service.projection.get(id).await?;
    let connection = known
        .filter(|connection| connection.application == application)
        .ok_or_else(|| Fault::not_found("connection"))?;
    // A pause is not an end: messages are stored and wait.
    if connection.is_active() {
        Ok(connection)
    } else {
        let state = connection.obstacle();
        Err(
            Fault::precondition(ErrorReason::ConnectionNotActive, format!("the connection is {state}"))
                .with("state", state),
        )
    }
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

fn answer(id: EventId, status: SendStatus, replayed: bool) -> Response<SendMessageResponse> {
    Response::new(SendMessageResponse {
        id: id.to_string(),
        status: Some(status),
        replayed,
        message_ids: vec![id.to_string()],
    })
}

/// Every broken limit at once.
fn check(request: SendMessageRequest) -> Result<Checked, Vec<Violation>> {
    let mut violations = Vec::new();
    let key = &request.idempotency_key;
    if !(1..=LONGEST_KEY).contains(&key.len()) || !key.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        violations.push(Violation::new(
            "idempotency_key",
            format!("must be 1 to {LONGEST_KEY} printable ASCII characters"),
        ));
    }
    let connection = request
        .connection_id
        .parse::<ConnectionId>()
        .map_err(|error| Violation::new("connection_id", format!("is {error}")));
    let to = request
        .to_external_id
        .parse()
        .map_err(|error| Violation::new("to_external_id", format!("{error}")));
    let content = content::from_proto(request.content);
    let on_unknown = match OnUnknownProto::try_from(request.on_unknown) {
        Ok(OnUnknownProto::Unspecified | OnUnknownProto::Hold) => Ok(OnUnknown::Hold),
        Ok(OnUnknownProto::Resend) => Ok(OnUnknown::Resend),
        Ok(OnUnknownProto::Fail) => Ok(OnUnknown::Fail),
        Err(_) => Err(Violation::new("on_unknown", "must be HOLD, RESEND or FAIL")),
    };
    let wait = match SendWait::try_from(request.wait) {
        Ok(SendWait::Unspecified | SendWait::Outcome) => Ok(true),
        Ok(SendWait::Stored) => Ok(false),
        Err(_) => Err(Violation::new("wait", "must be OUTCOME or STORED")),
    };
    let mut take = |violation| violations.push(violation);
    let connection = connection.map_err(&mut take).ok();
    let to = to.map_err(&mut take).ok();
    let content = content
        .map_err(|broken| {
            broken
                .into_iter()
                .map(|violation| violation.within("content"))
                .for_each(&mut take)
        })
        .ok();
    let on_unknown = on_unknown.map_err(&mut take).ok();
    let wait = wait.map_err(&mut take).ok();
    match (connection, to, content, on_unknown, wait) {
        (Some(connection), Some(to), Some(content), Some(on_unknown), Some(wait)) if violations.is_empty() => {
            Ok(Checked {
                idempotency_key: request.idempotency_key,
                connection,
                letter: Letter { to, content },
                on_unknown,
                wait,
            })
        }
        _ => Err(violations),
    }
}

#[cfg(test)]
mod tests {
    use outeract_proto::messaging::v1::message_content::Kind;
    use outeract_proto::messaging::v1::{MessageContent, TextContent};

    use super::*;

    fn request() -> SendMessageRequest {
        SendMessageRequest {
            idempotency_key: "order-1".to_owned(),
            connection_id: ConnectionId::from_uuid(uuid::Uuid::from_u128(7)).to_string(),
            to_external_id: "+14155551234".to_owned(),
            content: Some(MessageContent {
                kind: Some(Kind::Text(TextContent {
                    body: "hello".to_owned(),
                    preview_url: None,
                })),
            }),
            ..SendMessageRequest::default()
        }
    }

    #[test]
    fn defaults_are_hold_and_wait() {
        let checked = check(request()).expect("valid");
        assert_eq!((checked.on_unknown, checked.wait), (OnUnknown::Hold, true));
    }

    #[test]
    fn every_broken_field_is_named_at_once() {
        let broken = SendMessageRequest {
            idempotency_key: "é".to_owned(),
            connection_id: "pc_1".to_owned(),
            to_external_id: "14155551234".to_owned(),
            content: None,
            on_unknown: 9,
            wait: -1,
            ..SendMessageRequest::default()
        };
        let paths: Vec<_> = check(broken)
            .expect_err("broken")
            .into_iter()
            .map(|violation| violation.path)
            .collect();
        assert_eq!(
            paths,
            [
                "idempotency_key",
                "connection_id",
                "to_external_id",
                "content.kind",
                "on_unknown",
                "wait"
            ]
        );
        for key in [String::new(), "a".repeat(129), "tab\t".to_owned()] {
            let broken = SendMessageRequest {
                idempotency_key: key,
                ..request()
            };
            assert_eq!(check(broken).expect_err("broken")[0].path, "idempotency_key");
        }
        assert!(
            check(SendMessageRequest {
                idempotency_key: "a b~".repeat(32),
                ..request()
            })
            .is_ok()
        );
    }
}
