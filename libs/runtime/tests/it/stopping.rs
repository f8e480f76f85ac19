use std::time::{Duration, Instant};

use outeract_proto::connection::v1::GetApplicationRequest;
use outeract_proto::connection::v1::application_service_client::ApplicationServiceClient;
use outeract_proto::tracking::v1::StreamEventsRequest;
use outeract_proto::tracking::v1::event_service_client::EventServiceClient;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use outeract_runtime::{Outcome, Process};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tonic::{Code, Request};

use crate::tiny::{channel, http, keyed, start};

/// A call that waits (`1`) or that lets a waiting one go (`0`).
fn call(wait: &str) -> Request<GetApplicationRequest> {
    let mut request = keyed(GetApplicationRequest::default());
    request.metadata_mut().insert("x-wait", wait.parse().unwrap());
    request
}

/// Begins a call that waits, and returns when the process serves it.
async fn waiting(
    calls: &mut JoinSet<Result<(), tonic::Status>>,
    process: &Process,
) -> ApplicationServiceClient<tonic::transport::Channel> {
    let client = ApplicationServiceClient::new(channel(process.addresses().application).await);
    let mut first = client.clone();
    calls.spawn(async move { first.get_application(call("1")).await.map(drop) });
    // Calls of one connection are begun in the order in which they come.
    client
        .clone()
        .get_application(keyed(GetApplicationRequest::default()))
        .await
        .unwrap();
    client
}

/// Waits on a task of its own, as `main` does.
fn wait(process: Process) -> (JoinSet<()>, JoinHandle<Outcome>) {
    let mut set = JoinSet::new();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    set.spawn(async move {
        let _ = sender.send(process.wait().await);
    });
    let handle = tokio::runtime::Handle::current().spawn(async move { receiver.await.unwrap() });
    (set, handle)
}

#[tokio::test]
async fn a_stop_finishes_what_has_begun_and_waits_for_no_silent_peer() {
    let process = start(&[("OUTERACT_SHUTDOWN_DELAY", "300ms")]).await;
    let addresses = process.addresses();
    let mut silent = Vec::new();
    for address in [addresses.application, addresses.internal, addresses.edge.unwrap()] {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut h2 = TcpStream::connect(addresses.application).await.unwrap();
    h2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut half = TcpStream::connect(addresses.edge.unwrap()).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nhost: lo").await.unwrap();

    let mut events = EventServiceClient::new(channel(addresses.application).await);
    let mut stream = events
        .stream_events(keyed(StreamEventsRequest::default()))
        .await
        .unwrap()
        .into_inner();
    assert!(stream.message().await.unwrap().is_some());
    let mut calls = JoinSet::new();
    let mut client = waiting(&mut calls, &process).await;

    let stop = process.stopper();
    let (_set, outcome) = wait(process);
    let began = Instant::now();
    stop();
    // Not ready any more, and still serving: balancers take a while to look away.
    let unready = async { while http(addresses.ops, "GET", "/readyz", "").await.0 != 503 {} };
    tokio::time::timeout(Duration::from_secs(5), unready).await.unwrap();
    client
        .get_application(keyed(GetApplicationRequest::default()))
        .await
        .unwrap();
    assert_eq!(http(addresses.edge.unwrap(), "GET", "/", "").await.0, 200);

    let status = stream.message().await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Some(ErrorReason::ShuttingDown))
    );
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(!outcome.is_finished(), "a call is still under way");
    calls.shutdown().await;
    assert_eq!(outcome.await.unwrap(), Outcome::Finished);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_call_under_way_is_answered_while_the_process_drains() {
    let process = start(&[]).await;
    let mut calls = JoinSet::new();
    let mut client = waiting(&mut calls, &process).await;
    let stop = process.stopper();
    let (_set, outcome) = wait(process);
    stop();
    client.get_application(call("0")).await.unwrap();
    calls.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(outcome.await.unwrap(), Outcome::Finished);
}

#[tokio::test]
async fn the_deadline_ends_what_does_not_end() {
    for (task, calls_wait) in [("stuck", false), ("work", true)] {
        let process = start(&[("OUTERACT_SHUTDOWN_GRACE", "500ms"), ("CONNECTION_TASK", task)]).await;
        let mut calls = JoinSet::new();
        if calls_wait {
            waiting(&mut calls, &process).await;
        }
        let began = Instant::now();
        process.stopper()();
        assert_eq!(process.wait().await, Outcome::Forced);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        if calls_wait {
            assert!(calls.join_next().await.unwrap().unwrap().is_err());
        }
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_now() {
    let process = start(&[("OUTERACT_SHUTDOWN_DELAY", "60s"), ("CONNECTION_TASK", "stuck")]).await;
    let stop = process.stopper();
    let began = Instant::now();
    stop();
    stop();
    assert_eq!(process.wait().await, Outcome::Forced);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_task_that_must_run_takes_the_process_with_it() {
    let process = start(&[("CONNECTION_TASK", "fail"), ("OUTERACT_SHUTDOWN_DELAY", "60s")]).await;
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(5), process.wait())
            .await
            .unwrap(),
        Outcome::Failed
    );
}

#[tokio::test]
async fn a_changed_log_filter_does_not_hold_up_the_end() {
    let process = start(&[("OUTERACT_SHUTDOWN_GRACE", "1s")]).await;
    let (status, _) = http(process.addresses().ops, "PUT", "/logfilter?for=5m", "info").await;
    assert_eq!(status, 200);
    process.stopper()();
    assert_eq!(process.wait().await, Outcome::Finished);
}
