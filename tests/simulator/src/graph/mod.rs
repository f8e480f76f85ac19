//! The Graph API.

mod accounts;
mod admit;
mod media;
mod messages;
mod oauth;
mod objects;
mod receipts;
mod subscriptions;
mod templates;

use std::sync::{Arc, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::errors::Refusal;
use crate::faults::{Answer, Call, Plan};
use crate::meta::Meta;
use crate::respond::{self, Abort};

/// The routes.
pub(crate) fn routes() -> Router<Arc<Meta>> {
    Router::new()
        .route("/oauth/access_token", get(oauth::access_token))
        .route("/{version}/oauth/access_token", get(oauth::access_token))
        .route("/{version}/debug_token", get(oauth::debug_token))
        .route("/{version}/{id}", get(objects::get).delete(media::delete))
        .route("/{version}/{id}/phone_numbers", get(accounts::phone_numbers))
        .route("/{version}/{id}/messages", post(messages::send))
        .route(
            "/{version}/{id}/media",
            post(media::upload).layer(DefaultBodyLimit::max(media::MOST)),
        )
        .route("/whatsapp_business/attachments/", get(media::download))
        .route("/{version}/{id}/message_templates", get(templates::list))
        .route(
            "/{version}/{id}/subscribed_apps",
            get(accounts::subscribed_apps)
                .post(accounts::subscribe)
                .delete(accounts::unsubscribe),
        )
        .route(
            "/{version}/{id}/subscriptions",
            get(subscriptions::list).post(subscriptions::subscribe),
        )
        .fallback(unknown)
}

async fn unknown(uri: Uri) -> Refusal {
    Refusal::new(404, 2500, format!("Unknown path components: {}", uri.path()))
}

/// Answers a call: with what `execute` says, unless a fault says otherwise.
async fn answer(
    meta: &Meta,
    version: &str,
    call: Call<'_>,
    execute: impl AsyncFnOnce(&Plan) -> Result<Response, Refusal>,
) -> Response {
    meta.counts.calls.add(1);
    let trace = meta.ids.fbtrace();
    let plan = meta.faults.plan(&call, &meta.ids);
    sleep_for(plan.before).await;
    let result = match (&plan.answer, known_version(version)) {
        (Some(Answer::Refuse(refusal)), _) => Err(refusal.clone()),
        (Some(Answer::ResetBefore), _) => return respond::abort(Abort::Reset),
        (Some(Answer::Raw { execute: false, .. }), _) => Ok(Response::default()),
        (_, Err(refusal)) => Err(refusal),
        (_, Ok(())) => execute(&plan).await,
    };
    sleep_for(plan.after).await;
    let mut response = match result {
        Ok(truth) => distort(plan.answer, truth).await,
        Err(refusal) => {
            meta.counts.refuse(refusal.code);
            refusal.response(&trace)
        }
    };
    respond::trace(&mut response, &trace);
    if call.managed
        && let Some(usage) = usage(meta, call.object_id)
    {
        respond::usage(&mut response, &usage);
    }
    response
}

/// How many calls of its management the account of this object has had.
fn usage(meta: &Meta, id: &str) -> Option<String> {
    let waba = meta.number(id).map(|number| number.waba_id.clone());
    let waba = meta.waba(waba.as_deref().unwrap_or(id));
    let waba = waba.or_else(|| templates::owner(meta, id))?;
    let mut usage = waba.account.usage.lock().unwrap_or_else(PoisonError::into_inner);
    Some(usage.header(&waba.id, !waba.numbers.is_empty(), meta.now_ms()))
}

async fn sleep_for(duration: std::time::Duration) {
    if !duration.is_zero() {
        sleep(duration).await;
    }
}

/// Meta knows versions from v21.0 on.
fn known_version(version: &str) -> Result<(), Refusal> {
    let number = version.strip_prefix('v').and_then(|version| version.split_once('.'));
    let known = number.is_some_and(|(major, minor)| {
        major.parse::<u32>().is_ok_and(|major| (21..=40).contains(&major)) && minor.parse::<u32>().is_ok()
    });
    if known {
        return Ok(());
    }
    Err(Refusal::new(
        400,
        2635,
        "(#2635) You are calling a deprecated version of the Ads API. Please update to the latest version.",
    ))
}

/// What the caller gets in place of the truth.
async fn distort(answer: Option<Answer>, truth: Response) -> Response {
    match answer {
        None | Some(Answer::Refuse(_) | Answer::ResetBefore) => truth,
        Some(Answer::Lost) => respond::abort(Abort::Close),
        Some(Answer::ResetAfter) => respond::abort(Abort::Reset),
        Some(Answer::Truncated) => {
            let body = axum::body::to_bytes(truth.into_body(), usize::MAX)
                .await
                .unwrap_or_default();
            respond::truncated(&body)
        }
        Some(Answer::NonJson) => raw(200, "text/html", "<!DOCTYPE html><title>Facebook</title>"),
        Some(Answer::NoId) => raw(
            200,
            "application/json",
            r#"{"messaging_product":"whatsapp","contacts":[],"messages":[]}"#,
        ),
        Some(Answer::Raw {
            status,
            content_type,
            body,
            ..
        }) => raw(status, &content_type, &body),
    }
}

fn raw(status: u16, content_type: &str, body: &str) -> Response {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    if let Ok(value) = content_type.parse() {
        response.headers_mut().insert(axum::http::header::CONTENT_TYPE, value);
    }
    response
}

/// The parameters of a POST: a form, or a JSON object.
fn parameters<T: DeserializeOwned + Default>(headers: &HeaderMap, body: &[u8]) -> Result<T, Refusal> {
    if body.is_empty() {
        return Ok(T::default());
    }
    let content_type = headers
        .get(axum::http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let parsed = if content_type.is_some_and(|is| is.starts_with("application/json")) {
        serde_json::from_slice(body).ok()
    } else {
        let query = std::str::from_utf8(body)
            .ok()
            .and_then(|form| format!("/?{form}").parse::<Uri>().ok());
        query
            .and_then(|uri| axum::extract::Query::try_from_uri(&uri).ok())
            .map(|axum::extract::Query(form)| form)
    };
    parsed.ok_or_else(|| Refusal::new(400, 100, "(#100) Invalid parameter"))
}
