use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Edge;

/// What Meta asks when the webhook is configured.
#[derive(Deserialize)]
struct Handshake {
    #[serde(rename = "hub.mode")]
    mode: String,
    #[serde(rename = "hub.verify_token")]
    verify_token: String,
    #[serde(rename = "hub.challenge")]
    challenge: String,
}

/// Echoes the challenge to whoever knows the token; everyone else gets an empty 403.
pub(super) async fn handshake(State(edge): State<Arc<Edge>>, uri: Uri) -> Response {
    // A parameter that is missing or there twice is no handshake.
    let accepted = Query::<Handshake>::try_from_uri(&uri).ok().filter(|Query(asked)| {
        // Hashing first makes lengths equal: comparing tells nothing, not even how long the token is.
        let knows: bool = Sha256::digest(&asked.verify_token)
            .ct_eq(&edge.verify_token_sha256)
            .into();
        knows && asked.mode == "subscribe" && is_challenge(&asked.challenge)
    });
    if let Some(Query(asked)) = accepted {
        edge.meter.handshake_accepted.increment(1);
        let headers = [
            (header::CONTENT_TYPE, "text/plain"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (headers, asked.challenge).into_response()
    } else {
        edge.meter.handshake_refused.increment(1);
        StatusCode::FORBIDDEN.into_response()
    }
}

/// What we are willing to echo: nothing that a browser could take for a page.
fn is_challenge(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_challenges_are_echoed() {
        for good in ["1158201444", "a-Z_9", &"9".repeat(128)] {
            assert!(is_challenge(good), "{good}");
        }
        for bad in ["", &"9".repeat(129), "<b>", "1 2", "é", "1\n2", "%41"] {
            assert!(!is_challenge(bad), "{bad}");
        }
    }
}
