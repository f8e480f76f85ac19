use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, Stream, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Request, redirect};

/// Any error: of what is sent, only that it broke off matters.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Bounds of a client.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// For name, connection and TLS together.
    pub connect_timeout: Duration,
    /// For the whole exchange, body included.
    pub total_timeout: Duration,
    /// Most bytes of an answer's body.
    pub response_limit: usize,
    /// Most idle connections kept for a host.
    pub idle_connections: usize,
}

/// Sends requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    response_limit: usize,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

/// An answer whose body is read as it comes.
pub struct Streamed {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body. Nothing bounds its length; the client's time for the whole exchange bounds how long it may take.
    pub body: BoxStream<'static, Result<Bytes, SendError>>,
}

/// A file in a form, sent as it is read.
pub struct FilePart {
    /// Its MIME type.
    pub mime_type: String,
    /// Its length in bytes, which `body` must keep to.
    pub length: u64,
    body: Body,
}

/// The request cannot be made: a URL or header that is none, or a client that cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be made")]
pub struct Invalid(#[source] pub(crate) reqwest::Error);

/// There is no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Not one byte of the request has left: it is certain that the other side knows nothing of it.
    #[error("not sent: {0}")]
    NeverSent(Cause),
    /// The request may have arrived and may have been acted on.
    #[error("sent, without a whole answer: {0}")]
    AfterFirstByte(Cause),
}

/// Why there is no answer. Never names the URL, which can hold secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The name, the connection or TLS failed.
    #[error("no connection")]
    Connect,
    /// Time ran out.
    #[error("timeout")]
    Timeout,
    /// The connection broke, or the answer was no HTTP.
    #[error("connection broken")]
    Broken,
    /// The answer is longer than is accepted.
    #[error("answer too long")]
    TooLong,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            total_timeout: Duration::from_secs(20),
            response_limit: 64 * 1024,
            idle_connections: 512,
        }
    }
}

// === impl Client ===

impl Client {
    /// A client with these bounds.
    pub fn new(config: &Config) -> Result<Self, Invalid> {
        let http = reqwest::Client::builder()
            // A redirect would carry the token to another host.
            .redirect(redirect::Policy::none())
            // Who retries must know what a repetition costs: only the caller does.
            .retry(reqwest::retry::never())
            .no_proxy()
            // One request on a connection at a time: an error then speaks of this request alone.
            .http1_only()
            .connect_timeout(config.connect_timeout)
            .timeout(config.total_timeout)
            .pool_max_idle_per_host(config.idle_connections)
            .tcp_nodelay(true)
            .user_agent(concat!("outeract-whatsapp/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Invalid)?;
        Ok(Self {
            http,
            response_limit: config.response_limit,
        })
    }

    /// A request without body. `bearer` goes into the authorization header, which no log of this process shows.
    pub fn get(&self, url: &str, bearer: &str) -> Result<Request, Invalid> {
        self.request(Method::GET, url, bearer, None)
    }

    /// A request with a JSON body.
    pub fn post_json(&self, url: &str, bearer: &str, body: Vec<u8>) -> Result<Request, Invalid> {
        self.request(Method::POST, url, bearer, Some(body))
    }

    /// A request that deletes.
    pub fn delete(&self, url: &str, bearer: &str) -> Result<Request, Invalid> {
        self.request(Method::DELETE, url, bearer, None)
    }

    /// A request with a form of `fields` and, last, the file as its part `file`.
    pub fn post_form(
        &self,
        url: &str,
        bearer: &str,
        fields: &[(&'static str, &str)],
        file: FilePart,
    ) -> Result<Request, Invalid> {
        // The file's own name is nobody's business on the way: the receiver goes by the type.
        let part = Part::stream_with_length(file.body, file.length).file_name("file");
        let part = part.mime_str(&file.mime_type).map_err(Invalid)?;
        let form = fields
            .iter()
            .fold(Form::new(), |form, (name, value)| form.text(*name, (*value).to_owned()));
        let builder = self
            .http
            .post(url)
            .header(AUTHORIZATION, format!("Bearer {bearer}"))
            .multipart(form.part("file", part));
        authorised(builder)
    }

    /// Makes one attempt and reads the whole answer.
    pub async fn send(&self, request: Request) -> Result<Response, SendError> {
        let Streamed {
            status,
            headers,
            body: mut chunks,
        } = self.open(request).await?;
        let mut body = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            if body.len() + chunk.len() > self.response_limit {
                return Err(SendError::AfterFirstByte(Cause::TooLong));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response {
            status,
            headers,
            body: body.freeze(),
        })
    }

    /// Makes one attempt and leaves the answer's body to be read by the caller.
    pub async fn open(&self, request: Request) -> Result<Streamed, SendError> {
        let response = self.http.execute(request).await.map_err(|error| failed(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response
            .bytes_stream()
            .map(|chunk| chunk.map_err(|error| SendError::AfterFirstByte(cause(&error))));
        Ok(Streamed {
            status,
            headers,
            body: body.boxed(),
        })
    }

    fn request(&self, method: Method, url: &str, bearer: &str, json: Option<Vec<u8>>) -> Result<Request, Invalid> {
        let mut builder = self
            .http
            .request(method, url)
            .header(AUTHORIZATION, format!("Bearer {bearer}"));
        if let Some(body) = json {
            builder = builder
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(body);
        }
        authorised(builder)
    }
}

/// The request, its credential out of every log.
fn authorised(builder: reqwest::RequestBuilder) -> Result<Request, Invalid> {
    let mut request = builder.build().map_err(|error| Invalid(error.without_url()))?;
    if let Some(authorization) = request.headers_mut().get_mut(AUTHORIZATION) {
        authorization.set_sensitive(true);
    }
    Ok(request)
}

/// Errors of establishing a connection come before the first byte of the request; of any other it cannot be known.
fn failed(error: &reqwest::Error) -> SendError {
    if error.is_connect() {
        SendError::NeverSent(cause(error))
    } else {
        SendError::AfterFirstByte(cause(error))
    }
}

fn cause(error: &reqwest::Error) -> Cause {
    if error.is_timeout() {
        Cause::Timeout
    } else if error.is_connect() {
        Cause::Connect
    } else {
        Cause::Broken
    }
}

// === impl FilePart ===

impl FilePart {
    /// A file of `length` bytes that `body` yields. An error in `body` breaks the request off.
    pub fn new<E>(
        mime_type: impl Into<String>,
        length: u64,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Self
    where
        E: Into<BoxError> + 'static,
    {
        Self {
            mime_type: mime_type.into(),
            length,
            body: Body::wrap_stream(body),
        }
    }
}

impl fmt::Debug for FilePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilePart({} bytes of {})", self.length, self.mime_type)
    }
}

// === impl Streamed ===

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

// === impl SendError ===

impl SendError {
    /// Why there is no answer.
    pub fn cause(&self) -> Cause {
        match self {
            Self::NeverSent(cause) | Self::AfterFirstByte(cause) => *cause,
        }
    }
}
