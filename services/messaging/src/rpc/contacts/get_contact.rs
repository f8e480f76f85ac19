//! `GetContact`.

use outeract_domain::ContactId;
use outeract_proto::messaging::v1::{GetContactRequest, GetContactResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::Contacts;
use crate::store::contact_page as store;
use crate::store::run;

pub(super) async fn get_contact(service: &Contacts, request: Request<GetContactRequest>) -> Reply<GetContactResponse> {
    let application = caller::application(&request)?.id;
    let id: ContactId = request
        .into_inner()
        .id
        .parse()
        .map_err(|error| Fault::invalid("id", format!("is {error}")))?;
    let survivor = run!(service.db, "contact.survivor", |conn| store::survivor(
        conn,
        application.uuid(),
        id.uuid()
    ))
    .map_err(Fault::from)?
    .ok_or_else(|| Fault::not_found("contact"))?;
    let contact = service.describe(application, &[survivor]).await?.pop();
    Ok(Response::new(GetContactResponse {
        contact: Some(contact.ok_or_else(|| Fault::not_found("contact"))?),
    }))
}
