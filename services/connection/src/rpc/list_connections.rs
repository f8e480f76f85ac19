use outeract_proto::connection::v1::{ListConnectionsRequest, ListConnectionsResponse};
use outeract_rpc::{Reply, caller, page};
use tonic::{Request, Response};

use crate::desk::Desk;
use crate::fault;
use crate::store::{Position, connection};

pub(super) async fn list_connections(
    desk: &Desk,
    request: Request<ListConnectionsRequest>,
) -> Reply<ListConnectionsResponse> {
    let application = caller::application(&request)?.id;
    let request = request.into_inner();
    let id = application.uuid();
    let list: &[&[u8]] = &[b"connections", id.as_bytes()];
    let size = page::size(request.page_size)?;
    let after = desk.position(list, &request.page_token)?;
    let mut rows = connection::list(&desk.db, application, after, size + 1)
        .await
        .map_err(fault::database)?;
    let next_page_token = desk.cut(list, &mut rows, size, |row| Position {
        at: row.created_at,
        id: row.id,
    });
    Ok(Response::new(ListConnectionsResponse {
        connections: desk.shown(rows).await?,
        next_page_token,
    }))
}
