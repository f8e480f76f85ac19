use outeract_domain::KeyId;
use outeract_postgres::run_tx;
use outeract_proto::connection::admin::v1::{RevokeKeyRequest, RevokeKeyResponse};
use outeract_rpc::{Fault, Reply, caller};
use serde_json::json;
use sqlx::PgConnection;
use tonic::{Request, Response};

use crate::audit::Deed;
use crate::convert;
use crate::desk::Desk;
use crate::fault::Error;
use crate::fields::{self, Fields};
use crate::store::key::{self, Key};

/// A key to be revoked, and the operator who does it.
struct Revocation {
    id: KeyId,
    actor: String,
}

pub(super) async fn revoke_key(desk: &Desk, request: Request<RevokeKeyRequest>) -> Reply<RevokeKeyResponse> {
    let actor = caller::operator(&request)?.key.to_string();
    let mut fields = Fields::default();
    let Some(id) = fields.parsed::<KeyId>("id", &request.get_ref().id, fields::KEY_ID) else {
        return Err(fields.fault().into());
    };
    let (revocation, own) = (Revocation { id, actor }, desk.clone());
    let key = run_tx(&desk.db, "key.revoke", async move |tx| revocation.store(&own, tx).await).await?;
    // Other processes, and other replicas, ask again within 20 seconds.
    desk.keys.forget(id);
    Ok(Response::new(RevokeKeyResponse {
        key: Some(convert::key(key)),
    }))
}

// === impl Revocation ===

impl Revocation {
    async fn store(&self, desk: &Desk, tx: &mut PgConnection) -> Result<Key, Error> {
        let (key, first) = key::revoke(tx, self.id).await?.ok_or_else(|| Fault::not_found("key"))?;
        if first {
            let deed = Deed {
                actor: &self.actor,
                action: "key.revoke",
                subject: self.id.to_string(),
                detail: json!({
                    "application_id": key.application.map(|application| application.to_string()),
                    "name": key.name,
                }),
            };
            deed.record(tx, &*desk.random).await?;
        }
        Ok(key)
    }
}
