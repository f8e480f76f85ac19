//! How answers are written.

use std::io;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

/// Set on an answer that must not be written: the connection ends instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abort {
    /// With a FIN: the peer reads an end of file.
    Close,
    /// With an RST.
    Reset,
}

static TRACE: HeaderName = HeaderName::from_static("x-fb-trace-id");
static USAGE: HeaderName = HeaderName::from_static("x-business-use-case-usage");
static JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");

/// An answer of JSON.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON.clone());
    response
}

/// An answer of JSON made from a value.
pub(crate) fn value<T: Serialize + ?Sized>(value: &T) -> Response {
    json(StatusCode::OK, json_bytes(value))
}

/// An answer that ends the connection.
pub(crate) fn abort(how: Abort) -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(how);
    response
}

/// An answer whose connection ends after half of its promised body.
pub(crate) fn truncated(body: &[u8]) -> Response {
    let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
    let mut response = Response::new(Body::new(Half {
        data: Some(half),
        flushed: false,
        promised: body.len() as u64,
    }));
    response.headers_mut().insert(CONTENT_TYPE, JSON.clone());
    response
}

/// Adds Meta's trace id.
pub(crate) fn trace(response: &mut Response, fbtrace_id: &str) {
    if let Ok(value) = HeaderValue::from_str(fbtrace_id) {
        response.headers_mut().insert(TRACE.clone(), value);
    }
}

/// Adds what the account's management was called.
pub(crate) fn usage(response: &mut Response, usage: &str) {
    if let Ok(value) = HeaderValue::from_str(usage) {
        response.headers_mut().insert(USAGE.clone(), value);
    }
}

/// JSON as Meta writes it: pure ASCII.
pub(crate) fn json_bytes<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Ascii);
    // Our own values have string keys only and write to memory: nothing can fail.
    let _ = value.serialize(&mut serializer);
    bytes
}

/// Writes `\uXXXX` for what is not ASCII, and `\/` for a slash, as Meta does: a body parsed and written anew is never the same bytes.
struct Ascii;

struct Half {
    data: Option<Bytes>,
    flushed: bool,
    promised: u64,
}

// === impl Ascii ===

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, character) in fragment.char_indices() {
            if character.is_ascii() && character != '/' {
                continue;
            }
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            plain = at + character.len_utf8();
            if character == '/' {
                writer.write_all(b"\\/")?;
                continue;
            }
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        CompactFormatter.write_char_escape(writer, escape)
    }
}

// === impl Half ===

impl http_body::Body for Half {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        if let Some(data) = self.data.take() {
            return std::task::Poll::Ready(Some(Ok(http_body::Frame::data(data))));
        }
        // While a body is not ready, what came before it is written out.
        if !std::mem::replace(&mut self.flushed, true) {
            cx.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(Some(Err(io::Error::other("the rest is withheld"))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.promised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_ascii_and_means_the_same() {
        let text = "äöå 😀 a/b \"quoted\" \n";
        let bytes = json_bytes(text);
        assert_eq!(
            String::from_utf8(bytes.clone()).expect("ascii"),
            r#""\u00e4\u00f6\u00e5 \ud83d\ude00 a\/b \"quoted\" \n""#
        );
        assert_eq!(serde_json::from_slice::<String>(&bytes).expect("json"), text);
    }
}
