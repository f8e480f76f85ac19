//! What several of these tests need: raw servers, a callback that keeps what it is sent, a message to send.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outeract_domain::{Content, PhoneNumberId, Text};
use outeract_egress::{Client as Http, Config};
use outeract_graph::{Client, Token, wire};
use outeract_seal::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The user that all messages go to.
pub(crate) const USER: &str = "+16505551234";

/// A server that treats each connection as a script says, one after the other or side by side.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// A request that a raw server read.
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// A POST's signature and body.
type Post = (String, Vec<u8>);

/// A callback that keeps what it is sent, with its signature.
pub(crate) struct Sink {
    pub(crate) url: String,
    posts: Arc<Mutex<Vec<Post>>>,
    _server: Server,
}

// === impl Server ===

impl Server {
    pub(crate) async fn start<F>(script: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("accepts");
                connections.spawn(script(stream));
            }
        });
        Self { address, _tasks: tasks }
    }
}

/// Reads one request; `None` when the peer has gone.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.trim().parse().expect("length"));
            if bytes.len() >= end + 4 + length {
                let body = bytes[end + 4..].to_vec();
                return Some(Received { head, body });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

// === impl Sink ===

impl Sink {
    pub(crate) async fn start() -> Self {
        let posts = Arc::new(Mutex::new(Vec::new()));
        let kept = posts.clone();
        let server = Server::start(move |mut stream| {
            let kept = kept.clone();
            async move {
                while let Some(request) = read_request(&mut stream).await {
                    let signature = request
                        .head
                        .lines()
                        .find_map(|line| line.strip_prefix("x-hub-signature-256: "));
                    let post = (signature.unwrap_or_default().trim().to_owned(), request.body);
                    kept.lock().expect("lock").push(post);
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await;
        Self {
            url: format!("http://{}/webhooks/whatsapp", server.address),
            posts,
            _server: server,
        }
    }

    /// Signatures and bodies so far.
    pub(crate) fn posts(&self) -> Vec<Post> {
        self.posts.lock().expect("lock").clone()
    }
}

/// A client with little patience.
pub(crate) fn client(base: &str) -> Client {
    let config = Config {
        connect_timeout: Duration::from_millis(300),
        total_timeout: Duration::from_millis(800),
        ..Config::default()
    };
    Client::new(Http::new(&config).expect("client"), base, "v25.0")
}

pub(crate) fn token(access_token: &str, app_secret: &str) -> Token {
    Token::with_app_secret(Secret::from(access_token), &Secret::from(app_secret))
}

pub(crate) fn number(id: &str) -> PhoneNumberId {
    id.parse().expect("digits")
}

/// The body of a text message to the user.
pub(crate) fn text(body: &str, preview: Option<bool>, callback: &str) -> Vec<u8> {
    let content = Content::Text(Text::new(body.to_owned(), preview, "content.text.body").expect("valid"));
    let to = USER.parse().expect("a recipient");
    let message = wire::Message::new(&to, &content, None, callback).expect("it has no files");
    message.to_json()
}
