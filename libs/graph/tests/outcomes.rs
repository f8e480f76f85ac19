//! What became of a send, against servers that answer well, badly, partly or not at all.

#![expect(clippy::expect_used, reason = "what is not as expected fails the test")]
#![expect(dead_code, reason = "what several tests share is not used whole by each")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use outeract_graph::{Outcome, Token};
use support::{Server, client, number, read_request, text, token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ACCEPTED: &str = r#"{"messaging_product":"whatsapp","contacts":[{"input":"+16505551234","wa_id":"16505551234"}],"messages":[{"id":"wamid.HBgLMTY1MDU1NTEyMzQVAgARGBI5"}]}"#;
const REFUSED: &str = r#"{"error":{"message":"(#131047) Re-engagement message","type":"OAuthException","code":131047,"error_data":{"messaging_product":"whatsapp","details":"x"},"fbtrace_id":"Aabc"}}"#;

fn access() -> Token {
    token("EAAtoken", "app-secret")
}

async fn send(base: &str) -> Outcome {
    client(base)
        .send_message(&access(), &number("106540352242922"), text("hi", None, "evt_1.1"))
        .await
}

async fn send_to(server: &Server) -> Outcome {
    send(&format!("http://{}", server.address)).await
}

/// The answer to a request, after which the connection ends.
async fn answering(answer: String) -> Server {
    Server::start(move |mut stream| {
        let answer = answer.clone();
        async move {
            if read_request(&mut stream).await.is_some() {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    })
    .await
}

fn http(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { wamid, .. } => format!("accepted {}", wamid.as_str()),
        Outcome::Rejected(error) => format!("rejected {}", error.code),
        Outcome::NeverSent(_) => "never sent".to_owned(),
        Outcome::Unknown { http_status } => format!("unknown {http_status}"),
    }
}

#[tokio::test]
async fn the_request_is_what_meta_reads() {
    let server = Server::start(|mut stream: TcpStream| async move {
        let request = read_request(&mut stream).await.expect("request");
        let proof = "e0a6f9fa6e8ed5ae0d6bd2ff0c8ffd9f";
        assert!(
            request
                .head
                .starts_with("post /v25.0/106540352242922/messages?appsecret_proof="),
            "{}",
            request.head
        );
        assert!(!request.head.contains(proof) && request.head.contains("\nauthorization: bearer eaatoken"));
        assert!(request.head.contains("\ncontent-type: application/json"));
        let body = String::from_utf8(request.body).expect("text");
        assert!(body.contains(r#""biz_opaque_callback_data":"evt_1.1""#), "{body}");
        stream.write_all(http(200, ACCEPTED).as_bytes()).await.expect("writes");
    })
    .await;
    assert_eq!(
        word(&send_to(&server).await),
        "accepted wamid.HBgLMTY1MDU1NTEyMzQVAgARGBI5"
    );
}

#[tokio::test]
async fn answers_end_in_their_class() {
    let huge = format!(r#"{{"messages":[{{"id":"wamid.A"}}],"pad":"{}"}}"#, "x".repeat(70_000));
    let many = r#"{"contacts":[],"messages":[{"id":"wamid.A"},{"id":"wamid.B"}],"new":{"key":[1]}}"#;
    let cases: Vec<(String, &str)> = vec![
        (http(200, many), "accepted wamid.A"),
        (http(201, many), "accepted wamid.A"),
        (http(400, REFUSED), "rejected 131047"),
        (http(500, REFUSED), "rejected 131047"),
        (http(200, REFUSED), "rejected 131047"),
        (http(400, many), "unknown 400"),
        (http(500, ACCEPTED), "unknown 500"),
        (http(200, r#"{"messages":[]}"#), "unknown 200"),
        (http(200, r#"{"messages":[{"id":""}]}"#), "unknown 200"),
        (http(200, r#"{"messages":[{}]}"#), "unknown 200"),
        (http(200, "<html>ok</html>"), "unknown 200"),
        (http(200, ""), "unknown 200"),
        (http(502, "<html>bad gateway</html>"), "unknown 502"),
        (http(503, ""), "unknown 503"),
        (http(504, r#"{"error":"upstream timeout"}"#), "unknown 504"),
        (
            http(500, r#"{"error":{"message":"no code","type":"x"}}"#),
            "unknown 500",
        ),
        (http(307, ""), "unknown 307"),
        (http(200, &huge), "unknown 0"),
        (http(200, ACCEPTED)[..120].to_owned(), "unknown 0"),
        ("HTTP/1.1 200 OK\r\ncontent-le".to_owned(), "unknown 0"),
        ("not http at all\r\n\r\n".to_owned(), "unknown 0"),
        (String::new(), "unknown 0"),
    ];
    for (answer, expected) in cases {
        let shown: String = answer.chars().take(200).collect();
        let server = answering(answer).await;
        assert_eq!(word(&send_to(&server).await), expected, "{shown}");
    }
}

#[tokio::test]
async fn every_cut_of_an_acceptance_is_unknown_and_never_a_refusal() {
    let whole = http(200, ACCEPTED);
    for cut in (0..whole.len()).step_by(7) {
        let server = answering(whole[..cut].to_owned()).await;
        assert_eq!(word(&send_to(&server).await), "unknown 0", "cut at {cut}");
    }
}

#[tokio::test]
async fn a_reset_at_any_byte_of_the_request_is_unknown_and_sent_once() {
    for bytes in [0, 1, 17, 100, 300] {
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let server = Server::start(move |mut stream: TcpStream| {
            counter.fetch_add(1, Ordering::SeqCst);
            async move {
                let mut read = vec![0; bytes];
                stream.read_exact(&mut read).await.expect("reads");
                stream.set_zero_linger().expect("sets");
            }
        })
        .await;
        assert_eq!(word(&send_to(&server).await), "unknown 0", "after {bytes} bytes");
        assert_eq!(connections.load(Ordering::SeqCst), 1, "after {bytes} bytes");
    }
}

#[tokio::test]
async fn silence_is_unknown() {
    for part in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{",
    ] {
        let server = Server::start(move |mut stream: TcpStream| async move {
            read_request(&mut stream).await;
            stream.write_all(part.as_bytes()).await.expect("writes");
            read_request(&mut stream).await;
        })
        .await;
        assert_eq!(word(&send_to(&server).await), "unknown 0", "{part}");
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let closed = format!("http://{}", listener.local_addr().expect("address"));
    drop(listener);
    assert_eq!(word(&send(&closed).await), "never sent");
    assert_eq!(word(&send("http://name.invalid").await), "never sent");
    let plain = answering(String::new()).await;
    assert_eq!(
        word(&send(&format!("https://{}", plain.address)).await),
        "never sent",
        "no TLS"
    );
}

#[tokio::test]
async fn a_kept_connection_that_ends_under_a_request_is_not_tried_again() {
    for bytes in [0, 1, 200] {
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        let server = Server::start(move |mut stream: TcpStream| {
            let counter = counter.clone();
            async move {
                read_request(&mut stream).await.expect("request");
                counter.fetch_add(1, Ordering::SeqCst);
                stream.write_all(http(200, ACCEPTED).as_bytes()).await.expect("writes");
                stream.readable().await.expect("waits");
                let mut read = vec![0; bytes];
                stream.read_exact(&mut read).await.expect("reads");
                counter.fetch_add(1, Ordering::SeqCst);
            }
        })
        .await;
        let client = client(&format!("http://{}", server.address));
        let send = async || {
            client
                .send_message(&access(), &number("1"), text("hi", None, "evt_1.1"))
                .await
        };
        assert!(word(&send().await).starts_with("accepted"));
        assert_eq!(word(&send().await), "unknown 0", "after {bytes} bytes");
        assert_eq!(
            requests.load(Ordering::SeqCst),
            2,
            "after {bytes} bytes: each sent once"
        );
    }
}

#[tokio::test]
async fn outcomes_show_neither_message_id_nor_token() {
    let server = answering(http(200, ACCEPTED)).await;
    let shown = format!("{:?} {:?}", send_to(&server).await, access());
    for secret in ["HBgLMTY1", "EAAtoken"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn a_refusal_for_used_up_calls_says_when_they_are_taken_again() {
    let refused = |code: i32| {
        format!(r#"{{"error":{{"message":"(#{code}) limit","type":"OAuthException","code":{code},"fbtrace_id":"A"}}}}"#)
    };
    let answer = |status: u16, header: &str, body: &str| {
        format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\n{header}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let usage = r#"x-business-use-case-usage: {"1022":[{"type":"whatsapp","call_count":101,"estimated_time_to_regain_access":7}]}"#;
    for (header, minutes) in [(format!("{usage}\r\n"), Some(7)), (String::new(), None)] {
        let server = answering(answer(400, &header, &refused(80_007))).await;
        let Outcome::Rejected(error) = send_to(&server).await else {
            panic!("not refused")
        };
        assert_eq!(error.regain_after, minutes.map(std::time::Duration::from_mins));
        let verdict = outeract_graph::fault::classify(&error);
        let wait = verdict.wait(&error, 1).expect("it waits");
        assert_eq!(wait, std::time::Duration::from_mins(minutes.unwrap_or(5)));
    }
}
