use std::io::ErrorKind;
use std::time::Duration;

use outeract_testkit::FaultProxy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// An echo server, and a proxy before it. Both live as long as the set.
async fn echo() -> (FaultProxy, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(listener.local_addr().unwrap()).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    (proxy, tasks)
}

async fn ask(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn passes_everything() {
    let (proxy, _tasks) = echo().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut stream, b"hello").await.unwrap(), b"hello");
    let (mut read, mut write) = stream.split();
    let big = vec![7; 5 << 20];
    let (sent, got) = tokio::join!(
        async {
            write.write_all(&big).await.unwrap();
            write.shutdown().await.unwrap();
            big.len()
        },
        async {
            let mut got = Vec::new();
            read.read_to_end(&mut got).await.unwrap();
            got.len()
        }
    );
    assert_eq!(sent, got, "up to the end of the stream");
}

#[tokio::test]
async fn delays_without_narrowing() {
    let (proxy, _tasks) = echo().await;
    proxy.latency(Duration::from_millis(100));
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let start = Instant::now();
    ask(&mut stream, &vec![7; 1 << 20]).await.unwrap();
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(200) && took < Duration::from_millis(900),
        "{took:?}"
    );
}

#[tokio::test]
async fn swallows_and_heals() {
    let (proxy, _tasks) = echo().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    ask(&mut stream, b"a").await.unwrap();
    for fault in [FaultProxy::blackhole, FaultProxy::lose_responses] {
        fault(&proxy);
        assert!(
            timeout(Duration::from_millis(100), ask(&mut stream, b"b"))
                .await
                .is_err()
        );
        proxy.heal();
        assert_eq!(ask(&mut stream, b"c").await.unwrap(), b"c");
    }
}

#[tokio::test]
async fn cuts_and_refuses() {
    let (proxy, _tasks) = echo().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    ask(&mut stream, b"a").await.unwrap();
    proxy.reset();
    assert_eq!(
        stream.read(&mut [0]).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );

    let mut fresh = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut fresh, b"b").await.unwrap(), b"b", "only what was open is cut");

    proxy.refuse();
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(ask(&mut refused, b"c").await.is_err());
    assert_eq!(
        ask(&mut fresh, b"d").await.unwrap(),
        b"d",
        "only what is new is refused"
    );
}

#[tokio::test]
async fn cuts_in_the_middle_of_an_answer() {
    let (proxy, _tasks) = echo().await;
    proxy.reset_after(3);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut got = Vec::new();
    let mut byte = [0];
    let error = loop {
        match stream.read(&mut byte).await {
            Ok(0) => panic!("an orderly end"),
            Ok(_) => got.push(byte[0]),
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(b"hel".starts_with(&got), "{got:?}");
}
