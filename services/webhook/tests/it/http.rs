//! HTTP/1.1 by hand: tests need what clients do not do.

use std::net::SocketAddr;
use std::time::Duration;

use outeract_graph::signature::sign;
use outeract_seal::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const PATH: &str = "/webhooks/whatsapp";
pub(crate) const APP_SECRET: &str = "the app secret";
pub(crate) const PREVIOUS_SECRET: &str = "the app secret before it";

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// One connection.
pub(crate) struct Http(TcpStream);

impl Http {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self::try_connect(to).await.expect("the edge listens")
    }

    pub(crate) async fn try_connect(to: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(to).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self(stream))
    }

    /// Writes bytes; what the server does not want to read any more is not an error.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// A signed webhook, with its length.
    pub(crate) async fn post(&mut self, body: &[u8]) -> Answer {
        let signature = sign(body, &Secret::from(APP_SECRET));
        self.post_with(body, &format!("X-Hub-Signature-256: {signature}\r\n"))
            .await
    }

    pub(crate) async fn post_with(&mut self, body: &[u8], headers: &str) -> Answer {
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.write(&[head.as_bytes(), body].concat()).await;
        self.answer().await
    }

    pub(crate) async fn get(&mut self, query: &str) -> Answer {
        self.write(format!("GET {PATH}?{query} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .await;
        self.answer().await
    }

    /// The next answer on the connection.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("an answer comes")
    }

    /// The status of a signed webhook's answer; `None` when none comes.
    pub(crate) async fn try_post(&mut self, body: &[u8]) -> Option<u16> {
        let signature = sign(body, &Secret::from(APP_SECRET));
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nX-Hub-Signature-256: {signature}\r\n\r\n",
            body.len()
        );
        self.write(&[head.as_bytes(), body].concat()).await;
        self.try_answer().await.map(|answer| answer.status)
    }

    async fn try_answer(&mut self) -> Option<Answer> {
        timeout(Duration::from_secs(30), self.read()).await.ok()?
    }

    async fn read(&mut self) -> Option<Answer> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4_096];
        let head_end = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let read = self.0.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
            bytes.extend_from_slice(&chunk[..read]);
        };
        let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |text| text.parse().expect("a number"));
        let mut body = bytes.split_off(head_end);
        while body.len() < length {
            let read = self.0.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
            body.extend_from_slice(&chunk[..read]);
        }
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse().ok())
            .expect("a status");
        Some(Answer { status, head, body })
    }
}

impl Answer {
    pub(crate) fn has(&self, header: &str) -> bool {
        self.head.lines().any(|line| line == header)
    }
}
