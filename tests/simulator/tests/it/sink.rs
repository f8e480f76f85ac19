//! A callback that keeps what it is sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use outeract_simulator::Config;
use serde_json::Value;
use sha2::Sha256;
use tokio::task::JoinSet;

#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    secret: String,
    verify_token: String,
    refuse: AtomicUsize,
    bodies: Mutex<Vec<Bytes>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Sink {
    pub(crate) async fn start(config: &Config) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let url = format!("http://{}/webhooks", listener.local_addr().expect("address"));
        let inner = Arc::new(Inner {
            secret: config.app_secret.clone(),
            verify_token: config.verify_token.clone(),
            refuse: AtomicUsize::new(0),
            bodies: Mutex::default(),
            tasks: Mutex::default(),
        });
        let router = Router::new()
            .route("/webhooks", get(handshake).post(receive))
            .with_state(inner.clone());
        inner.tasks.lock().expect("lock").spawn(async move {
            axum::serve(listener, router).await.expect("serves");
        });
        Self { url, inner }
    }

    /// Answers this many POSTs with 503.
    pub(crate) fn refuse(&self, times: usize) {
        self.inner.refuse.store(times, Ordering::SeqCst);
    }

    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        self.inner.bodies.lock().expect("lock").clone()
    }

    /// The values of this field so far, each with the account's id and the time.
    pub(crate) fn changes(&self, field: &str) -> Vec<(String, i64, Value)> {
        let mut changes = Vec::new();
        for body in self.bodies() {
            let envelope: Value = serde_json::from_slice(&body).expect("json");
            for entry in envelope["entry"].as_array().expect("entries") {
                let of = entry["changes"].as_array().expect("changes").iter();
                changes.extend(of.filter(|change| change["field"] == field).map(|change| {
                    let id = entry["id"].as_str().expect("id").to_owned();
                    (id, entry["time"].as_i64().unwrap_or(0), change["value"].clone())
                }));
            }
        }
        changes
    }

    /// All messages and statuses so far.
    pub(crate) fn items(&self) -> Vec<Value> {
        let mut items = Vec::new();
        for body in self.bodies() {
            let envelope: Value = serde_json::from_slice(&body).expect("json");
            let entries = envelope["entry"].as_array().into_iter().flatten();
            for change in entries.flat_map(|entry| entry["changes"].as_array().expect("changes")) {
                for list in ["messages", "statuses"] {
                    items.extend(change["value"][list].as_array().into_iter().flatten().cloned());
                }
            }
        }
        items
    }
}

async fn handshake(
    State(inner): State<Arc<Inner>>,
    Query(query): Query<Vec<(String, String)>>,
) -> (StatusCode, String) {
    let value = |key: &str| {
        query
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.clone())
    };
    if value("hub.mode").as_deref() == Some("subscribe")
        && value("hub.verify_token") == Some(inner.verify_token.clone())
    {
        return (StatusCode::OK, value("hub.challenge").unwrap_or_default());
    }
    (StatusCode::FORBIDDEN, String::new())
}

async fn receive(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let expected = format!("sha256={}", hmac_hex(&inner.secret, &body));
    if headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok()) != Some(&expected) {
        return StatusCode::UNAUTHORIZED;
    }
    if inner
        .refuse
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        .is_ok()
    {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    inner.bodies.lock().expect("lock").push(body);
    StatusCode::OK
}

pub(crate) fn hmac_hex(secret: &str, message: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("key");
    mac.update(message);
    hex::encode(mac.finalize().into_bytes())
}
