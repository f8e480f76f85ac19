use outeract_domain::ApplicationId;
use outeract_postgres::run_tx;
use outeract_proto::webhook::admin::v1 as admin;
use outeract_proto::webhook::v1::{ContentMissing, GetItemRequest, GetItemResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};
use uuid::Uuid;

use super::list_items::to_proto;
use super::names::Name;
use super::{Rpc, fault};
use crate::json::fragment;
use crate::sealed;
use crate::store::again::Row;
use crate::store::post::Post;
use crate::store::{audit, item, post};

/// Longest content that is shown, in bytes.
const MAX_CONTENT: usize = 256 << 10;

pub(super) async fn for_application(rpc: &Rpc, request: Request<GetItemRequest>) -> Reply<GetItemResponse> {
    let application = caller::application(&request)?.id.uuid();
    let name = Name::required(request.into_inner().name.as_ref())?;
    let (row, post) = find(rpc, name, Some(application), None).await?;
    let (content, missing) = content(rpc, &row, post)?;
    Ok(Response::new(GetItemResponse {
        item: Some(to_proto(row.into())),
        content,
        content_missing: missing.into(),
    }))
}

pub(super) async fn for_operator(rpc: &Rpc, request: Request<admin::GetItemRequest>) -> Reply<admin::GetItemResponse> {
    let operator = caller::operator(&request)?.key;
    let name = Name::required(request.into_inner().name.as_ref())?;
    let (row, post) = find(rpc, name, None, Some(operator)).await?;
    let (content, missing) = content(rpc, &row, post)?;
    let application = row.application_id.map(ApplicationId::from_uuid);
    Ok(Response::new(admin::GetItemResponse {
        item: Some(to_proto(row.into())),
        content,
        content_missing: missing.into(),
        application_id: application.map_or_else(String::new, |id| id.to_string()),
    }))
}

/// The item and its webhook, if that is still kept. An operator's reading is written down first.
async fn find(
    rpc: &Rpc,
    name: Name,
    application: Option<Uuid>,
    operator: Option<outeract_domain::KeyId>,
) -> Result<(Row, Option<Post>), Fault> {
    let (audit_id, subject) = (rpc.audit_id(), name.subject());
    let found = run_tx(&rpc.db, "item.get", async move |connection| {
        let row = item::get(&mut *connection, name.post_id, &name.pointer, application).await?;
        let post = match &row {
            Some(row) => post::get(&mut *connection, row.post_id).await?,
            None => None,
        };
        if let Some(operator) = operator {
            let detail = if row.is_some() { "read" } else { "not found" };
            audit::write(connection, audit_id, operator, "GetItem", &subject, detail).await?;
        }
        Ok::<_, sqlx::Error>(row.map(|row| (row, post)))
    });
    found.await.map_err(fault)?.ok_or_else(|| Fault::not_found("item"))
}

/// What Meta wrote, or why it cannot be shown.
fn content(rpc: &Rpc, row: &Row, post: Option<Post>) -> Result<(String, ContentMissing), Fault> {
    let Some(post) = post else {
        return Ok((String::new(), ContentMissing::Expired));
    };
    let place = sealed::body(post.id.as_bytes());
    let body = rpc.keyring.open(&place, &post.body).map_err(Fault::data_loss)?;
    Ok(match fragment(&body, &row.pointer) {
        Some(content) if content.len() <= MAX_CONTENT => (content.to_owned(), ContentMissing::Unspecified),
        Some(_) => (String::new(), ContentMissing::TooLong),
        None => (String::new(), ContentMissing::Unreadable),
    })
}
