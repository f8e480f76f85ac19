use std::collections::HashMap;

use outeract_postgres::run_tx;
use outeract_proto::webhook::admin::v1 as admin;
use outeract_proto::webhook::v1::{ItemDecision, RetryItemsRequest, RetryItemsResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};
use uuid::Uuid;

use super::names::{Decided, Name, Names};
use super::{Rpc, check_why, fault, waiting};
use crate::again::Stand;
use crate::reason;
use crate::store::again::{self, Row};
use crate::store::{Outcome, audit, post};

/// Webhooks that are opened at a time.
const STEP: usize = 8;

pub(super) async fn for_application(rpc: &Rpc, request: Request<RetryItemsRequest>) -> Reply<RetryItemsResponse> {
    let application = caller::application(&request)?.id.uuid();
    let names = Names::check(&request.into_inner().names)?;
    let results = retry(rpc, names, Some(application)).await?;
    Ok(Response::new(RetryItemsResponse { results }))
}

pub(super) async fn for_operator(
    rpc: &Rpc,
    request: Request<admin::RetryItemsRequest>,
) -> Reply<admin::RetryItemsResponse> {
    let operator = caller::operator(&request)?.key;
    let admin::RetryItemsRequest { names, why } = request.into_inner();
    let names = Names::check(&names)?;
    check_why(&why)?;
    let (id, subject) = (rpc.audit_id(), names.subject());
    run_tx(&rpc.db, "item.retry.audit", async move |connection| {
        audit::write(connection, id, operator, "RetryItems", &subject, &why).await
    })
    .await
    .map_err(fault)?;
    let results = retry(rpc, names, None).await?;
    Ok(Response::new(admin::RetryItemsResponse { results }))
}

async fn retry(rpc: &Rpc, names: Names, application: Option<Uuid>) -> Result<Vec<ItemDecision>, Fault> {
    let posts = names.posts();
    let mut decided = HashMap::new();
    for ids in posts.chunks(STEP) {
        let posts = post::by_ids(&rpc.db, ids).await.map_err(fault)?;
        let asked = |row: &Row| names.contains(row.post_id, &row.pointer) && may(row, application);
        let again = rpc.decoder.again(posts, |_, _, row| row.is_some_and(asked)).await;
        let again = again.map_err(waiting)?;
        let settled = run_tx(&rpc.db, "item.retry", async move |connection| {
            again.settle(connection).await
        })
        .await
        .map_err(fault)?;
        settled.count("retry");
        for stand in settled.stand {
            note(&mut decided, stand);
        }
        // What was not retried stands as it stood.
        for row in again::rows(&rpc.db, ids).await.map_err(fault)? {
            let own = application.is_none_or(|application| row.application_id == Some(application));
            if own {
                let stands = Decided {
                    outcome: row.outcome,
                    reason: row.reason,
                    done: false,
                };
                let name = Name {
                    post_id: row.post_id,
                    pointer: row.pointer,
                };
                decided.entry(name).or_insert(stands);
            }
        }
    }
    Ok(names.answer(decided))
}

/// What is parked is applied by itself; what was erased is blank.
fn may(row: &Row, application: Option<Uuid>) -> bool {
    application.is_none_or(|application| row.application_id == Some(application))
        && row.outcome != Outcome::Parked.code()
        && row.reason != reason::ERASED
}

/// An item may be several today: the one that is furthest from being applied counts.
fn note(decided: &mut HashMap<Name, Decided>, stand: Stand) {
    let name = Name {
        post_id: stand.post_id,
        pointer: stand.pointer,
    };
    let known = decided.entry(name).or_default();
    if stand.outcome >= known.outcome {
        *known = Decided {
            outcome: stand.outcome,
            reason: stand.reason,
            done: !stand.kept,
        };
    }
}
