//! The floor for benchmarks: no checks, no ledger, no webhooks; the same answer at once, with a new message id each time.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;

static NEXT: AtomicU64 = AtomicU64::new(0);
static JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");

/// Whether the path is the floor's: `/bare/…`, whatever follows.
pub(crate) fn wants(path: &str) -> bool {
    path.starts_with("/bare/")
}

/// Reads the body and answers.
pub(crate) async fn respond(request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
    request.into_body().collect().await.map_err(io::Error::other)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let body = format!(
        r#"{{"messaging_product":"whatsapp","contacts":[{{"input":"+16505551234","wa_id":"16505551234"}}],"messages":[{{"id":"wamid.BARE{number:024}"}}]}}"#
    );
    let mut response = Response::new(Body::from(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, JSON.clone());
    Ok(response)
}
