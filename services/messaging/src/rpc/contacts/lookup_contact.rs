//! `LookupContact`.

use outeract_domain::Recipient;
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
    let user: Recipient = request
        .into_inner()
        .external_id
        .parse()
        .map_err(|error| Fault::invalid("external_id", format!("{error}")))?;
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
