//! Meta's refusals, in Meta's shape.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::respond;

/// A refusal: what stands in the `error` object, and the HTTP status around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The HTTP status.
    pub http_status: u16,
    /// Meta's code.
    pub code: i32,
    /// Text for people.
    pub message: String,
    /// Meta's class of the error.
    #[serde(default = "oauth_exception")]
    pub r#type: String,
    /// Meta's second code.
    #[serde(default)]
    pub subcode: Option<i32>,
    /// What stands in `error_data.details`.
    #[serde(default)]
    pub details: Option<String>,
    /// Whether Meta calls it transient.
    #[serde(default)]
    pub is_transient: Option<bool>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    r#type: &'a str,
    code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_data: Option<Data<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_subcode: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_transient: Option<bool>,
    fbtrace_id: &'a str,
}

#[derive(Serialize)]
struct Data<'a> {
    messaging_product: &'static str,
    details: &'a str,
}

fn oauth_exception() -> String {
    "OAuthException".to_owned()
}

// === impl Refusal ===

impl Refusal {
    /// A refusal of type `OAuthException`.
    pub fn new(http_status: u16, code: i32, message: impl Into<String>) -> Self {
        Self {
            http_status,
            code,
            message: message.into(),
            r#type: oauth_exception(),
            subcode: None,
            details: None,
            is_transient: None,
        }
    }

    /// The refusal with its usual HTTP status and text, for the codes that tests provoke; others get 400 and a plain text.
    pub fn of_code(code: i32) -> Self {
        let (http_status, title) = match code {
            0 => (401, "AuthException"),
            1 => (400, "API Unknown"),
            2 => (503, "API Service"),
            3 => (500, "API Method"),
            4 => (400, "API Too Many Calls"),
            10 => (403, "Permission Denied"),
            100 => (400, "Invalid parameter"),
            190 => (401, "Access token has expired"),
            368 => (403, "Temporarily blocked for policies violations"),
            80007 => (400, "Rate limit issues"),
            130_429 => (400, "Rate limit hit"),
            130_472 => (400, "User's number is part of an experiment"),
            131_000 => (500, "Something went wrong"),
            131_005 => (403, "Access denied"),
            131_008 => (400, "Required parameter is missing"),
            131_020 => (400, "Group not found"),
            33 | 131_009 => (400, "Parameter value is not valid"),
            131_016 => (500, "Service unavailable"),
            131_021 => (400, "Recipient cannot be sender"),
            131_026 => (400, "Message undeliverable"),
            131_030 => (400, "Recipient phone number not in allowed list"),
            131_031 => (403, "Account has been locked"),
            131_042 => (400, "Business eligibility payment issue"),
            131_045 => (500, "Incorrect certificate"),
            131_047 => (400, "Re-engagement message"),
            131_048 => (400, "Spam rate limit hit"),
            131_049 => (
                400,
                "This message was not delivered to maintain healthy ecosystem engagement",
            ),
            131_050 => (400, "User has stopped receiving marketing messages from this business"),
            131_051 => (400, "Unsupported message type"),
            131_053 => (400, "Media upload error"),
            131_056 => (400, "(Business Account, Consumer Account) pair rate limit hit"),
            131_057 => (500, "Account in maintenance mode"),
            131_062 => (400, "Business-scoped user id is not supported for this message"),
            131_063 => (400, "Marketing messages are disabled on Cloud API"),
            132_000 => (400, "Number of parameters does not match the expected number of params"),
            132_001 => (404, "Template name does not exist in the translation"),
            132_005 => (400, "Translated text too long"),
            132_012 => (400, "Parameter format does not match format in the created template"),
            132_015 => (400, "Template is paused"),
            132_016 => (400, "Template is disabled"),
            132_018 => (400, "There was an error in the parameters of the template"),
            133_004 => (503, "Server temporarily unavailable"),
            133_010 => (400, "Phone number not registered"),
            _ => (400, "Error"),
        };
        Self::new(http_status, code, format!("(#{code}) {title}"))
    }

    /// With `error_data.details`.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = Some(details.into());
        self
    }

    /// With a second code.
    #[must_use]
    pub fn subcode(mut self, subcode: i32) -> Self {
        self.subcode = Some(subcode);
        self
    }

    /// Of another of Meta's classes.
    #[must_use]
    pub fn of_type(mut self, class: &str) -> Self {
        class.clone_into(&mut self.r#type);
        self
    }

    /// No object with this id, or none that the token may see: Meta tells the two apart as little as we do.
    pub fn no_object(id: &str, verb: &str) -> Self {
        Self::new(
            400,
            100,
            format!(
                "Unsupported {verb} request. Object with ID '{id}' does not exist, cannot be loaded due to missing \
                 permissions, or does not support this operation"
            ),
        )
        .subcode(33)
        .of_type("GraphMethodException")
    }

    /// The body, with this trace id.
    pub(crate) fn body(&self, fbtrace_id: &str) -> Vec<u8> {
        let error = ErrorObject {
            message: &self.message,
            r#type: &self.r#type,
            code: self.code,
            error_data: self.details.as_deref().map(|details| Data {
                messaging_product: "whatsapp",
                details,
            }),
            error_subcode: self.subcode,
            is_transient: self.is_transient,
            fbtrace_id,
        };
        respond::json_bytes(&Body { error })
    }

    /// The answer, with this trace id.
    pub(crate) fn response(&self, fbtrace_id: &str) -> Response {
        let status = StatusCode::from_u16(self.http_status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = respond::json(status, self.body(fbtrace_id));
        respond::trace(&mut response, fbtrace_id);
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.response("AunknownTraceOfRefusal0")
    }
}
