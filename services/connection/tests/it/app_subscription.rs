//! The app's webhook subscription is made once a number is connected.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use outeract_graph::Token;
use outeract_seal::Secret;
use outeract_simulator::control::NewWorld;
use outeract_simulator::{Config, Effect, Match};
use outeract_testkit::{eventually, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::suite::{SOON, Suite};

/// A webhook edge that answers handshakes, once it is willing.
struct Edge {
    url: String,
    willing: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    _running: JoinSet<()>,
}

// === impl Edge ===

impl Edge {
    async fn start() -> Self {
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let (willing, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut running = JoinSet::new();
        running.spawn(serve(listener, Arc::clone(&willing), Arc::clone(&asked)));
        Self {
            url: format!("http://127.0.0.1:{port}/webhooks/whatsapp"),
            willing,
            asked,
            _running: running,
        }
    }
}

async fn serve(listener: TcpListener, willing: Arc<AtomicBool>, asked: Arc<AtomicUsize>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4_096];
        let read = stream.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..read]).into_owned();
        asked.fetch_add(1, Ordering::SeqCst);
        let challenge = request
            .split(['?', '&', ' '])
            .find_map(|part| part.strip_prefix("hub.challenge="))
            .unwrap_or_default();
        let right = request.contains("hub.verify_token=the-verify-token") && willing.load(Ordering::SeqCst);
        let (status, body) = if right {
            ("200 OK", challenge)
        } else {
            ("403 Forbidden", "")
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

async fn confirmed(suite: &Suite) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM connection.app_subscription)")
        .fetch_one(suite.db.admin())
        .await
        .unwrap()
}

#[tokio::test]
async fn the_app_is_subscribed_with_the_first_connection_and_refusals_are_tried_again() {
    let edge = Edge::start().await;
    let more = [
        ("CONNECTION_WEBHOOK_CALLBACK_URL", edge.url.as_str()),
        ("META_VERIFY_TOKEN", "the-verify-token"),
    ];
    let suite = Suite::start_with(&more).await;
    let world = suite.world(NewWorld::default()).await;
    let tenant = suite.tenant("Acme").await;
    assert_eq!(edge.asked.load(Ordering::SeqCst), 0, "nothing to hear of yet");

    // The connection does not depend on it.
    assert_eq!(suite.connect(&tenant, &world.token).await.len(), 1);
    eventually(SOON, async || edge.asked.load(Ordering::SeqCst) > 0).await;
    assert!(!confirmed(&suite).await);
    edge.willing.store(true, Ordering::SeqCst);
    eventually(SOON, async || confirmed(&suite).await).await;

    // A further connection finds everything as it should be.
    let asked = edge.asked.load(Ordering::SeqCst);
    let second = suite.world(NewWorld::default()).await;
    suite.connect(&tenant, &second.token).await;
    assert_eq!(edge.asked.load(Ordering::SeqCst), asked);
}

/// The fields that the app is subscribed to.
async fn fields(suite: &Suite) -> Vec<String> {
    let config = Config::default();
    let http = outeract_egress::Client::new(&outeract_egress::Config::default()).unwrap();
    let graph = outeract_graph::Client::new(http, &suite.meta.url(), "v25.0");
    let token = Token::of_app(&config.app_id, &Secret::new(config.app_secret));
    let path = format!("{}/subscriptions", config.app_id);
    let reply = graph.get(&token, &path, &[]).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    let fields = body["data"][0]["fields"].as_array().cloned().unwrap_or_default();
    fields
        .iter()
        .filter_map(|field| Some(field["name"].as_str()?.to_owned()))
        .collect()
}

#[tokio::test]
async fn every_field_that_is_understood_is_asked_for_and_fewer_where_meta_does_not_have_one() {
    let edge = Edge::start().await;
    edge.willing.store(true, Ordering::SeqCst);
    let more = [
        ("CONNECTION_WEBHOOK_CALLBACK_URL", edge.url.as_str()),
        ("META_VERIFY_TOKEN", "the-verify-token"),
    ];
    let suite = Suite::start_with(&more).await;
    let unknown_field = Match {
        endpoint: Some("subscriptions".to_owned()),
        count: Some(1),
        ..Match::default()
    };
    let refused = Effect::Error {
        code: 100,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    suite.sim.fault(unknown_field, refused).await.unwrap();
    let world = suite.world(NewWorld::default()).await;
    let tenant = suite.tenant("Acme").await;
    suite.connect(&tenant, &world.token).await;
    eventually(SOON, async || !fields(&suite).await.is_empty()).await;
    let few = fields(&suite).await;
    let has = |fields: &[String], field: &str| fields.iter().any(|known| known == field);
    assert!(has(&few, "smb_message_echoes") && has(&few, "calls") && has(&few, "security"));
    assert!(!has(&few, "business_username_update"));
    assert!(!confirmed(&suite).await, "the whole list is asked for again");

    // With the next connection it is.
    let second = suite.world(NewWorld::default()).await;
    suite.connect(&tenant, &second.token).await;
    eventually(SOON, async || confirmed(&suite).await).await;
    assert!(has(&fields(&suite).await, "business_username_update"));
}
