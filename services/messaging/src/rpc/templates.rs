//! What applications ask of templates.

use std::sync::Arc;

use outeract_domain::{ApplicationId, ConnectionId};
use outeract_events::timestamp;
use outeract_proto::messaging::v1::template_service_server::TemplateService;
use outeract_proto::messaging::v1::{
    GetTemplateRequest, GetTemplateResponse, ListTemplatesRequest, ListTemplatesResponse, SyncTemplatesRequest,
    SyncTemplatesResponse, Template,
};
use outeract_rpc::{Fault, Reply};
use outeract_runtime::Context;
use tonic::Request;

use super::{get_template, list_templates, sync_templates};
use crate::projection::{Connection, Projection};
use crate::store::template as store;
use crate::templates::{self, stored_category, stored_status};

/// The service.
#[derive(Debug)]
pub(crate) struct Templates {
    pub context: Context,
    pub projection: Projection,
    pub room: templates::Templates,
}

#[tonic::async_trait]
impl TemplateService for Templates {
    async fn list_templates(&self, request: Request<ListTemplatesRequest>) -> Reply<ListTemplatesResponse> {
        list_templates::list_templates(self, request).await
    }

    async fn get_template(&self, request: Request<GetTemplateRequest>) -> Reply<GetTemplateResponse> {
        get_template::get_template(self, request).await
    }

    async fn sync_templates(&self, request: Request<SyncTemplatesRequest>) -> Reply<SyncTemplatesResponse> {
        sync_templates::sync_templates(self, request).await
    }
}

/// The application's connection, whatever its state.
pub(super) async fn connection(
    projection: &Projection,
    application: ApplicationId,
    id: &str,
) -> Result<Arc<Connection>, Fault> {
    let id: ConnectionId = id
        .parse()
        .map_err(|error| Fault::invalid("connection_id", format!("is {error}")))?;
    let known = projection.get(id).await?;
    known
        .filter(|connection| connection.application == application)
        .ok_or_else(|| Fault::not_found("connection"))
}

/// A stored template as the contract writes it.
pub(super) fn told(row: store::Template) -> Result<Template, Fault> {
    Ok(Template {
        id: row.meta_id,
        name: row.name,
        language_code: row.language,
        status: stored_status(row.status).into(),
        meta_status: row.meta_status,
        category: stored_category(row.category).into(),
        quality: row.quality,
        reason: row.reason,
        named_parameters: row.named,
        components_json: String::from_utf8(row.components).map_err(Fault::data_loss)?,
        sync_time: Some(timestamp::to_proto(row.synced_at)),
    })
}
