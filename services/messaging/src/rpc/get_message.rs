//! `GetMessage`.

use outeract_domain::{ApplicationId, ConnectionId, EventId, Submission};
use outeract_events::{content, timestamp};
use outeract_proto::messaging::v1::{
    GetMessageRequest, GetMessageResponse, Message, SendError, SendStatus, SubmissionState,
};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::Messaging;
use crate::problem;
use crate::store::{message as store, run};

pub(super) async fn get_message(service: &Messaging, request: Request<GetMessageRequest>) -> Reply<GetMessageResponse> {
    let application = caller::application(&request)?.id;
    let id: EventId = request
        .into_inner()
        .id
        .parse()
        .map_err(|error| Fault::invalid("id", format!("is {error}")))?;
    let row = find(service, application, id)
        .await?
        .ok_or_else(|| Fault::not_found("message"))?;
    let letter = service
        .vault
        .open_letter(row.application, row.id, &row.sealed)
        .map_err(Fault::data_loss)?;
    let message = Message {
        id: id.to_string(),
        connection_id: ConnectionId::from_uuid(row.connection).to_string(),
        to_external_id: letter.to.as_str().to_owned(),
        content: Some(content::to_proto(&letter.content)),
        state: state(&row)?.into(),
        held: row.held,
        attempt: row.attempt,
        external_message_id: wamid(service, &row)?,
        error: error(&row),
        duplicate_count: row.duplicates.into(),
        next_attempt_time: row.next_attempt_at.map(timestamp::to_proto),
        create_time: Some(timestamp::to_proto(row.created_at)),
        update_time: Some(timestamp::to_proto(row.updated_at)),
    };
    Ok(Response::new(GetMessageResponse { message: Some(message) }))
}

/// How far one message got; none if it is not this application's.
pub(super) async fn status(
    service: &Messaging,
    application: ApplicationId,
    id: EventId,
) -> Result<Option<SendStatus>, Fault> {
    let Some(row) = find(service, application, id).await? else {
        return Ok(None);
    };
    let state = state(&row)?;
    Ok(Some(SendStatus {
        state: state.into(),
        success: state == SubmissionState::Accepted,
        external_message_id: wamid(service, &row)?,
        pending: matches!(
            state,
            SubmissionState::Queued | SubmissionState::Sending | SubmissionState::Unknown
        ),
        error: error(&row),
    }))
}

async fn find(service: &Messaging, application: ApplicationId, id: EventId) -> Result<Option<store::Message>, Fault> {
    let db = &service.context.db;
    Ok(run!(db, "message.get", |conn| store::get(
        conn,
        application.uuid(),
        id.uuid()
    ))?)
}

fn state(row: &store::Message) -> Result<SubmissionState, Fault> {
    Ok(match Submission::try_from(row.state).map_err(Fault::data_loss)? {
        Submission::Queued => SubmissionState::Queued,
        Submission::Sending => SubmissionState::Sending,
        Submission::Accepted => SubmissionState::Accepted,
        Submission::Unknown => SubmissionState::Unknown,
        Submission::Failed => SubmissionState::Failed,
        Submission::Expired => SubmissionState::Expired,
        Submission::Canceled => SubmissionState::Canceled,
    })
}

fn wamid(service: &Messaging, row: &store::Message) -> Result<String, Fault> {
    let Some(sealed) = &row.wamid_sealed else {
        return Ok(String::new());
    };
    let wamid = service
        .vault
        .open_wamid(row.application, row.id, sealed)
        .map_err(Fault::data_loss)?;
    Ok(wamid.into_string())
}

fn error(row: &store::Message) -> Option<SendError> {
    let queued = row.state == Submission::Queued.code();
    row.reason
        .as_deref()
        .map(|reason| problem::of_reason(reason, row.meta_code, queued))
}
