use outeract_proto::connection::admin::v1::{ListApplicationsRequest, ListApplicationsResponse};
use outeract_rpc::{Reply, page};
use tonic::{Request, Response};

use crate::desk::Desk;
use crate::store::{Position, application};
use crate::{convert, fault};

const LIST: &[&[u8]] = &[b"applications"];

pub(super) async fn list_applications(
    desk: &Desk,
    request: Request<ListApplicationsRequest>,
) -> Reply<ListApplicationsResponse> {
    let request = request.into_inner();
    let size = page::size(request.page_size)?;
    let after = desk.position(LIST, &request.page_token)?;
    let mut rows = application::list(&desk.db, after, size + 1)
        .await
        .map_err(fault::database)?;
    let next_page_token = desk.cut(LIST, &mut rows, size, |row| Position {
        at: row.created_at,
        id: row.id.uuid(),
    });
    Ok(Response::new(ListApplicationsResponse {
        applications: rows.into_iter().map(convert::application).collect(),
        next_page_token,
    }))
}
