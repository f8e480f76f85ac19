//! `ListAuditEntries`.

use outeract_domain::KeyId;
use outeract_events::timestamp;
use outeract_proto::messaging::admin::v1::{AuditEntry, ListAuditEntriesRequest, ListAuditEntriesResponse};
use outeract_rpc::{Fault, Reply, page};
use tonic::{Request, Response};
use uuid::Uuid;

use super::Admin;
use crate::store::hold::{self as store, Entry};
use crate::store::run;

const LIST: &[&[u8]] = &[b"audit"];
const DEFAULT_SIZE: i32 = 100;
const MAX_SIZE: i32 = 1_000;

pub(super) async fn list_audit_entries(
    admin: &Admin,
    request: Request<ListAuditEntriesRequest>,
) -> Reply<ListAuditEntriesResponse> {
    let request = request.into_inner();
    let size = page::size_within(request.page_size, DEFAULT_SIZE, MAX_SIZE)?;
    let pages = &admin.context.page_tokens;
    // A genuine token holds an id: only this service makes them.
    let before = pages
        .decode(LIST, &request.page_token)?
        .and_then(|position| Uuid::from_slice(&position).ok());
    let db = &admin.context.db;
    let mut rows = run!(db, "audit.entries", |conn| store::entries(conn, before, size + 1)).map_err(Fault::from)?;
    let more = rows.len() as i64 > size;
    rows.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    let end = rows.last().filter(|_| more).map(|row| row.id);
    Ok(Response::new(ListAuditEntriesResponse {
        entries: rows.into_iter().map(entry).collect(),
        next_page_token: end.map_or_else(String::new, |id| pages.encode(LIST, id.as_bytes())),
    }))
}

fn entry(row: Entry) -> AuditEntry {
    AuditEntry {
        time: Some(timestamp::to_proto(row.at)),
        operator_key_id: KeyId::from_uuid(row.operator).to_string(),
        action: row.action,
        target: row.target,
        reason: row.reason,
    }
}
