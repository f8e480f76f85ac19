use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use outeract_batch::SubmitError;
use outeract_domain::WebhookId;

use super::body::Refusal;
use super::{Durable, Edge, Storage};
use crate::ingest::NewPost;
use crate::sealed;

/// Where Meta signs.
const SIGNATURE: &str = "x-hub-signature-256";

/// Seconds until a queue has room again.
const SOON: HeaderValue = HeaderValue::from_static("1");
/// Seconds until the disk may have room again.
const ROOM: HeaderValue = HeaderValue::from_static("60");

/// Takes a webhook: signature over the bytes as they came, commit, 200. Nothing is parsed: whatever Meta signed is stored.
pub(super) async fn post(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if !is_plain(&head.headers) {
        edge.meter.encoded.increment(1);
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    if let Storage::Durable(durable) = &edge.storage
        && durable.board.over_budget()
    {
        edge.meter.over_budget.increment(1);
        return refused(come_back(ROOM));
    }
    // The place is held until the answer: it bounds what waits for the commit, too.
    let (body, _place) = match edge.intake.read(&head.headers, body).await {
        Ok(read) => read,
        Err(refusal) => return refuse(&edge, refusal),
    };
    if !is_signed(&edge, &head.headers, &body) {
        edge.meter.bad_signature.increment(1);
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match &edge.storage {
        Storage::Durable(durable) => store(&edge, durable, &body).await,
        Storage::None => StatusCode::OK.into_response(),
    }
}

/// No content encoding: the signature is over the bytes as Meta sent them, and nothing is unpacked before it is verified.
fn is_plain(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Exactly one signature, and it is right.
fn is_signed(edge: &Edge, headers: &HeaderMap, body: &[u8]) -> bool {
    let mut given = headers.get_all(SIGNATURE).iter();
    match (given.next(), given.next()) {
        (Some(signature), None) => edge.verifier.verify(body, signature.as_bytes()),
        _ => false,
    }
}

async fn store(edge: &Edge, durable: &Durable, body: &Bytes) -> Response {
    let id = WebhookId::new(&*durable.clock, &*durable.random);
    let post = NewPost {
        id,
        size: body.len(),
        body: durable
            .keyring
            .seal(&sealed::body(id.uuid().as_bytes()), body, &*durable.random),
    };
    match durable.ingest.submit(post).await {
        Ok(()) => {
            edge.meter.stored.increment(1);
            StatusCode::OK.into_response()
        }
        Err(SubmitError::Full) => {
            edge.meter.overloaded.increment(1);
            come_back(SOON)
        }
        // Logged once per flush, by ingest.
        Err(SubmitError::Closed | SubmitError::Aborted | SubmitError::Failed(_)) => {
            edge.meter.not_stored.increment(1);
            come_back(SOON)
        }
    }
}

fn refuse(edge: &Edge, refusal: Refusal) -> Response {
    refused(refusal_status(edge, refusal))
}

fn refused(mut response: Response) -> Response {
    // What is left of the body is not read, so nothing more can come on this connection: a client told so does not try.
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn refusal_status(edge: &Edge, refusal: Refusal) -> Response {
    match refusal {
        Refusal::TooLarge => {
            edge.meter.too_large.increment(1);
            StatusCode::PAYLOAD_TOO_LARGE.into_response()
        }
        Refusal::Overloaded => {
            edge.meter.overloaded.increment(1);
            come_back(SOON)
        }
        Refusal::TooSlow => {
            edge.meter.too_slow.increment(1);
            StatusCode::REQUEST_TIMEOUT.into_response()
        }
        Refusal::BrokenOff => {
            edge.meter.broken_off.increment(1);
            StatusCode::BAD_REQUEST.into_response()
        }
    }
}

/// Not stored: Meta keeps it and tries again, for days if need be.
fn come_back(after: HeaderValue) -> Response {
    let headers = [(header::RETRY_AFTER, after)];
    (StatusCode::SERVICE_UNAVAILABLE, headers).into_response()
}
