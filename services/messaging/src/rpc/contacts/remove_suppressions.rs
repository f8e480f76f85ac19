//! `RemoveSuppressions`.

use std::collections::HashSet;

use outeract_proto::messaging::v1::{RemoveSuppressionsRequest, RemoveSuppressionsResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};
use uuid::Uuid;

use super::{Contacts, users, wishes};
use crate::contacts::Wish;
use crate::store::contact as store;
use crate::store::run;

pub(super) async fn remove_suppressions(
    service: &Contacts,
    request: Request<RemoveSuppressionsRequest>,
) -> Reply<RemoveSuppressionsResponse> {
    let application = caller::application(&request)?.id;
    let request = request.into_inner();
    let users = users(&request.external_ids)?;
    let connection = service.connection(application, &request.connection_id).await?;
    let asked: Vec<_> = users.iter().collect();
    let found = run!(service.db, "contact.find", |conn| store::find(
        conn,
        application.uuid(),
        &asked
    ))
    .map_err(Fault::from)?;
    let contacts: HashSet<Uuid> = found.into_iter().flatten().collect();
    let removed = wishes(application, connection, contacts.into_iter(), Wish::Removed);
    let changed = service.consent.heed(&removed).await.map_err(Fault::from)?;
    Ok(Response::new(RemoveSuppressionsResponse {
        removed_count: i32::try_from(changed.removed).unwrap_or(i32::MAX),
    }))
}
