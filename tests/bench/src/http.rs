//! The cheapest HTTP client that is still one: keep-alive, one request at a time, answers without a body. A load generator must not be what is measured.

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4_096),
        })
    }

    /// Posts `body` and says whether the answer was 200.
    pub(crate) async fn post(&mut self, path: &str, header: &str, body: &[u8]) -> Result<bool> {
        self.buffer.clear();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{header}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.buffer.extend_from_slice(head.as_bytes());
        self.buffer.extend_from_slice(body);
        self.stream.write_all(&self.buffer).await?;
        self.buffer.clear();
        // The routes under load answer without a body, so the head ends the answer.
        while !self.buffer.windows(4).any(|end| end == b"\r\n\r\n") {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                anyhow::bail!("the connection was closed");
            }
        }
        Ok(self.buffer.starts_with(b"HTTP/1.1 200"))
    }
}
