//! `ValidateMessage`: everything that stands in a message's way, without storing or sending it.

use outeract_events::timestamp;
use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::messaging::v1::{Obstacle, ValidateMessageRequest, ValidateMessageResponse};
use outeract_proto::reason_str;
use outeract_rpc::{Fault, Reply, caller};
use time::OffsetDateTime;
use tonic::{Request, Response};

use super::Messaging;
use super::batch_send_messages::violation;
use crate::accept::prepare::Identity;
use crate::accept::{Foreseen, Order, draft, foresee};
use crate::obstacle;
use crate::problem::{self, QUOTA_EXHAUSTED};

pub(super) async fn validate_message(
    service: &Messaging,
    request: Request<ValidateMessageRequest>,
) -> Reply<ValidateMessageResponse> {
    let application = caller::application(&request)?.id;
    let message = request.into_inner().message.unwrap_or_default();
    let key = (!message.idempotency_key.is_empty())
        .then(|| draft::check_key(&message.idempotency_key))
        .and_then(Result::err);
    let mut answer = ValidateMessageResponse {
        field_violations: key.iter().map(violation).collect(),
        ..ValidateMessageResponse::default()
    };
    let draft = match draft::check(message, service.context.clock.now()) {
        Ok(draft) => draft,
        Err(violations) => {
            answer.field_violations.extend(violations.iter().map(violation));
            return Ok(Response::new(answer));
        }
    };
    let identity = Identity {
        key_hash: [0; 16],
        fingerprint: [0; 16],
    };
    match service.preparer.prepare(application, draft, identity).await {
        Ok(order) => answer.obstacles = standing(service, &order).await?,
        Err(faults) => {
            for fault in faults {
                // What is ours to mend is no obstacle of the message's.
                if fault.code() == tonic::Code::Internal || fault.code() == tonic::Code::Unavailable {
                    return Err(fault.into());
                }
                answer.field_violations.extend(fault.violations().iter().map(violation));
                if fault.violations().is_empty() {
                    answer.obstacles.push(refusal(&fault));
                }
            }
        }
    }
    answer.storable = answer.field_violations.is_empty() && answer.obstacles.iter().all(|obstacle| !obstacle.refuses);
    Ok(Response::new(answer))
}

/// What stands in the way of a message that could be stored.
async fn standing(service: &Messaging, order: &Order) -> Result<Vec<Obstacle>, Fault> {
    let (connection, mut obstacles) = (&order.connection, Vec::new());
    match foresee(&service.context.db, order).await? {
        Foreseen::Clear => {}
        Foreseen::Refused(refused) => obstacles.push(refusal(&refused.into())),
        Foreseen::NoPlace(until) => obstacles.push(no_place(until)),
    }
    let held = service.projection.hold(connection);
    obstacles.extend(held.map(|why| obstacle::held_by_operator(&why)));
    obstacles.extend(connection.paused.then(obstacle::connection_paused));
    let restricted = connection.state == ConnectionState::Restricted;
    obstacles.extend(restricted.then(obstacle::connection_restricted));
    obstacles.extend(order.terms.send_at.map(obstacle::scheduled));
    Ok(obstacles)
}

fn no_place(until: Option<OffsetDateTime>) -> Obstacle {
    let told = problem::of_reason(QUOTA_EXHAUSTED, None, true);
    Obstacle {
        reason: told.reason,
        message: told.message,
        retry_time: until.map(timestamp::to_proto),
        refuses: false,
    }
}

fn refusal(fault: &Fault) -> Obstacle {
    Obstacle {
        reason: reason_str(fault.reason()).to_owned(),
        message: fault.message().to_owned(),
        retry_time: None,
        refuses: true,
    }
}
