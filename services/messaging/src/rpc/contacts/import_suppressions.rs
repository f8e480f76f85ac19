//! `ImportSuppressions`.

use std::collections::HashSet;

use outeract_proto::messaging::v1::{ImportSuppressionsRequest, ImportSuppressionsResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};
use uuid::Uuid;

use super::{Contacts, users, wishes};
use crate::contacts::Wish;
use crate::store::contact as store;
use crate::store::run;

pub(super) async fn import_suppressions(
    service: &Contacts,
    request: Request<ImportSuppressionsRequest>,
) -> Reply<ImportSuppressionsResponse> {
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
    let mut contacts: HashSet<Uuid> = found.iter().flatten().copied().collect();
    let new: HashSet<_> = users
        .iter()
        .zip(&found)
        .filter(|(_, contact)| contact.is_none())
        .map(|(user, _)| (application.uuid(), user.clone()))
        .collect();
    if !new.is_empty() {
        let made = service.known.introduce(&service.db, new).await.map_err(Fault::from)?;
        contacts.extend(made.into_values());
    }
    let imported = wishes(application, connection, contacts.into_iter(), Wish::Imported);
    let changed = service.consent.heed(&imported).await.map_err(Fault::from)?;
    Ok(Response::new(ImportSuppressionsResponse {
        added_count: i32::try_from(changed.added).unwrap_or(i32::MAX),
    }))
}
