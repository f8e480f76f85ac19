use outeract_events::timestamp;
use outeract_proto::connection::admin::v1::{AuditEntry, ListAuditEntriesRequest, ListAuditEntriesResponse};
use outeract_rpc::{Reply, page};
use tonic::{Request, Response};

use crate::desk::Desk;
use crate::fault;
use crate::store::{Position, audit};

const LIST: &[&[u8]] = &[b"audit"];

pub(super) async fn list_audit_entries(
    desk: &Desk,
    request: Request<ListAuditEntriesRequest>,
) -> Reply<ListAuditEntriesResponse> {
    let request = request.into_inner();
    let size = page::size(request.page_size)?;
    let before = desk.position(LIST, &request.page_token)?;
    let mut rows = audit::list(&desk.db, before, size + 1).await.map_err(fault::database)?;
    let next_page_token = desk.cut(LIST, &mut rows, size, |row| Position {
        at: row.occurred_at,
        id: row.id,
    });
    Ok(Response::new(ListAuditEntriesResponse {
        entries: rows.into_iter().map(entry).collect(),
        next_page_token,
    }))
}

fn entry(row: audit::Stored) -> AuditEntry {
    AuditEntry {
        time: Some(timestamp::to_proto(row.occurred_at)),
        actor_id: row.actor,
        action: row.action,
        subject_id: row.subject,
        detail_json: row.detail,
    }
}
