//! `SendTemplateMessage`: the short form of a template's parameters, then what `SendMessage` does.

use std::sync::Arc;

use outeract_domain::ApplicationId;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::{
    MessageContent, SendMessageRequest, SendTemplateMessageRequest, SendTemplateMessageResponse,
};
use outeract_rpc::{Fault, Reply, Violation, caller};
use tonic::{Request, Response};

use super::replay::replay_or;
use super::{Messaging, send_message, templates};
use crate::accept::prepare::Identity;
use crate::templates::{Filled, fault, fill};

pub(super) async fn send_template_message(
    service: &Messaging,
    request: Request<SendTemplateMessageRequest>,
) -> Reply<SendTemplateMessageResponse> {
    let application = caller::application(&request)?.id;
    let call = Arc::clone(caller::call(&request)?);
    let mut request = request.into_inner();
    let (name, language) = (request.template_name.as_str(), request.language_code.as_str());
    let missing: Vec<_> = [("template_name", name), ("language_code", language)]
        .into_iter()
        .filter(|(_, text)| text.is_empty())
        .map(|(path, _)| Violation::new(path, "is required"))
        .collect();
    if !missing.is_empty() {
        return Err(Fault::invalid_many(missing).into());
    }
    let identity = Identity {
        key_hash: service.vault.key_hash(application, &request.idempotency_key),
        fingerprint: service.vault.template_fingerprint(application, &mut request),
    };
    let sent = match whole(service, application, request).await {
        Ok((whole, filled)) => {
            let sent = send_message::send(service, application, &call, whole, identity).await;
            sent.map_err(|fault| translate(fault, &filled))?
        }
        Err(fault) => Box::pin(replay_or(service, application, identity, fault)).await?,
    };
    Ok(Response::new(SendTemplateMessageResponse {
        id: sent.id,
        status: sent.status,
        replayed: sent.replayed,
    }))
}

/// The request in the form that `SendMessage` has for it, and where its parameters went. What they mean stands in the definition.
async fn whole(
    service: &Messaging,
    application: ApplicationId,
    request: SendTemplateMessageRequest,
) -> Result<(SendMessageRequest, Filled), Fault> {
    let (name, language) = (request.template_name.as_str(), request.language_code.as_str());
    let connection = templates::connection(&service.preparer.projection, application, &request.connection_id).await?;
    let definition = service.preparer.templates.find(&connection.waba, name, language).await;
    let definition = definition.map_err(Fault::from)?.ok_or_else(fault::not_found)?;
    let filled = fill(&definition, name, language, request.parameters).map_err(Fault::invalid_many)?;
    let whole = SendMessageRequest {
        idempotency_key: request.idempotency_key,
        connection_id: request.connection_id,
        to_external_id: request.to_external_id,
        content: Some(MessageContent {
            kind: Some(Kind::Template(filled.content.clone())),
        }),
        on_unknown: request.on_unknown,
        wait: request.wait,
        priority: request.priority,
        send_time: request.send_time,
        expire_time: request.expire_time,
        sandbox: request.sandbox,
        ..SendMessageRequest::default()
    };
    Ok((whole, filled))
}

/// Broken fields by the names that this request has for them.
fn translate(fault: Fault, filled: &Filled) -> Fault {
    if fault.violations().is_empty() {
        return fault;
    }
    let translated = fault
        .violations()
        .iter()
        .map(|violation| Violation::new(filled.path(&violation.path), violation.description.clone()));
    Fault::invalid_many(translated.collect())
}
