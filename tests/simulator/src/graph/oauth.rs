//! `GET /oauth/access_token` and `GET /debug_token`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::answer;
use crate::auth::Access;
use crate::errors::Refusal;
use crate::faults::Call;
use crate::meta::Meta;
use crate::respond;

#[derive(Debug, Default, Deserialize)]
pub(super) struct TokenRequest {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DebugRequest {
    input_token: Option<String>,
}

pub(super) async fn access_token(
    State(meta): State<Arc<Meta>>,
    version: Option<Path<String>>,
    Query(request): Query<TokenRequest>,
) -> Response {
    let version = version.map_or_else(|| "v25.0".to_owned(), |Path(version)| version);
    let call = Call {
        endpoint: "access_token",
        ..Call::default()
    };
    answer(&meta, &version, call, async |_| {
        if request.client_id.as_deref() != Some(&meta.config.app_id) {
            return Err(Refusal::new(
                400,
                101,
                "Error validating application. Cannot get application info due to a system error.",
            ));
        }
        let secret = request.client_secret.as_deref().unwrap_or_default();
        if !bool::from(secret.as_bytes().ct_eq(meta.config.app_secret.as_bytes())) {
            return Err(Refusal::new(400, 1, "Error validating client secret."));
        }
        if request.grant_type.as_deref() != Some("client_credentials") {
            return Err(Refusal::new(
                400,
                100,
                "This simulator knows grant_type=client_credentials only",
            ));
        }
        let text = format!("{}|{}", meta.config.app_id, &meta.ids.token()[4..31]);
        meta.world_mut().app_token(text.clone(), &meta.config.app_secret);
        Ok(respond::value(&json!({"access_token": text, "token_type": "bearer"})))
    })
    .await
}

pub(super) async fn debug_token(
    State(meta): State<Arc<Meta>>,
    Path(version): Path<String>,
    Query(access): Query<Access>,
    Query(request): Query<DebugRequest>,
    headers: HeaderMap,
) -> Response {
    let call = Call {
        endpoint: "debug_token",
        ..Call::default()
    };
    answer(&meta, &version, call, async |_| {
        meta.app_token(&headers, &access)?;
        let Some(text) = request.input_token.as_deref() else {
            return Err(Refusal::new(400, 100, "(#100) The parameter input_token is required"));
        };
        Ok(respond::value(&json!({"data": describe(&meta, text)})))
    })
    .await
}

fn describe(meta: &Meta, text: &str) -> Value {
    let Some(token) = meta.find_token(text) else {
        return json!({
            "error": {"code": 190, "message": "Invalid OAuth access token - Cannot parse access token"},
            "is_valid": false,
            "scopes": [],
        });
    };
    let mut wabas: Vec<_> = token.wabas.iter().collect();
    wabas.sort();
    let granular = token
        .scopes
        .iter()
        .map(|scope| json!({"scope": scope, "target_ids": wabas}));
    let mut data = json!({
        "app_id": meta.config.app_id,
        "type": if token.app { "APP" } else { "SYSTEM_USER" },
        "application": "Simulated App",
        "data_access_expires_at": 0,
        "expires_at": token.expires_at.load(Ordering::Relaxed),
        "is_valid": token.valid(meta.now_ms() / 1_000),
        "issued_at": meta.now_ms() / 1_000,
        "scopes": token.scopes,
        "granular_scopes": granular.collect::<Vec<_>>(),
    });
    if !token.valid(meta.now_ms() / 1_000) {
        let error =
            json!({"code": 190, "message": "Error validating access token: Session has expired", "subcode": 463});
        data["error"] = error;
    }
    data
}
