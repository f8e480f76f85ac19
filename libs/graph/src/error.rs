use std::time::Duration;

use serde::Deserialize;

/// Meta's error object. `details` can quote user data: it is for the decision, never for logs.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("Meta answered with error {code}")]
pub struct GraphError {
    /// Meta's code: what decisions rest on.
    pub code: i32,
    /// Meta's subcode, deprecated; 0 when absent.
    pub subcode: i32,
    /// Meta says that it will pass.
    pub is_transient: bool,
    /// HTTP status it came with; 0 when it came in a webhook.
    pub http_status: u16,
    /// Meta's own explanation.
    pub details: String,
    /// Meta's trace id, for Meta's support.
    pub fbtrace_id: String,
    /// When calls are taken again, by the headers of Meta's answer.
    pub regain_after: Option<Duration>,
}

#[derive(Deserialize)]
struct Envelope {
    error: Wire,
}

#[derive(Deserialize)]
struct Wire {
    // All three are Meta's own requirement: a gateway's error that happens to carry a code is not Meta's word.
    code: i32,
    #[serde(rename = "type")]
    _type: String,
    message: String,
    #[serde(default)]
    error_subcode: Option<i32>,
    #[serde(default)]
    is_transient: Option<bool>,
    #[serde(default)]
    error_data: Option<Data>,
    #[serde(default)]
    fbtrace_id: Option<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    details: Option<String>,
}

impl GraphError {
    /// The error object in an answer's body; `None` when there is no well-formed one.
    pub fn parse(body: &[u8], http_status: u16) -> Option<Self> {
        let wire = serde_json::from_slice::<Envelope>(body).ok()?.error;
        let details = wire.error_data.and_then(|data| data.details).unwrap_or(wire.message);
        Some(Self {
            code: wire.code,
            subcode: wire.error_subcode.unwrap_or(0),
            is_transient: wire.is_transient.unwrap_or(false),
            http_status,
            details,
            fbtrace_id: wire.fbtrace_id.unwrap_or_default(),
            regain_after: None,
        })
    }

    /// An error that came in a webhook.
    pub fn from_code(code: i32) -> Self {
        Self {
            code,
            subcode: 0,
            is_transient: false,
            http_status: 0,
            details: String::new(),
            fbtrace_id: String::new(),
            regain_after: None,
        }
    }
}

impl std::fmt::Debug for GraphError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GraphError")
            .field("code", &self.code)
            .field("subcode", &self.subcode)
            .field("http_status", &self.http_status)
            .field("fbtrace_id", &self.fbtrace_id)
            .finish_non_exhaustive()
    }
}
