//! Whether a request can have left is told exactly, against servers that break at every point.

#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it must be"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outeract_egress::{Cause, Client, Config, Response, SendError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server does with a connection, once it has read a whole request (or, for `CloseAtOnce`, before).
#[derive(Clone, Copy)]
enum Server {
    CloseAtOnce,
    CloseAfterRequest,
    ResetAfterRequest,
    Stall,
    Answer(&'static str),
    AnswerThenClose(&'static str),
}

struct Running {
    url: String,
    requests: Arc<AtomicUsize>,
}

async fn serve(server: Server) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    #[expect(clippy::disallowed_methods, reason = "the server of one test ends with its runtime")]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move { connection(stream, server, &counted).await });
        }
    });
    Running { url, requests }
}

async fn connection(mut stream: TcpStream, server: Server, requests: &AtomicUsize) {
    if matches!(server, Server::CloseAtOnce) {
        return;
    }
    let mut seen = Vec::new();
    let mut chunk = [0; 4_096];
    loop {
        let Ok(read @ 1..) = stream.read(&mut chunk).await else {
            return;
        };
        seen.extend_from_slice(&chunk[..read]);
        // The body of these tests is `{"a":1}`.
        if !seen.ends_with(b"}") {
            continue;
        }
        seen.clear();
        requests.fetch_add(1, Ordering::SeqCst);
        match server {
            Server::CloseAtOnce | Server::CloseAfterRequest => return,
            Server::ResetAfterRequest => {
                let socket = stream.into_std().expect("open");
                // Closing with lingering 0 sends a reset.
                socket2_linger(&socket);
                return;
            }
            Server::Stall => std::future::pending().await,
            Server::Answer(text) => stream.write_all(text.as_bytes()).await.expect("written"),
            Server::AnswerThenClose(text) => {
                stream.write_all(text.as_bytes()).await.expect("written");
                return;
            }
        }
    }
}

fn socket2_linger(socket: &std::net::TcpStream) {
    socket2::SockRef::from(socket)
        .set_linger(Some(Duration::ZERO))
        .expect("a socket option");
}

fn client() -> Client {
    let config = Config {
        connect_timeout: Duration::from_millis(500),
        total_timeout: Duration::from_millis(800),
        response_limit: 1_000,
        ..Config::default()
    };
    Client::new(&config).expect("a client")
}

async fn post(client: &Client, url: &str) -> Result<Response, SendError> {
    let request = client
        .post_json(url, "token", br#"{"a":1}"#.to_vec())
        .expect("a request");
    client.send(request).await
}

#[tokio::test]
async fn nothing_left_when_there_is_no_connection() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port")
        .local_addr()
        .expect("bound");
    let refused = post(&client(), &format!("http://{free}/")).await;
    assert_eq!(refused.expect_err("refused"), SendError::NeverSent(Cause::Connect));
    let nowhere = post(&client(), "http://no-such-host.invalid/").await;
    assert!(matches!(nowhere.expect_err("no such name"), SendError::NeverSent(_)));
    // A plain-text server where TLS is expected: the handshake fails before any request.
    let plain = serve(Server::AnswerThenClose("HTTP/1.1 200 OK\r\n\r\n")).await;
    let tls = post(&client(), &plain.url.replace("http:", "https:")).await;
    assert!(matches!(tls.expect_err("no TLS"), SendError::NeverSent(_)));
    assert_eq!(plain.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn once_a_request_may_have_left_it_is_never_called_unsent() {
    let servers = [
        Server::CloseAtOnce,
        Server::CloseAfterRequest,
        Server::ResetAfterRequest,
        Server::Stall,
        Server::Answer("garbage\r\n\r\n"),
        Server::AnswerThenClose("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncut off"),
        Server::AnswerThenClose("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel"),
    ];
    for (index, server) in servers.into_iter().enumerate() {
        let running = serve(server).await;
        let error = post(&client(), &running.url).await.expect_err("no whole answer");
        assert!(
            matches!(error, SendError::AfterFirstByte(_)),
            "server {index}: {error:?}"
        );
        // The library did not try again by itself.
        assert!(running.requests.load(Ordering::SeqCst) <= 1, "server {index}");
    }
}

#[tokio::test]
async fn a_connection_closed_between_requests_is_not_used_for_a_second_copy() {
    let running = serve(Server::AnswerThenClose(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ))
    .await;
    let client = client();
    for sent in 1..=20 {
        let answer = post(&client, &running.url).await.expect("a fresh connection");
        assert_eq!(&answer.body[..], b"ok");
        assert_eq!(
            running.requests.load(Ordering::SeqCst),
            sent,
            "exactly one request each"
        );
    }
}

#[tokio::test]
async fn long_answers_are_cut_off_and_redirects_are_answers() {
    let long = serve(Server::Answer("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n")).await;
    assert!(post(&client(), &long.url).await.is_err());
    let body: &'static str =
        Box::leak(format!("HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n{}", "a".repeat(2_000)).into());
    let longer = serve(Server::Answer(body)).await;
    let error = post(&client(), &longer.url).await.expect_err("too long");
    assert_eq!(error, SendError::AfterFirstByte(Cause::TooLong));
    let elsewhere = serve(Server::Answer(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    assert_eq!(post(&client(), &elsewhere.url).await.expect("an answer").status, 307);
}
