//! A subscriber's server: a real socket, and what came in over it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This status, with a word as its body.
    Status(u16),
    /// A redirect to the metadata service.
    Redirect(SocketAddr),
    /// 200 with a body that does not end.
    Endless,
    /// Nothing, ever.
    Silence,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) timestamp: String,
    pub(crate) signatures: Vec<String>,
    pub(crate) body: Vec<u8>,
}

/// A subscriber's server.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<Mutex<usize>>,
    _task: JoinSet<()>,
}

// === impl Receiver ===

impl Receiver {
    pub(crate) async fn new(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let (received, connections) = (Arc::default(), Arc::<Mutex<usize>>::default());
        let mut task = JoinSet::new();
        let (told, seen, count) = (Arc::clone(&answer), Arc::clone(&received), Arc::clone(&connections));
        task.spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                *count.lock().unwrap() += 1;
                serving.spawn(serve(stream, Arc::clone(&told), Arc::clone(&seen)));
            }
        });
        Self {
            address,
            answer,
            received,
            connections,
            _task: task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// How many requests came.
    pub(crate) fn received_count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// How often somebody connected.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// Ids of the events in the order in which they came.
    pub(crate) fn events(&self) -> Vec<String> {
        let text = |received: &Received| received.json()["event_id"].as_str().unwrap().to_owned();
        self.received().iter().map(text).collect()
    }
}

// === impl Received ===

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What a receiver computes by the words of the standard.
    pub(crate) fn expected(&self, secret: &str) -> String {
        let key = secret.strip_prefix("whsec_").map_or_else(
            || secret.as_bytes().to_vec(),
            |encoded| STANDARD.decode(encoded).unwrap(),
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        let signed = [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", &self.body].concat();
        mac.update(&signed);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

async fn serve(mut stream: TcpStream, answer: Arc<Mutex<Answer>>, received: Arc<Mutex<Vec<Received>>>) {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await {
        received.lock().unwrap().push(request);
        let answer = *answer.lock().unwrap();
        let head = match answer {
            Answer::Status(status) => format!("HTTP/1.1 {status} X\r\ncontent-length: 5\r\n\r\nfancy"),
            Answer::Redirect(to) => {
                format!("HTTP/1.1 307 X\r\nlocation: http://{to}/latest/meta-data\r\ncontent-length: 0\r\n\r\n")
            }
            Answer::Endless => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
            Answer::Silence => return std::future::pending().await,
        };
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        let chunk = format!("400\r\n{}\r\n", "x".repeat(1_024));
        if answer == Answer::Endless {
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
            return;
        }
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Received> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
            let field = |name: &str| {
                let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
                line.map_or_else(String::new, |line| line[name.len() + 1..].trim().to_owned())
            };
            let length: usize = field("content-length").parse().unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Some(Received {
                    id: field("webhook-id"),
                    timestamp: field("webhook-timestamp"),
                    signatures: field("webhook-signature").split(' ').map(ToOwned::to_owned).collect(),
                    body,
                });
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
