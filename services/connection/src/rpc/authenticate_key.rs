use outeract_events::timestamp;
use outeract_proto::connection::internal::v1::{AuthenticateKeyRequest, AuthenticateKeyResponse, KeyVerdict};
use outeract_rpc::{Fault, Keys as _, Reply, Unavailable, Verdict};
use tonic::{Request, Response};
use uuid::Uuid;

use crate::desk::Desk;
use crate::fields::Fields;
use crate::keys::StoredKeys;

pub(super) async fn authenticate_key(
    desk: &Desk,
    request: Request<AuthenticateKeyRequest>,
) -> Reply<AuthenticateKeyResponse> {
    let request = request.into_inner();
    let mut fields = Fields::default();
    let id = Uuid::from_slice(&request.key_id).ok();
    if id.is_none() {
        fields.add("key_id", "must be 16 bytes");
    }
    let hash = <[u8; 32]>::try_from(request.secret_sha256).ok();
    if hash.is_none() {
        fields.add("secret_sha256", "must be 32 bytes");
    }
    let (Some(id), Some(hash)) = (id, hash) else {
        return Err(fields.fault().into());
    };
    // Asked of the table and not of this process's memory: the caller keeps the answer, and two memories in a row would outlive a revocation.
    let verdict = StoredKeys::new(desk.db.clone()).authenticate(id, hash).await;
    let verdict = verdict.map_err(|Unavailable(cause)| Fault::unavailable(cause))?;
    Ok(Response::new(answer(verdict)))
}

fn answer(verdict: Verdict) -> AuthenticateKeyResponse {
    let refused = |verdict: KeyVerdict| AuthenticateKeyResponse {
        verdict: verdict.into(),
        ..AuthenticateKeyResponse::default()
    };
    match verdict {
        Verdict::Application {
            application,
            scopes,
            expires,
        } => AuthenticateKeyResponse {
            verdict: KeyVerdict::Valid.into(),
            application_id: application.bytes(),
            scopes: scopes.to_vec(),
            operator: false,
            expire_time: expires.map(timestamp::to_proto),
        },
        Verdict::Operator { expires } => AuthenticateKeyResponse {
            verdict: KeyVerdict::Valid.into(),
            operator: true,
            expire_time: expires.map(timestamp::to_proto),
            ..AuthenticateKeyResponse::default()
        },
        Verdict::Unknown => refused(KeyVerdict::Unknown),
        Verdict::Expired => refused(KeyVerdict::Expired),
        Verdict::Revoked => refused(KeyVerdict::Revoked),
    }
}
