//! What a guarded client connects to, shown by listeners on the addresses it must not reach.

#![expect(clippy::unwrap_used, reason = "a test that cannot get what it needs fails at once")]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use outeract_egress::Cause;
use outeract_egress::guard::{CallError, Guarded, Limits, Lookup, Networks, NoAddress, Policy, Refused};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Gives one answer after the other, the last one for ever.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

/// A server that counts who comes and answers with these bytes.
struct Listener {
    address: SocketAddr,
    seen: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |addresses: &&[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Lookup for Script {
    fn lookup<'a>(&'a self, _: &'a str) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, NoAddress>> + Send + 'a>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let next = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        Box::pin(std::future::ready(next.ok_or(NoAddress)))
    }
}

impl Listener {
    async fn new(head: &'static str, endless: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                serving.spawn(async move {
                    let mut request = [0; 4_096];
                    let _ = stream.read(&mut request).await;
                    let mut open = stream.write_all(head.as_bytes()).await.is_ok();
                    while endless && open {
                        open = stream.write_all(&[b'x'; 4_096]).await.is_ok();
                    }
                });
            }
        });
        Self {
            address,
            seen,
            _task: task,
        }
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

fn guarded(policy: Policy, lookup: Arc<Script>) -> Guarded {
    let limits = Limits {
        total_timeout: Duration::from_secs(5),
        ..Limits::default()
    };
    let lookup: Arc<dyn Lookup> = lookup;
    Guarded::new(policy, limits, &lookup).unwrap()
}

/// A policy that lets the listener's port through, so that only its address can be what refuses it.
fn strict(port: u16) -> Policy {
    Policy {
        ports: vec![443, port],
        ..Policy::strict()
    }
}

fn local() -> Policy {
    Policy {
        allowed: Networks::parse("127.0.0.1/32").unwrap(),
        ..Policy::strict()
    }
}

async fn post(client: &Guarded, url: &str) -> Result<(StatusCode, Bytes), CallError> {
    let target = client.target(url).map_err(CallError::Refused)?;
    let answer = client
        .post(&target, HeaderMap::new(), Bytes::from_static(b"{}"))
        .await?;
    Ok((answer.status, answer.excerpt))
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to() {
    let listener = Listener::new("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false).await;
    let url = format!("https://hooks.example.com:{}/", listener.address.port());
    for addresses in [
        &["127.0.0.1"][..],
        &["::ffff:127.0.0.1"],
        &["::1"],
        &["169.254.169.254"],
        &["10.0.0.1"],
        &["100.64.0.1"],
        &["fd00:ec2::254"],
        &["64:ff9b::7f00:1"],
        &["2002:7f00:1::"],
        // One that may be called does not help the other.
        &["8.8.8.8", "127.0.0.1"],
        &["127.0.0.1", "2606:4700::1111"],
    ] {
        let client = guarded(strict(listener.address.port()), Script::new(&[addresses]));
        let refused = post(&client, &url).await.unwrap_err();
        assert_eq!(refused, CallError::Refused(Refused::Address), "{addresses:?}");
        let target = client.target(&url).unwrap();
        assert_eq!(client.check(&target).await, Err(CallError::Refused(Refused::Address)));
    }
    for url in [
        "https://127.0.0.1",
        "https://[::1]",
        "https://[::ffff:7f00:1]",
        "https://2130706433",
        "https://0",
    ] {
        let client = guarded(strict(listener.address.port()), Script::new(&[]));
        let url = format!("{url}:{}/", listener.address.port());
        assert_eq!(
            post(&client, &url).await.unwrap_err(),
            CallError::Refused(Refused::Address),
            "{url}"
        );
    }
    assert_eq!(listener.seen(), 0);
}

#[tokio::test]
async fn a_name_that_is_public_when_checked_and_leads_inside_when_called_is_not_connected_to() {
    let listener = Listener::new("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false).await;
    let script = Script::new(&[&["93.184.215.14"], &["127.0.0.1"]]);
    let client = guarded(strict(listener.address.port()), Arc::clone(&script));
    let url = format!("https://rebind.example.com:{}/", listener.address.port());
    let target = client.target(&url).unwrap();
    assert_eq!(client.check(&target).await, Ok(()));
    let refused = client.post(&target, HeaderMap::new(), Bytes::new()).await.unwrap_err();
    assert_eq!(refused, CallError::Refused(Refused::Address));
    assert_eq!(listener.seen(), 0);
}

#[tokio::test]
async fn what_was_vetted_is_what_is_connected_to_and_nobody_asks_twice() {
    let allowed = Listener::new("HTTP/1.1 204 X\r\ncontent-length: 0\r\n\r\n", false).await;
    // The second answer would be refused.
    let script = Script::new(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let client = guarded(local(), Arc::clone(&script));
    let url = format!("http://hooks.test:{}/", allowed.address.port());
    assert_eq!(post(&client, &url).await.unwrap().0, StatusCode::NO_CONTENT);
    assert_eq!((script.asked.load(Ordering::SeqCst), allowed.seen()), (1, 1));
}

#[tokio::test]
async fn plain_http_reaches_allowed_networks_only() {
    let script = Script::new(&[&["8.8.8.8"]]);
    let client = guarded(local(), script);
    assert_eq!(
        post(&client, "http://hooks.example.com/").await.unwrap_err(),
        CallError::Refused(Refused::Address)
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let inner = Listener::new("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false).await;
    let head: &'static str = format!(
        "HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:{}/latest/meta-data\r\ncontent-length: 0\r\n\r\n",
        inner.address.port()
    )
    .leak();
    let outer = Listener::new(head, false).await;
    let client = guarded(local(), Script::new(&[]));
    let url = format!("http://127.0.0.1:{}/", outer.address.port());
    assert_eq!(post(&client, &url).await.unwrap().0, StatusCode::FOUND);
    assert_eq!((outer.seen(), inner.seen()), (1, 0));
}

#[tokio::test]
async fn a_body_without_end_is_cut() {
    let endless = Listener::new("HTTP/1.1 200 OK\r\n\r\n", true).await;
    let client = guarded(local(), Script::new(&[]));
    let url = format!("http://127.0.0.1:{}/", endless.address.port());
    let (status, excerpt) = post(&client, &url).await.unwrap();
    assert_eq!((status, excerpt.len()), (StatusCode::OK, 1_024));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = Limits {
        total_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let lookup: Arc<dyn Lookup> = Script::new(&[]);
    let client = Guarded::new(local(), limits, &lookup).unwrap();
    let begun = Instant::now();
    let url = format!("http://127.0.0.1:{}/", silent.local_addr().unwrap().port());
    assert_eq!(
        post(&client, &url).await.unwrap_err(),
        CallError::Failed(Cause::Timeout)
    );
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_name_without_address_is_told_from_one_that_is_refused() {
    let client = guarded(Policy::strict(), Script::new(&[]));
    assert_eq!(
        post(&client, "https://absent.example.com").await.unwrap_err(),
        CallError::Unresolved
    );
}
