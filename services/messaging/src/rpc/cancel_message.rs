//! `CancelMessage`: the queue row decides. What an intent was written for before is sent; what is canceled before is not.

use outeract_domain::{ConnectionId, Submission};
use outeract_proto::messaging::v1::{CancelMessageRequest, CancelMessageResponse, Message, SubmissionState};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::{Messaging, get_message};
use crate::dispatch::{Finding, Note, Noted};
use crate::events::Subject;
use crate::status;
use crate::store::withdraw::Withdrawal;

pub(super) async fn cancel_message(
    service: &Messaging,
    request: Request<CancelMessageRequest>,
) -> Reply<CancelMessageResponse> {
    let application = caller::application(&request)?.id;
    let id = get_message::id(&request.into_inner().id)?;
    let row = get_message::find(service, application, id)
        .await?
        .ok_or_else(|| Fault::not_found("message"))?;
    if row.state == Submission::Queued.code() {
        let finding = Finding::Withdrawn {
            row: Withdrawal {
                number: row.number.clone(),
                message: row.id,
                state: Submission::Canceled.code(),
            },
        };
        let subject = Subject {
            application,
            connection: ConnectionId::from_uuid(row.connection),
            message: id,
        };
        let noted = service.recorder.try_record(Note { subject, finding }).await;
        match noted {
            Some(Noted::Nothing) => {}
            // Its owner need not wait for its turn to find out.
            Some(_) => service.hints.changed(&row.number, row.id),
            None => return Err(Fault::unavailable("a cancellation could not be recorded").into()),
        }
    }
    let message = get_message::message(service, application, id).await?;
    answer(message).map(Response::new).map_err(Into::into)
}

fn answer(message: Message) -> Result<CancelMessageResponse, Fault> {
    match message.state() {
        SubmissionState::Canceled => Ok(CancelMessageResponse { message: Some(message) }),
        state => {
            let state = status::name(state);
            Err(Fault::precondition(
                ErrorReason::MessageNotCancelable,
                format!("the message is {state} and cannot be taken back"),
            )
            .with("state", state))
        }
    }
}
