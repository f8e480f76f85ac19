use outeract_domain::WebhookId;
use outeract_events::timestamp;
use outeract_postgres::run_tx;
use outeract_proto::webhook::admin::v1::{Accounting, GetWebhookRequest, GetWebhookResponse};
use outeract_rpc::{Fault, Reply, caller};
use tonic::{Request, Response};

use super::{Rpc, fault};
use crate::sealed;
use crate::store::{account, audit, post};

pub(super) async fn get_webhook(rpc: &Rpc, request: Request<GetWebhookRequest>) -> Reply<GetWebhookResponse> {
    let operator = caller::operator(&request)?.key;
    let id: WebhookId = request
        .into_inner()
        .id
        .parse()
        .map_err(|_| Fault::invalid("id", "must be a `wh_…` id"))?;
    let (audit_id, subject) = (rpc.audit_id(), id.to_string());
    let name = subject.clone();
    // The line in the log commits before the body leaves.
    let found = run_tx(&rpc.db, "webhook.get", async move |connection| {
        let post = post::get(&mut *connection, id.uuid()).await?;
        let account = account::get(&mut *connection, id.uuid()).await?;
        audit::write(
            connection,
            audit_id,
            operator,
            "GetWebhook",
            &name,
            if post.is_some() { "read" } else { "not found" },
        )
        .await?;
        Ok::<_, sqlx::Error>((post, account))
    });
    let (post, account) = found.await.map_err(fault)?;
    let post = post.ok_or_else(|| Fault::not_found("webhook"))?;
    let body = rpc
        .keyring
        .open(&sealed::body(id.uuid().as_bytes()), &post.body)
        .map_err(Fault::data_loss)?;
    Ok(Response::new(GetWebhookResponse {
        id: subject,
        body,
        receive_time: Some(timestamp::to_proto(post.received_at)),
        accounting: account.map(to_proto),
    }))
}

fn to_proto(account: account::Account) -> Accounting {
    Accounting {
        items: account.items,
        applied: account.applied,
        duplicate: account.duplicate,
        parked: account.parked,
        unsupported: account.unsupported,
        quarantined: account.quarantined,
        discarded: account.discarded,
    }
}
