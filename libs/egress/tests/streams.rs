//! Bodies that are sent and read as they come.

#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it must be"
)]

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use outeract_egress::{Cause, Client, Config, FilePart, SendError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Takes one request, answers this, and gives what it read.
async fn once(answer: &'static str) -> (String, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/upload", listener.local_addr().expect("bound"));
    #[expect(clippy::disallowed_methods, reason = "the server of one test ends with its runtime")]
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        let mut read = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        while !is_whole(&read) {
            match stream.read(&mut buffer).await {
                Ok(count @ 1..) => read.extend_from_slice(&buffer[..count]),
                Ok(0) | Err(_) => return read,
            }
        }
        stream.write_all(answer.as_bytes()).await.expect("written");
        read
    });
    (url, server)
}

/// The request has come to its end, as its length says.
fn is_whole(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read).to_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.trim().parse().expect("a number"));
    let body = read
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head")
        + 4;
    read.len() >= body + length
}

fn client() -> Client {
    let config = Config {
        total_timeout: Duration::from_secs(5),
        response_limit: 1_000,
        ..Config::default()
    };
    Client::new(&config).expect("a client")
}

fn pieces(count: usize) -> impl Iterator<Item = Result<Bytes, io::Error>> + Send + 'static {
    (0..count).map(|_| Ok(Bytes::from_static(&[7; 10_000])))
}

#[tokio::test]
async fn a_form_says_its_length_and_keeps_names_to_itself() {
    let (url, server) = once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let client = client();
    let file = FilePart::new("audio/ogg; codecs=opus", 50_000, stream::iter(pieces(5)));
    let fields = [("messaging_product", "whatsapp"), ("type", "audio/ogg; codecs=opus")];
    let request = client.post_form(&url, "a-token", &fields, file).expect("a request");
    assert!(!format!("{request:?}").contains("a-token"));
    let answer = client.send(request).await.expect("an answer");
    assert_eq!(&answer.body[..], b"ok");
    let read = server.await.expect("read");
    let text = String::from_utf8_lossy(&read);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let head = head.to_lowercase();
    assert!(head.starts_with("post /upload http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: bearer a-token"));
    assert!(head.contains("\r\ncontent-type: multipart/form-data; boundary="));
    assert!(head.contains("\r\ncontent-length: ") && !head.contains("transfer-encoding"));
    for part in [
        "name=\"messaging_product\"\r\n\r\nwhatsapp\r\n",
        "name=\"type\"\r\n\r\naudio/ogg; codecs=opus\r\n",
        "name=\"file\"; filename=\"file\"\r\nContent-Type: audio/ogg; codecs=opus\r\n\r\n",
    ] {
        assert!(body.contains(part), "{part}");
    }
    let sevens: Vec<u8> = read.iter().copied().filter(|byte| *byte == 7).collect();
    assert_eq!(sevens.len(), 50_000);
}

#[tokio::test]
async fn a_file_that_breaks_off_is_not_taken_for_a_whole_one() {
    let (url, server) = once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let broken = pieces(2).chain([Err(io::Error::other("the store is away"))]);
    let client = client();
    let file = FilePart::new("image/png", 50_000, stream::iter(broken));
    let request = client.post_form(&url, "token", &[], file).expect("a request");
    let error = client.send(request).await.expect_err("broken off");
    assert!(matches!(error, SendError::AfterFirstByte(_)), "{error:?}");
    assert!(!is_whole(&server.await.expect("read")));
    let no_type = FilePart::new("no type", 1, stream::iter(pieces(1)));
    assert!(client.post_form(&url, "token", &[], no_type).is_err());
}

#[tokio::test]
async fn a_long_answer_can_be_read_as_it_comes() {
    let body: &'static str = Box::leak(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 500000\r\n\r\n{}",
            "a".repeat(500_000)
        )
        .into(),
    );
    let (url, _server) = once(body).await;
    let client = client();
    let opened = client
        .open(client.get(&url, "token").expect("a request"))
        .await
        .expect("an answer");
    assert_eq!(opened.status, 200);
    let lengths = opened.body.map(|chunk| chunk.expect("whole").len());
    assert_eq!(lengths.fold(0, async |sum, length| sum + length).await, 500_000);

    let (url, _server) = once("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncut off").await;
    let opened = client
        .open(client.get(&url, "token").expect("a request"))
        .await
        .expect("an answer");
    let chunks: Vec<_> = opened.body.collect().await;
    assert_eq!(chunks.last(), Some(&Err(SendError::AfterFirstByte(Cause::Broken))));
}

#[tokio::test]
async fn what_is_to_be_deleted_is_asked_for_by_that_verb() {
    let (url, server) = once("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let client = client();
    client
        .send(client.delete(&url, "token").expect("a request"))
        .await
        .expect("an answer");
    assert!(server.await.expect("read").starts_with(b"DELETE /upload HTTP/1.1\r\n"));
}
