//! SIGTERM ends every real binary in time, whoever hangs on to it.

use std::net::TcpStream;
use std::time::Duration;

use outeract_dev::Service;
use outeract_e2e::{Options, World};
use outeract_proto::tracking::v1::StreamEventsRequest;
use outeract_simulator::control::NewWorld;
use std::io::Write as _;
use tokio_stream::StreamExt as _;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn idle_peers_and_open_streams_do_not_hold_a_process() {
    let settings = Service::ALL
        .map(|service| (service, "OUTERACT_SHUTDOWN_GRACE", "3s".to_owned()))
        .to_vec();
    let mut world = World::start("shutdown", &Options { settings }).expect("a world");
    let (api, ..) = world
        .connected("Shutdown", &NewWorld::default())
        .await
        .expect("a connection");
    let consumer = StreamEventsRequest {
        consumer: "shutdown".to_owned(),
        ..StreamEventsRequest::default()
    };
    let mut stream = api
        .events
        .clone()
        .stream_events(consumer)
        .await
        .expect("a stream")
        .into_inner();

    let mut peers = Vec::new();
    for service in Service::ALL {
        let url = world.suite.service(service).expect("a service").application_url();
        let address = url.trim_start_matches("http://").to_owned();
        // One peer that never says a word, and one that begins HTTP/2 and falls silent.
        peers.push(TcpStream::connect(&address).expect("connected"));
        let mut silent = TcpStream::connect(&address).expect("connected");
        silent
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .expect("written");
        peers.push(silent);
    }
    let stopping = tokio::task::spawn_blocking(move || {
        for service in Service::ALL {
            let status = world
                .suite
                .service(service)
                .expect("a service")
                .stop(Duration::from_secs(15));
            assert!(
                status.expect("ended in time").success(),
                "{} ended with an error",
                service.name()
            );
        }
        world
    });
    let last = loop {
        match tokio::time::timeout(Duration::from_secs(20), stream.next())
            .await
            .expect("the stream ends")
        {
            Some(Ok(_)) => {}
            Some(Err(status)) => break Some(status.code()),
            None => break None,
        }
    };
    assert_eq!(last, Some(Code::Unavailable), "a client sees that it may connect again");
    drop(stopping.await.expect("all stopped"));
    drop(peers);
}
