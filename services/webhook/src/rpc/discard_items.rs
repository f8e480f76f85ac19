use std::collections::HashMap;

use outeract_domain::KeyId;
use outeract_postgres::run_tx;
use outeract_proto::webhook::admin::v1 as admin;
use outeract_proto::webhook::v1::{DiscardItemsRequest, DiscardItemsResponse, ItemDecision};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};
use uuid::Uuid;

use super::names::{Decided, Name, Names};
use super::{Rpc, check_why, fault};
use crate::store::again::{self, Row};
use crate::store::{Outcome, audit};

pub(super) async fn for_application(rpc: &Rpc, request: Request<DiscardItemsRequest>) -> Reply<DiscardItemsResponse> {
    let application = caller::application(&request)?.id.uuid();
    let names = Names::check(&request.into_inner().names)?;
    let results = discard(rpc, names, Some(application), None).await?;
    Ok(Response::new(DiscardItemsResponse { results }))
}

pub(super) async fn for_operator(
    rpc: &Rpc,
    request: Request<admin::DiscardItemsRequest>,
) -> Reply<admin::DiscardItemsResponse> {
    let operator = caller::operator(&request)?.key;
    let admin::DiscardItemsRequest { names, why } = request.into_inner();
    let names = Names::check(&names)?;
    check_why(&why)?;
    let results = discard(rpc, names, None, Some((operator, why))).await?;
    Ok(Response::new(admin::DiscardItemsResponse { results }))
}

async fn discard(
    rpc: &Rpc,
    names: Names,
    application: Option<Uuid>,
    operator: Option<(KeyId, String)>,
) -> Result<Vec<ItemDecision>, Fault> {
    let (post_ids, pointers) = names.columns();
    let (audit_id, subject) = (rpc.audit_id(), names.subject());
    let rows = run_tx(&rpc.db, "item.discard", async move |connection| {
        if let Some((key, why)) = &operator {
            audit::write(&mut *connection, audit_id, *key, "DiscardItems", &subject, why).await?;
        }
        let rows = again::lock_named(&mut *connection, &post_ids, &pointers, application).await?;
        let open = rows.iter().filter(|row| row.outcome != Outcome::Discarded.code());
        let (posts, ordinals): (Vec<Uuid>, Vec<i32>) = open.map(|row| (row.post_id, row.ordinal)).unzip();
        if !posts.is_empty() {
            again::discard(connection, &posts, &ordinals, None).await?;
        }
        Ok::<_, sqlx::Error>(rows)
    })
    .await
    .map_err(fault)?;
    let decided: HashMap<Name, Decided> = rows.into_iter().map(decision).collect();
    let done = decided.values().filter(|decided| decided.done).count() as u64;
    metrics::counter!("webhook_items_again_total", "by" => "discard", "outcome" => "discarded").increment(done);
    Ok(names.answer(decided))
}

fn decision(row: Row) -> (Name, Decided) {
    let decided = Decided {
        outcome: Outcome::Discarded.code(),
        reason: row.reason,
        done: row.outcome != Outcome::Discarded.code(),
    };
    let name = Name {
        post_id: row.post_id,
        pointer: row.pointer,
    };
    (name, decided)
}
