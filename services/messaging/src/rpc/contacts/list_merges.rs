//! `ListMerges`.

use outeract_domain::ContactId;
use outeract_events::timestamp;
use outeract_proto::messaging::v1::{ListMergesRequest, ListMergesResponse, Merge};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::{Contacts, cut, position, size};
use crate::store::contact_page as store;
use crate::store::run;

pub(super) async fn list_merges(service: &Contacts, request: Request<ListMergesRequest>) -> Reply<ListMergesResponse> {
    let application = caller::application(&request)?.id.uuid();
    let request = request.into_inner();
    let size = size(request.page_size)?;
    let list: &[&[u8]] = &[b"merges", application.as_bytes()];
    let before = position(&service.pages, list, &request.page_token)?;
    let found = run!(service.db, "contact.merges", |conn| store::merges(
        conn,
        application,
        before,
        size + 1
    ))
    .map_err(Fault::from)?;
    let (merges, more) = cut(found, size);
    let next = merges
        .last()
        .filter(|_| more)
        .map(|last| service.pages.encode(list, last.id.as_bytes()));
    let merges = merges.into_iter().map(|merge| Merge {
        source_contact_id: ContactId::from_uuid(merge.source).to_string(),
        target_contact_id: ContactId::from_uuid(merge.target).to_string(),
        merge_time: Some(timestamp::to_proto(merge.at)),
    });
    Ok(Response::new(ListMergesResponse {
        merges: merges.collect(),
        next_page_token: next.unwrap_or_default(),
    }))
}
