//! The few bytes of HTTP and Redis' protocol that starting a suite takes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::{Context, Result};

/// Sends `request` to a port of this machine and returns what came back first.
pub(crate) fn exchange(port: u16, request: &[u8], limit: Duration) -> Result<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, limit).context(format_args!("connecting to {address}"))?;
    let limits = stream
        .set_read_timeout(Some(limit))
        .and_then(|()| stream.set_write_timeout(Some(limit)));
    limits
        .and_then(|()| stream.write_all(request))
        .context(format_args!("writing to {address}"))?;
    let mut answer = [0; 256];
    let length = stream
        .read(&mut answer)
        .context(format_args!("reading from {address}"))?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// The status of an HTTP GET.
pub(crate) fn http_status(port: u16, path: &str) -> Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let answer = exchange(port, request.as_bytes(), Duration::from_secs(2))?;
    let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| format!("127.0.0.1:{port}{path} does not speak HTTP").into())
}
