use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outeract_seal::Secret;

use crate::admin::token;
use crate::{eventually, free_port};

static PREFIXES: AtomicU64 = AtomicU64::new(0);

/// A Redis of one test's own, which may be killed and started again. Without persistence.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    child: Option<Child>,
}

/// The Redis of the test run.
///
/// # Panics
/// When `REDIS_URL` is not set.
pub fn redis_url() -> Secret {
    let url = std::env::var("REDIS_URL")
        .unwrap_or_else(|_| panic!("REDIS_URL is not set: run the tests by `cargo dev test`"));
    Secret::new(url)
}

/// A prefix for keys that no other test has.
pub fn redis_prefix() -> String {
    format!("test:{}:{}:", token(), PREFIXES.fetch_add(1, Ordering::Relaxed))
}

// === impl RedisServer ===

impl RedisServer {
    /// Starts one on a free port and waits until it answers.
    pub async fn start() -> Self {
        let mut server = Self {
            port: free_port(),
            child: None,
        };
        server.restart().await;
        server
    }

    /// Starts it again, empty, on the same port.
    ///
    /// # Panics
    /// When there is no `redis-server` or it does not come up within ten seconds.
    pub async fn restart(&mut self) {
        self.kill();
        let port = self.port.to_string();
        let child = Command::new("redis-server")
            .args([
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        self.child = Some(child);
        let address = self.address();
        eventually(Duration::from_secs(10), async || TcpStream::connect(address).is_ok()).await;
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only when it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its URL.
    pub fn url(&self) -> Secret {
        Secret::new(format!("redis://{}", self.address()))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
