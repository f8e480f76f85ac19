//! `SyncTemplates`.

use outeract_proto::messaging::v1::{SyncTemplatesRequest, SyncTemplatesResponse};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::templates::{self, Templates};

pub(super) async fn sync_templates(
    service: &Templates,
    request: Request<SyncTemplatesRequest>,
) -> Reply<SyncTemplatesResponse> {
    let application = caller::application(&request)?.id;
    let id = request.into_inner().connection_id;
    let connection = templates::connection(&service.projection, application, &id).await?;
    if !connection.is_active() {
        let state = connection.obstacle();
        let fault = Fault::precondition(ErrorReason::ConnectionNotActive, format!("the connection is {state}"));
        return Err(fault.with("state", state).into());
    }
    let count = service.room.sync(&connection.waba).await;
    let count = count.map_err(|error| Fault::from(&error))?;
    Ok(Response::new(SyncTemplatesResponse {
        template_count: i32::try_from(count).unwrap_or(i32::MAX),
    }))
}
