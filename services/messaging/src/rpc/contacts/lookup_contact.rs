//! `LookupContact`.

use outeract_domain::{InvalidRecipient, Recipient};
use outeract_proto::messaging::v1::{LookupContactRequest, LookupContactResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::Contacts;
use crate::store::contact as store;
use crate::store::run;

pub(super) async fn lookup_contact(
    service: &Contacts,
    request: Request<LookupContactRequest>,
) -> Reply<LookupContactResponse> {
    let application = caller::application(&request)?.id;
    let text = request.into_inner().external_id;
    // Meta may show a number that the numbering plans known here do not have.
    let user: Recipient = text
        .parse()
        .or_else(|error| Recipient::from_stored(&text).map_err(|_| error))
        .map_err(|error: InvalidRecipient| Fault::invalid("external_id", error.to_string()))?;
    let found = run!(service.db, "contact.find", |conn| store::find(
        conn,
        application.uuid(),
        &[&user]
    ))
    .map_err(Fault::from)?;
    let id = found
        .into_iter()
        .next()
        .flatten()
        .ok_or_else(|| Fault::not_found("contact"))?;
    let contact = service.describe(application, &[id]).await?.pop();
    Ok(Response::new(LookupContactResponse {
        contact: Some(contact.ok_or_else(|| Fault::not_found("contact"))?),
    }))
}
