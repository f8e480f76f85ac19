use outeract_proto::connection::internal::v1::{ListConnectionStatesRequest, ListConnectionStatesResponse};
use outeract_rpc::{Reply, page};
use tonic::{Request, Response};
use uuid::Uuid;

use crate::desk::Desk;
use crate::store::connection;
use crate::{convert, fault};

const LIST: &[&[u8]] = &[b"connection states"];
const DEFAULT: i32 = 500;
const MOST: i32 = 1_000;

pub(super) async fn list_connection_states(
    desk: &Desk,
    request: Request<ListConnectionStatesRequest>,
) -> Reply<ListConnectionStatesResponse> {
    let request = request.into_inner();
    let size = page::size_within(request.page_size, DEFAULT, MOST)?;
    let after = desk.pages.decode(LIST, &request.page_token)?;
    let after = after
        .and_then(|bytes| Uuid::from_slice(&bytes).ok())
        .unwrap_or(Uuid::nil());
    let rows = connection::list_all(&desk.db, after, size)
        .await
        .map_err(fault::database)?;
    let full = i64::try_from(rows.len()).is_ok_and(|read| read == size);
    let next_page_token = match rows.last() {
        Some(last) if full => desk.pages.encode(LIST, last.id.as_bytes()),
        Some(_) | None => String::new(),
    };
    Ok(Response::new(ListConnectionStatesResponse {
        connections: rows.iter().map(|row| convert::snapshot(&desk.ring, row)).collect(),
        next_page_token,
    }))
}
