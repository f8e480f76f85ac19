//! `ListContacts`.

use outeract_proto::messaging::v1::{ListContactsRequest, ListContactsResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::{Contacts, cut, position, size};
use crate::store::contact_page as store;
use crate::store::run;

pub(super) async fn list_contacts(
    service: &Contacts,
    request: Request<ListContactsRequest>,
) -> Reply<ListContactsResponse> {
    let application = caller::application(&request)?.id;
    let request = request.into_inner();
    let (size, key) = (size(request.page_size)?, application.uuid());
    let list: &[&[u8]] = &[b"contacts", key.as_bytes()];
    let before = position(&service.pages, list, &request.page_token)?;
    let found = run!(service.db, "contact.page", |conn| store::page(
        conn,
        key,
        before,
        size + 1
    ))
    .map_err(Fault::from)?;
    let (ids, more) = cut(found, size);
    let next = ids
        .last()
        .filter(|_| more)
        .map(|last| service.pages.encode(list, last.as_bytes()));
    Ok(Response::new(ListContactsResponse {
        contacts: service.describe(application, &ids).await?,
        next_page_token: next.unwrap_or_default(),
    }))
}
