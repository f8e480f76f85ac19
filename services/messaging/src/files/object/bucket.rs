//! As much of S3 as the store asks for, over HTTP: objects, uploads in parts, and a count of what is unfinished.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A bucket called `files`. Gone when dropped.
pub(super) struct Bucket {
    url: String,
    pub(super) held: Arc<Mutex<Held>>,
    server: JoinHandle<()>,
}

/// What it holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) objects: BTreeMap<String, Vec<u8>>,
    /// Parts of uploads that are neither completed nor aborted, by upload.
    pub(super) uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    pub(super) largest_body: usize,
    begun: u32,
    /// Answers 503 to so many calls.
    pub(super) failures: u32,
}

type Shared = State<Arc<Mutex<Held>>>;

impl Bucket {
    pub(super) async fn start() -> Self {
        let held = Arc::<Mutex<Held>>::default();
        let router = Router::new()
            .route("/files/{*key}", any(answer))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(Arc::clone(&held));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        #[expect(clippy::disallowed_methods, reason = "a test's own server")]
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { url, held, server }
    }

    /// The variables by which it is found.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT", self.url.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("PATH", "/nothing/of/ours"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(held): Shared,
    method: Method,
    Path(key): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut held = held.lock().expect("whole");
    if !headers.contains_key("authorization") {
        return StatusCode::FORBIDDEN.into_response();
    }
    if held.failures > 0 {
        held.failures -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    held.largest_body = held.largest_body.max(body.len());
    match (method, query.get("uploadId")) {
        (Method::POST, None) => {
            held.begun += 1;
            let id = format!("upload-{}", held.begun);
            held.uploads.insert(id.clone(), BTreeMap::new());
            format!("<InitiateMultipartUploadResult><Bucket>files</Bucket><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>").into_response()
        }
        (Method::POST, Some(id)) => match held.uploads.remove(id) {
            Some(parts) => {
                held.objects.insert(key, parts.into_values().flatten().collect());
                "<CompleteMultipartUploadResult><ETag>\"done\"</ETag></CompleteMultipartUploadResult>".into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        (Method::PUT, Some(id)) => {
            let number = query["partNumber"].parse().expect("a number");
            match held.uploads.get_mut(id) {
                Some(parts) => {
                    parts.insert(number, body.to_vec());
                    [("etag", format!("\"part-{number}\""))].into_response()
                }
                None => StatusCode::NOT_FOUND.into_response(),
            }
        }
        (Method::PUT, None) => {
            held.objects.insert(key, body.to_vec());
            [("etag", "\"whole\"")].into_response()
        }
        (Method::DELETE, Some(id)) => match held.uploads.remove(id) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        (Method::DELETE, None) => {
            held.objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        (_, _) => match held.objects.get(&key) {
            Some(bytes) => (
                [("etag", "\"x\""), ("last-modified", "Mon, 23 Nov 2026 10:00:00 GMT")],
                bytes.clone(),
            )
                .into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
    }
}
