//! The floor for benchmarks: no checks, no ledger, no webhooks; an answer at once, for whomever the message is, with a new message id each time.

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
    let sent = request
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    let to = recipient(&sent).unwrap_or("+16505551234");
    let wa_id = to.trim_start_matches('+');
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let body = format!(
        r#"{{"messaging_product":"whatsapp","contacts":[{{"input":"{to}","wa_id":"{wa_id}"}}],"messages":[{{"id":"wamid.BARE{number:024}"}}]}}"#
    );
    let mut response = Response::new(Body::from(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, JSON.clone());
    Ok(response)
}

/// Of the body's JSON, the digits of `to`, as our client writes it.
fn recipient(sent: &[u8]) -> Option<&str> {
    const KEY: &str = r#""to":""#;
    let sent = std::str::from_utf8(sent).ok()?;
    let rest = &sent[sent.find(KEY)? + KEY.len()..];
    let to = &rest[..rest.find('"')?];
    to.bytes()
        .all(|byte| byte == b'+' || byte.is_ascii_digit())
        .then_some(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipient_is_read_where_there_is_one() {
        assert_eq!(
            recipient(br#"{"type":"text","to":"+14155551234","text":{}}"#),
            Some("+14155551234")
        );
        assert_eq!(recipient(br#"{"recipient":"US.1"}"#), None);
        assert_eq!(recipient(b"\xff"), None);
    }
}
