use std::fmt::{self, Write as _};

use bytes::Bytes;
use http::HeaderMap;
use outeract_domain::{PhoneNumberId, Wamid};
use outeract_egress::{Client as Http, SendError};
use serde::Deserialize;

use crate::{GraphError, Token, Usage, regain, wire};

/// Calls the Graph API: every call once, every call with the app secret's proof.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) http: Http,
    // `https://graph.facebook.com/v25.0`
    pub(crate) base: String,
}

/// What became of a send. A Graph error object means that Meta did not accept; whatever is not clear is `Unknown`.
#[derive(Clone)]
pub enum Outcome {
    /// Meta accepted the message.
    Accepted {
        /// Meta's id of the message.
        wamid: Wamid,
        /// The recipient's WhatsApp id, where Meta gave one.
        wa_id: Option<String>,
        /// The recipient's business-scoped user id, where Meta gave one.
        user_id: Option<String>,
        /// `held_for_quality_assessment` or `paused`, where Meta said so.
        pacing: Option<String>,
    },
    /// Meta did not accept it.
    Rejected(GraphError),
    /// The request never left.
    NeverSent(SendError),
    /// The request left, and its fate is not known. What came back instead of a clear answer: an HTTP status, or 0.
    Unknown {
        /// HTTP status of the answer; 0: there was none.
        http_status: u16,
    },
}

/// An answer that is not an error, as Meta wrote it.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The body.
    pub body: Bytes,
    /// The headers, among them Meta's usage figures.
    pub headers: HeaderMap,
}

/// A call other than a send failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Meta refused it.
    #[error(transparent)]
    Refused(#[from] GraphError),
    /// Meta was not reached, or its answer was cut off.
    #[error("Meta gave no whole answer")]
    Unreachable(#[from] SendError),
    /// Meta's answer is not what it documents.
    #[error("Meta's answer cannot be understood (HTTP {http_status})")]
    Unintelligible {
        /// HTTP status of the answer.
        http_status: u16,
    },
    /// The call cannot be written as a request.
    #[error(transparent)]
    Invalid(#[from] outeract_egress::Invalid),
    /// A URL that Meta named is not one of Meta's: the token does not go there.
    #[error("the URL is not one of Meta's")]
    Foreign,
}

#[derive(Deserialize)]
struct Sent {
    #[serde(default)]
    contacts: Vec<SentContact>,
    messages: Vec<SentMessage>,
}

#[derive(Default, Deserialize)]
struct SentContact {
    #[serde(default)]
    wa_id: Option<String>,
    #[serde(default)]
    user_id: Option<String>,
}

#[derive(Deserialize)]
struct SentMessage {
    id: String,
    #[serde(default)]
    message_status: Option<String>,
}

#[derive(Deserialize)]
struct Done {
    success: bool,
}

impl fmt::Debug for Outcome {
    // The recipient's ids are private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { pacing, .. } => f
                .debug_struct("Accepted")
                .field("pacing", pacing)
                .finish_non_exhaustive(),
            Self::Rejected(error) => f.debug_tuple("Rejected").field(error).finish(),
            Self::NeverSent(error) => f.debug_tuple("NeverSent").field(error).finish(),
            Self::Unknown { http_status } => f.debug_struct("Unknown").field("http_status", http_status).finish(),
        }
    }
}

// === impl Client ===

impl Client {
    /// Calls `base_url` (without a slash at its end), in `version` (`v25.0`).
    pub fn new(http: Http, base_url: &str, version: &str) -> Self {
        Self {
            http,
            base: format!("{}/{version}", base_url.trim_end_matches('/')),
        }
    }

    /// Sends a message from `number`: exactly one request.
    pub async fn send_message(&self, token: &Token, number: &PhoneNumberId, body: Vec<u8>) -> Outcome {
        let url = self.url(&format!("{number}/messages"), &[("appsecret_proof", token.proof())]);
        let Ok(request) = self.http.post_json(&url, token.access_token(), body) else {
            return Outcome::NeverSent(SendError::NeverSent(outeract_egress::Cause::Connect));
        };
        match self.http.send(request).await {
            Ok(response) => {
                let mut outcome = outcome(response.status.as_u16(), &response.body);
                if let Outcome::Rejected(error) = &mut outcome {
                    error.regain_after = regain::regain_after(&response.headers);
                }
                outcome
            }
            Err(error @ SendError::NeverSent(_)) => Outcome::NeverSent(error),
            Err(SendError::AfterFirstByte(_)) => Outcome::Unknown { http_status: 0 },
        }
    }

    /// Marks a message from a user to `number`, and every earlier one of the conversation, as read; with `typing` the user also sees for 25 seconds that an answer is being written. Doing it
    /// again changes nothing.
    pub async fn mark_read(
        &self,
        token: &Token,
        number: &PhoneNumberId,
        wamid: &Wamid,
        typing: bool,
    ) -> Result<(), CallError> {
        let body = if typing {
            wire::Read::and_typing(wamid)
        } else {
            wire::Read::new(wamid)
        };
        let path = format!("{number}/messages");
        let reply = self.post(token, &path, &[], body.to_json()).await?;
        match serde_json::from_slice::<Done>(&reply.body) {
            Ok(Done { success: true }) => Ok(()),
            Ok(Done { success: false }) | Err(_) => Err(CallError::Unintelligible { http_status: 200 }),
        }
    }

    /// `GET {path}?{query}`; `path` without a slash in front.
    pub async fn get(&self, token: &Token, path: &str, query: &[(&str, &str)]) -> Result<Reply, CallError> {
        let request = self
            .http
            .get(&self.authorised_url(token, path, query), token.access_token())?;
        self.call(request).await
    }

    /// As [`Self::get`], with what Meta says of the calls used up, also when it refuses.
    pub(crate) async fn get_measured(
        &self,
        token: &Token,
        path: &str,
        query: &[(&str, &str)],
    ) -> (Result<Reply, CallError>, Usage) {
        let request = self
            .http
            .get(&self.authorised_url(token, path, query), token.access_token());
        match request {
            Ok(request) => self.measured(request).await,
            Err(error) => (Err(error.into()), Usage::default()),
        }
    }

    /// `POST {path}?{query}` with a JSON body.
    pub async fn post(
        &self,
        token: &Token,
        path: &str,
        query: &[(&str, &str)],
        json: Vec<u8>,
    ) -> Result<Reply, CallError> {
        let request = self
            .http
            .post_json(&self.authorised_url(token, path, query), token.access_token(), json)?;
        self.call(request).await
    }

    pub(crate) async fn call(&self, request: outeract_egress::Request) -> Result<Reply, CallError> {
        self.measured(request).await.0
    }

    async fn measured(&self, request: outeract_egress::Request) -> (Result<Reply, CallError>, Usage) {
        let response = match self.http.send(request).await {
            Ok(response) => response,
            Err(error) => return (Err(error.into()), Usage::default()),
        };
        let usage = Usage::of(&response.headers);
        let http_status = response.status.as_u16();
        let reply = if let Some(mut error) = GraphError::parse(&response.body, http_status) {
            error.regain_after = regain::regain_after(&response.headers);
            Err(error.into())
        } else if response.status.is_success() {
            Ok(Reply {
                body: response.body,
                headers: response.headers,
            })
        } else {
            Err(CallError::Unintelligible { http_status })
        };
        (reply, usage)
    }

    pub(crate) fn authorised_url(&self, token: &Token, path: &str, query: &[(&str, &str)]) -> String {
        let mut query = query.to_vec();
        query.push(("appsecret_proof", token.proof()));
        self.url(path, &query)
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> String {
        let mut url = format!("{}/{path}", self.base);
        for (index, (key, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(key);
            url.push('=');
            percent_encode(value, &mut url);
        }
        url
    }
}

/// Reads a send's answer. An id in a 2xx is an acceptance whatever else stands there; then an error object is a refusal; nothing else is clear.
fn outcome(http_status: u16, body: &[u8]) -> Outcome {
    let success = (200..300).contains(&http_status);
    let sent = success.then(|| serde_json::from_slice::<Sent>(body).ok()).flatten();
    if let Some(Sent { contacts, messages }) = sent
        && let Some(message) = messages.into_iter().next()
        && let Some(wamid) = Wamid::new(message.id)
    {
        let SentContact { wa_id, user_id } = contacts.into_iter().next().unwrap_or_default();
        let pacing = message.message_status.filter(|status| status != "accepted");
        return Outcome::Accepted {
            wamid,
            wa_id,
            user_id,
            pacing,
        };
    }
    GraphError::parse(body, http_status).map_or(Outcome::Unknown { http_status }, Outcome::Rejected)
}

fn percent_encode(value: &str, url: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~,".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_2xx_with_an_id_is_an_acceptance_and_only_an_error_object_a_refusal() {
        let sent = br#"{"messaging_product":"whatsapp","contacts":[{"input":"+1","wa_id":"1","user_id":"US.1"}],"messages":[{"id":"wamid.A"}]}"#;
        assert!(matches!(
            outcome(200, sent),
            Outcome::Accepted {
                wa_id: Some(_),
                user_id: Some(_),
                pacing: None,
                ..
            }
        ));
        let held = br#"{"messages":[{"id":"wamid.A","message_status":"held_for_quality_assessment"}]}"#;
        assert!(matches!(outcome(200, held), Outcome::Accepted { pacing: Some(_), .. }));

        let refused =
            br#"{"error":{"message":"(#131047)","type":"OAuthException","code":131047,"error_data":{"details":"..."},"fbtrace_id":"A"}}"#;
        for status in [200, 400, 500] {
            assert!(
                matches!(
                    outcome(status, refused),
                    Outcome::Rejected(GraphError { code: 131_047, .. })
                ),
                "{status}"
            );
        }
        let unclear: [(u16, &[u8]); 9] = [
            (200, b""),
            (200, b"<html>"),
            (200, br#"{"messages":[]}"#),
            (200, br#"{"messages":[{"id":""}]}"#),
            (200, &sent[..40]),
            (500, sent),
            (502, b"<html>Bad Gateway</html>"),
            (500, br#"{"error":"text"}"#),
            // A gateway's own error, not Meta's.
            (503, br#"{"error":{"code":503,"message":"upstream"}}"#),
        ];
        for (status, body) in unclear {
            assert!(
                matches!(outcome(status, body), Outcome::Unknown { http_status } if http_status == status),
                "{status}"
            );
        }
    }

    #[test]
    fn queries_are_encoded() {
        let mut url = String::new();
        percent_encode("a|b c&d=ü,e", &mut url);
        assert_eq!(url, "a%7Cb%20c%26d%3D%C3%BC,e");
    }
}
