//! The app's own subscription.

use std::sync::{Arc, PoisonError};

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::{answer, parameters};
use crate::auth::Access;
use crate::errors::Refusal;
use crate::faults::Call;
use crate::meta::{Meta, Subscription};
use crate::respond;

/// The object whose changes `WhatsApp` webhooks are.
const OBJECT: &str = "whatsapp_business_account";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Request {
    object: Option<String>,
    callback_url: Option<String>,
    verify_token: Option<String>,
    fields: Option<String>,
}

pub(super) async fn subscribe(
    State(meta): State<Arc<Meta>>,
    Path((version, id)): Path<(String, String)>,
    Query(access): Query<Access>,
    Query(in_query): Query<Request>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&meta, &version, call(&id), async |_| {
        app(&meta, &headers, &access, &id, "post")?;
        let in_body: Request = parameters(&headers, &body)?;
        let wanted = in_body.or(&in_query);
        if wanted.object.as_deref() != Some(OBJECT) {
            return Err(Refusal::new(
                400,
                100,
                "(#100) Param object must be one of {…, WHATSAPP_BUSINESS_ACCOUNT}",
            ));
        }
        let (Some(callback_url), Some(verify_token)) = (wanted.callback_url, wanted.verify_token) else {
            return Err(Refusal::new(
                400,
                100,
                "(#100) The parameters callback_url and verify_token are required",
            ));
        };
        meta.handshake(&callback_url, &verify_token).await.map_err(|why| {
            Refusal::new(
                400,
                2200,
                format!("(#2200) Callback verification failed with the following errors: {why}"),
            )
        })?;
        let fields = wanted.fields.unwrap_or_default();
        let fields = fields
            .split(',')
            .map(|field| field.trim().to_owned())
            .filter(|field| !field.is_empty());
        let subscription = Subscription {
            callback_url,
            fields: fields.collect(),
        };
        *meta.subscription.lock().unwrap_or_else(PoisonError::into_inner) = Some(subscription);
        Ok(respond::value(&json!({"success": true})))
    })
    .await
}

pub(super) async fn list(
    State(meta): State<Arc<Meta>>,
    Path((version, id)): Path<(String, String)>,
    Query(access): Query<Access>,
    headers: HeaderMap,
) -> Response {
    answer(&meta, &version, call(&id), async |_| {
        app(&meta, &headers, &access, &id, "get")?;
        let subscription = meta.subscription.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let data: Vec<_> = subscription
            .iter()
            .map(|is| {
                let fields: Vec<_> = is
                    .fields
                    .iter()
                    .map(|name| json!({"name": name, "version": version}))
                    .collect();
                json!({"object": OBJECT, "callback_url": is.callback_url, "active": true, "fields": fields})
            })
            .collect();
        Ok(respond::value(&json!({"data": data})))
    })
    .await
}

fn app(meta: &Meta, headers: &HeaderMap, access: &Access, id: &str, verb: &str) -> Result<(), Refusal> {
    if id != meta.config.app_id {
        return Err(Refusal::no_object(id, verb));
    }
    meta.app_token(headers, access)
}

fn call(id: &str) -> Call<'_> {
    Call {
        endpoint: "subscriptions",
        object_id: id,
        ..Call::default()
    }
}

impl Request {
    /// What the body says, and where it is silent what the query says.
    fn or(self, query: &Self) -> Self {
        Self {
            object: self.object.or_else(|| query.object.clone()),
            callback_url: self.callback_url.or_else(|| query.callback_url.clone()),
            verify_token: self.verify_token.or_else(|| query.verify_token.clone()),
            fields: self.fields.or_else(|| query.fields.clone()),
        }
    }
}
