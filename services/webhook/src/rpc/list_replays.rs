use outeract_proto::webhook::admin::v1::{ListReplaysRequest, ListReplaysResponse};
use outeract_rpc::{Reply, page};
use tonic::{Request, Response};
use uuid::Uuid;

use super::replay::to_proto;
use super::{Rpc, fault};
use crate::store::replay;

const LIST: &[&[u8]] = &[b"replays"];

pub(super) async fn list_replays(rpc: &Rpc, request: Request<ListReplaysRequest>) -> Reply<ListReplaysResponse> {
    let request = request.into_inner();
    let size = page::size(request.page_size)?;
    // A genuine token holds an id: only this service makes them.
    let before = rpc
        .pages
        .decode(LIST, &request.page_token)?
        .and_then(|position| Uuid::from_slice(&position).ok())
        .unwrap_or(Uuid::max());
    let mut found = replay::list(&rpc.db, before, size + 1).await.map_err(fault)?;
    let more = found.len() as i64 > size;
    found.truncate(size as usize);
    let end = found.last().filter(|_| more).map(|last| last.id);
    Ok(Response::new(ListReplaysResponse {
        replays: found.into_iter().map(to_proto).collect(),
        next_page_token: end.map_or_else(String::new, |id| rpc.pages.encode(LIST, id.as_bytes())),
    }))
}
