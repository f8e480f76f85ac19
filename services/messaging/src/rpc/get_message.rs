//! `GetMessage`.

mod obstacles;

use std::collections::HashMap;

use outeract_domain::{ApplicationId, ConnectionId, EventId, Submission, Wamid};
use outeract_events::{content, timestamp};
use outeract_proto::messaging::v1::{GetMessageRequest, GetMessageResponse, Message, SendError, SendStatus};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};
use uuid::Uuid;

use super::Messaging;
use crate::problem;
use crate::status;
use crate::store::{message as store, run};

pub(super) async fn get_message(service: &Messaging, request: Request<GetMessageRequest>) -> Reply<GetMessageResponse> {
    let application = caller::application(&request)?.id;
    let id = id(&request.into_inner().id)?;
    let message = message(service, application, id).await?;
    Ok(Response::new(GetMessageResponse { message: Some(message) }))
}

/// The id of a message in a request.
pub(super) fn id(text: &str) -> Result<EventId, Fault> {
    text.parse()
        .map_err(|error| Fault::invalid("id", format!("is {error}")))
}

/// One message as it is now.
pub(super) async fn message(service: &Messaging, application: ApplicationId, id: EventId) -> Result<Message, Fault> {
    let row = find(service, application, id)
        .await?
        .ok_or_else(|| Fault::not_found("message"))?;
    // Of a message whose user was erased nothing is left to be opened.
    let letter = (!row.sealed.is_empty())
        .then(|| service.vault.open_letter(row.application, row.id, &row.sealed))
        .transpose()
        .map_err(Fault::data_loss)?;
    let wait = obstacles::find(service, &row).await?;
    Ok(Message {
        id: id.to_string(),
        connection_id: ConnectionId::from_uuid(row.connection).to_string(),
        to_external_id: letter
            .as_ref()
            .map_or_else(String::new, |letter| letter.to.as_str().to_owned()),
        content: letter.as_ref().map(|letter| content::to_proto(&letter.content)),
        state: status::state(row.state).map_err(Fault::data_loss)?.into(),
        held: row.held || wait.held_by_operator,
        attempt: row.attempt,
        external_message_id: wamid(service, &row)?.map_or_else(String::new, Wamid::into_string),
        error: error(&row),
        duplicate_count: row.duplicates.into(),
        next_attempt_time: wait.next_at.or(row.next_attempt_at).map(timestamp::to_proto),
        create_time: Some(timestamp::to_proto(row.created_at)),
        update_time: Some(timestamp::to_proto(row.updated_at)),
        obstacles: wait.obstacles,
        priority: status::priority(row.priority).map_err(Fault::data_loss)?.into(),
        send_time: row.send_at.map(timestamp::to_proto),
        expire_time: row.expires_at.map(timestamp::to_proto),
        sandbox: letter.as_ref().is_some_and(|letter| letter.sandbox),
        reply_to_external_message_id: letter
            .and_then(|letter| letter.reply_to)
            .map_or_else(String::new, Wamid::into_string),
        fell_back: row.fell_back,
    })
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
    let state = status::state(row.state).map_err(Fault::data_loss)?;
    Ok(Some(status::told(state, wamid(service, &row)?.as_ref(), error(&row))))
}

/// How far several messages got; those that are not this application's are missing.
pub(super) async fn statuses(
    service: &Messaging,
    application: ApplicationId,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, SendStatus>, Fault> {
    let db = &service.context.db;
    let rows = run!(db, "message.statuses", |conn| store::statuses(
        conn,
        application.uuid(),
        ids
    ))?;
    let mut statuses = HashMap::with_capacity(rows.len());
    for row in rows {
        let state = status::state(row.state).map_err(Fault::data_loss)?;
        let wamid = row
            .wamid_sealed
            .as_ref()
            .map(|sealed| service.vault.open_wamid(row.application, row.id, sealed));
        let wamid = wamid.transpose().map_err(Fault::data_loss)?;
        let queued = row.state == Submission::Queued.code();
        let error = row
            .reason
            .as_deref()
            .map(|reason| problem::of_reason(reason, row.meta_code, queued));
        statuses.insert(row.id, status::told(state, wamid.as_ref(), error));
    }
    Ok(statuses)
}

pub(super) async fn find(
    service: &Messaging,
    application: ApplicationId,
    id: EventId,
) -> Result<Option<store::Message>, Fault> {
    let db = &service.context.db;
    Ok(run!(db, "message.get", |conn| store::get(
        conn,
        application.uuid(),
        id.uuid()
    ))?)
}

fn wamid(service: &Messaging, row: &store::Message) -> Result<Option<Wamid>, Fault> {
    let opened = row
        .wamid_sealed
        .as_ref()
        .map(|sealed| service.vault.open_wamid(row.application, row.id, sealed));
    opened.transpose().map_err(Fault::data_loss)
}

fn error(row: &store::Message) -> Option<SendError> {
    let queued = row.state == Submission::Queued.code();
    row.reason
        .as_deref()
        .map(|reason| problem::of_reason(reason, row.meta_code, queued))
}
