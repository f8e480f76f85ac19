//! `ListTemplates`.

use outeract_events::timestamp;
use outeract_proto::messaging::v1::{ListTemplatesRequest, ListTemplatesResponse, TemplateStatus};
use outeract_rpc::page::size_within;
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::templates::{self, Templates};
use crate::store::{run, template as store, template_sync};

const DEFAULT_SIZE: i32 = 100;
const MAX_SIZE: i32 = 1_000;

pub(super) async fn list_templates(
    service: &Templates,
    request: Request<ListTemplatesRequest>,
) -> Reply<ListTemplatesResponse> {
    let application = caller::application(&request)?.id;
    let request = request.into_inner();
    let status = match TemplateStatus::try_from(request.status) {
        Ok(TemplateStatus::Unspecified) => None,
        Ok(status) => i16::try_from(i32::from(status)).ok(),
        Err(_) => return Err(Fault::invalid("status", "must be a status of this contract").into()),
    };
    let size = size_within(request.page_size, DEFAULT_SIZE, MAX_SIZE)?;
    let connection = templates::connection(&service.projection, application, &request.connection_id).await?;
    let waba = &connection.waba;

    let (application, filter) = (application.uuid(), request.status.to_be_bytes());
    let list: &[&[u8]] = &[b"templates", application.as_bytes(), waba.as_bytes(), &filter];
    let tokens = &service.context.page_tokens;
    let position = tokens.decode(list, &request.page_token)?.unwrap_or_default();
    // Neither a name nor a language holds a zero.
    let position = String::from_utf8(position).map_err(Fault::internal)?;
    let after = position.split_once('\0').unwrap_or_default();

    let db = &service.context.db;
    let synced_at = run!(db, "template_sync.synced_at", |conn| template_sync::synced_at(
        conn, waba
    ));
    let synced_at = synced_at.map_err(Fault::from)?;
    let page = run!(db, "template.list", |conn| store::list(conn, waba, status, after, size));
    let (rows, more) = page.map_err(Fault::from)?;
    let next_page_token = match rows.last().filter(|_| more) {
        Some(end) => tokens.encode(list, format!("{}\0{}", end.name, end.language).as_bytes()),
        None => String::new(),
    };
    Ok(Response::new(ListTemplatesResponse {
        templates: rows.into_iter().map(templates::told).collect::<Result<_, _>>()?,
        next_page_token,
        sync_time: synced_at.map(timestamp::to_proto),
    }))
}
