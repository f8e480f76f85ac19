//! `ListErasures`.

use outeract_proto::messaging::v1::{ListErasuresRequest, ListErasuresResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::{Contacts, cut, position, size};
use crate::store::erasure as store;
use crate::store::run;

pub(super) async fn list_erasures(
    service: &Contacts,
    request: Request<ListErasuresRequest>,
) -> Reply<ListErasuresResponse> {
    let application = caller::application(&request)?.id.uuid();
    let request = request.into_inner();
    let size = size(request.page_size)?;
    let list: &[&[u8]] = &[b"erasures", application.as_bytes()];
    let before = position(&service.pages, list, &request.page_token)?;
    let found = run!(service.db, "erasure.page", |conn| store::page(
        conn,
        application,
        before,
        size + 1
    ))
    .map_err(Fault::from)?;
    let (found, more) = cut(found, size);
    let next = found
        .last()
        .filter(|_| more)
        .map(|last| service.pages.encode(list, last.id.as_bytes()));
    Ok(Response::new(ListErasuresResponse {
        erasures: service.erasures(found).await?,
        next_page_token: next.unwrap_or_default(),
    }))
}
