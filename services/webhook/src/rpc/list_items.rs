use outeract_domain::{ConnectionId, WebhookId};
use outeract_events::timestamp;
use outeract_postgres::run_tx;
use outeract_proto::webhook::admin::v1 as admin;
use outeract_proto::webhook::v1::{Item, ItemOutcome, ListItemsRequest, ListItemsResponse};
use outeract_rpc::{Fault, Reply, caller, page};
use tonic::{Request, Response};
use uuid::Uuid;

use super::{Rpc, fault};
use crate::store::item::{self, Before};
use crate::store::{Outcome, audit};

/// What both lists ask for.
struct Asked {
    outcomes: Vec<i16>,
    size: i64,
    before: Before,
    /// What a token of the list is bound to.
    outcome: [u8; 4],
}

pub(super) async fn for_application(rpc: &Rpc, request: Request<ListItemsRequest>) -> Reply<ListItemsResponse> {
    let application = caller::application(&request)?.id.uuid();
    let request = request.into_inner();
    let asked = Asked::check(
        rpc,
        application.as_bytes(),
        request.outcome,
        request.page_size,
        &request.page_token,
    )?;
    let found = item::of_application(&rpc.db, application, &asked.outcomes, asked.before, asked.size + 1)
        .await
        .map_err(fault)?;
    let (items, next_page_token) = asked.page(rpc, application.as_bytes(), found);
    Ok(Response::new(ListItemsResponse { items, next_page_token }))
}

pub(super) async fn for_operator(
    rpc: &Rpc,
    request: Request<admin::ListItemsRequest>,
) -> Reply<admin::ListItemsResponse> {
    let operator = caller::operator(&request)?.key;
    let request = request.into_inner();
    let asked = Asked::check(rpc, b"", request.outcome, request.page_size, &request.page_token)?;
    let (id, detail) = (rpc.audit_id(), format!("outcome={}", request.outcome));
    let (outcomes, before, limit) = (asked.outcomes.clone(), asked.before, asked.size + 1);
    let found = run_tx(&rpc.db, "item.list", async move |connection| {
        audit::write(&mut *connection, id, operator, "ListItems", "", &detail).await?;
        item::of_all(connection, &outcomes, before, limit).await
    })
    .await
    .map_err(fault)?;
    let (items, next_page_token) = asked.page(rpc, b"", found);
    Ok(Response::new(admin::ListItemsResponse { items, next_page_token }))
}

// === impl Asked ===

impl Asked {
    fn check(rpc: &Rpc, scope: &[u8], outcome: i32, size: i32, token: &str) -> Result<Self, Fault> {
        let outcomes = outcomes(outcome)?;
        let size = page::size(size)?;
        let outcome = outcome.to_be_bytes();
        let position = rpc.pages.decode(&[b"items", scope, &outcome], token)?;
        let before = position.map_or(Ok(Before::START), |position| {
            // The token is ours: a position that cannot be read is a fault of ours, too.
            place(&position).ok_or_else(|| Fault::internal("a page token of ours holds no place"))
        })?;
        Ok(Self {
            outcomes,
            size,
            before,
            outcome,
        })
    }

    /// The page, and the token of the next one. One item more than the page tells whether there is one.
    fn page(&self, rpc: &Rpc, scope: &[u8], mut found: Vec<item::Item>) -> (Vec<Item>, String) {
        let more = found.len() as i64 > self.size;
        found.truncate(self.size as usize);
        let next = found.last().filter(|_| more).map(|last| {
            let mut position = last.post_id.as_bytes().to_vec();
            position.extend_from_slice(&last.ordinal.to_be_bytes());
            rpc.pages.encode(&[b"items", scope, &self.outcome], &position)
        });
        (found.into_iter().map(to_proto).collect(), next.unwrap_or_default())
    }
}

fn outcomes(outcome: i32) -> Result<Vec<i16>, Fault> {
    let all = Outcome::LISTED.iter();
    if outcome == ItemOutcome::Unspecified as i32 {
        return Ok(all.map(|listed| listed.code()).collect());
    }
    let one = all.copied().find(|listed| i32::from(listed.code()) == outcome);
    one.map(|listed| vec![listed.code()]).ok_or_else(|| {
        Fault::invalid(
            "outcome",
            "must be unset, PARKED, UNSUPPORTED, QUARANTINED or DISCARDED: other items are counted, not listed",
        )
    })
}

fn place(position: &[u8]) -> Option<Before> {
    let (post_id, ordinal) = position.split_at_checked(16)?;
    Some(Before {
        post_id: Uuid::from_slice(post_id).ok()?,
        ordinal: i32::from_be_bytes(ordinal.try_into().ok()?),
    })
}

pub(super) fn to_proto(item: item::Item) -> Item {
    Item {
        webhook_id: WebhookId::from_uuid(item.post_id).to_string(),
        pointer: item.pointer,
        field: item.field,
        outcome: i32::from(item.outcome),
        reason: item.reason,
        connection_id: item
            .connection_id
            .map_or_else(String::new, |id| ConnectionId::from_uuid(id).to_string()),
        receive_time: Some(timestamp::to_proto(item.received_at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_outcomes_can_be_asked_for() {
        assert_eq!(outcomes(0).expect("unset"), [3, 4, 5, 6]);
        assert_eq!(outcomes(5).expect("quarantined"), [5]);
        for bad in [1, 2, 7, -1] {
            assert_eq!(outcomes(bad).expect_err("refused").violations()[0].path, "outcome");
        }
    }
}
