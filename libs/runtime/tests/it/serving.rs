use outeract_proto::connection::v1::GetApplicationRequest;
use outeract_proto::connection::v1::application_service_client::ApplicationServiceClient;
use outeract_runtime::config::Faults;
use outeract_runtime::{Outcome, Process};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::tiny::{Tiny, channel, env, http, keyed, start};

#[tokio::test]
async fn everything_that_a_service_serves_is_there() {
    let process = start(&[]).await;
    let addresses = process.addresses();
    let mut client = ApplicationServiceClient::new(channel(addresses.application).await);
    assert!(
        client
            .get_application(keyed(GetApplicationRequest::default()))
            .await
            .is_ok()
    );
    let status = client
        .get_application(GetApplicationRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);

    let edge = addresses.edge.unwrap();
    assert_eq!(http(edge, "GET", "/", "").await, (200, "edge".to_owned()));
    assert_eq!(http(edge, "GET", "/panic", "").await.0, 500);
    assert_eq!(http(edge, "GET", "/none", "").await.0, 404);
    for path in ["/livez", "/readyz"] {
        assert_eq!(http(addresses.ops, "GET", path, "").await, (200, "ok\n".to_owned()));
    }
    for (address, service) in [
        (addresses.application, "outeract.connection.v1.ApplicationService"),
        (addresses.internal, "outeract.connection.admin.v1.AdminService"),
    ] {
        for name in ["", service] {
            let request = HealthCheckRequest {
                service: name.to_owned(),
            };
            let answer = HealthClient::new(channel(address).await).check(request).await.unwrap();
            assert_eq!(answer.into_inner().status, 1, "{name}");
        }
        assert!(listed(address).await.contains(&service.to_owned()));
    }
    process.stopper()();
    assert_eq!(process.wait().await, Outcome::Finished);
}

async fn listed(address: std::net::SocketAddr) -> Vec<String> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel(address).await);
    let mut answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    match answers.message().await.unwrap().unwrap().message_response {
        Some(MessageResponse::ListServicesResponse(list)) => list.service.into_iter().map(|one| one.name).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_quota_of_an_application_is_configured_and_probes_are_not_counted() {
    let process = start(&[("RPC_QUOTA_PER_MINUTE", "1"), ("RPC_QUOTA_BURST", "2")]).await;
    let address = process.addresses().application;
    let mut client = ApplicationServiceClient::new(channel(address).await);
    for _ in 0..2 {
        assert!(
            client
                .get_application(keyed(GetApplicationRequest::default()))
                .await
                .is_ok()
        );
    }
    let status = client
        .get_application(keyed(GetApplicationRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.metadata().get("retry-after").is_some());
    for _ in 0..10 {
        let check = HealthCheckRequest::default();
        assert!(HealthClient::new(channel(address).await).check(check).await.is_ok());
    }
}

#[tokio::test]
async fn reflection_can_be_switched_off() {
    let process = start(&[("OUTERACT_REFLECTION", "false")]).await;
    let request = tokio_stream::once(ServerReflectionRequest::default());
    let mut client = ServerReflectionClient::new(channel(process.addresses().application).await);
    let status = client.server_reflection_info(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn the_log_filter_changes_while_the_process_runs() {
    let process = start(&[]).await;
    let ops = process.addresses().ops;
    assert_eq!(http(ops, "GET", "/logfilter", "").await, (200, "info\n".to_owned()));
    assert_eq!(http(ops, "PUT", "/logfilter?for=2h", "debug").await.0, 400);
    assert_eq!(http(ops, "PUT", "/logfilter", "=,=").await.0, 400);
    assert_eq!(http(ops, "PUT", "/logfilter", &"x".repeat(2_000)).await.0, 413);
    assert_eq!(
        http(ops, "PUT", "/logfilter?for=100ms", "debug").await,
        (200, "debug\n".to_owned())
    );
    let reverted = async { while http(ops, "GET", "/logfilter", "").await.1 != "info\n" {} };
    tokio::time::timeout(std::time::Duration::from_secs(5), reverted)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_faulty_configuration_starts_nothing_and_tells_every_fault() {
    let env = env(&[
        ("CONNECTION_LISTEN", "everywhere"),
        ("CONNECTION_SEAL_KEYS", "k1:short"),
        ("CONNECTION_SERVICE_SECRET", "short"),
        ("CONNECTION_TYPO", "1"),
        ("OUTERACT_SHUTDOWN_GRACE", "soon"),
        ("RPC_QUOTA_BURST", "0"),
    ]);
    let Err(cause) = Process::start::<Tiny>(&env).await else {
        panic!("it started")
    };
    let faults = cause.downcast_ref::<Faults>().unwrap();
    let mut keys: Vec<_> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "CONNECTION_LISTEN",
            "CONNECTION_SEAL_KEYS",
            "CONNECTION_SERVICE_SECRET",
            "CONNECTION_TYPO",
            "OUTERACT_SHUTDOWN_GRACE",
            "RPC_QUOTA_BURST"
        ]
    );
}
