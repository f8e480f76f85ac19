use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use axum::routing::get;
use outeract_clock::SeededRandom;
use outeract_domain::{ApplicationId, KeyId};
use outeract_proto::connection::v1::application_service_server::{ApplicationService, ApplicationServiceServer};
use outeract_proto::connection::v1::{
    GetApplicationRequest, GetApplicationResponse, UpdateApplicationSettingsRequest, UpdateApplicationSettingsResponse,
};
use outeract_proto::tracking::v1::event_service_server::{EventService, EventServiceServer};
use outeract_proto::tracking::v1::{
    AcknowledgeEventsRequest, AcknowledgeEventsResponse, GetEventRequest, GetEventResponse, ListEventsRequest,
    ListEventsResponse, StreamEventsRequest, StreamEventsResponse,
};
use outeract_rpc::{BoxError, KeyText, Keys, Reply, Unavailable, Verdict, caller};
use outeract_runtime::config::{Env, FromEnv, Reader, Reported};
use outeract_runtime::{Context, Endpoints, OnExit, Process, Service};
use sqlx::migrate::Migrator;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use uuid::Uuid;

pub(crate) struct Tiny;

/// What it does by itself: `work` until the soft stop, `fail`, or be `stuck`.
#[derive(Debug)]
pub(crate) struct Config {
    task: String,
}

impl FromEnv for Config {
    fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let task = env.or("CONNECTION_TASK", "work".to_owned());
        Ok(Self { task: task? })
    }
}

impl Service for Tiny {
    const NAME: &'static str = "connection";
    const EDGE: bool = true;
    type Config = Config;

    fn migrator() -> &'static Migrator {
        static MIGRATOR: Migrator = Migrator::DEFAULT;
        &MIGRATOR
    }

    async fn build(context: Context, config: Config) -> Result<Endpoints, BoxError> {
        let stop = context.stop.clone();
        match config.task.as_str() {
            "fail" => context.tasks.spawn("work", OnExit::StopProcess, async { Err("gone") }),
            "stuck" => context
                .tasks
                .spawn("work", OnExit::StopProcess, std::future::pending::<()>()),
            _ => context.tasks.spawn(
                "work",
                OnExit::StopProcess,
                async move { stop.soft().cancelled().await },
            ),
        }
        let calls = Arc::new(Calls::default());
        let application = Routes::new(ApplicationServiceServer::new(Small(Arc::clone(&calls))))
            .add_service(EventServiceServer::new(Small(Arc::clone(&calls))));
        let edge = axum::Router::new()
            .route("/", get(async || "edge"))
            .route("/panic", get(async || -> &'static str { panic!("on purpose") }));
        Ok(Endpoints::new(context.authenticator(OneKey))
            .application(application)
            .edge(edge))
    }
}

/// The key that counts.
pub(crate) static KEY: LazyLock<(String, [u8; 32])> =
    LazyLock::new(|| KeyText::generate("live", KeyId::from_uuid(Uuid::from_u128(1)), &SeededRandom::new(1)));

struct OneKey;

impl Keys for OneKey {
    async fn authenticate(&self, _: Uuid, secret_sha256: [u8; 32]) -> Result<Verdict, Unavailable> {
        if secret_sha256 != KEY.1 {
            return Ok(Verdict::Unknown);
        }
        Ok(Verdict::Application {
            application: ApplicationId::from_uuid(Uuid::from_u128(2)),
            scopes: Arc::new(["*".to_owned()]),
            expires: None,
        })
    }
}

/// Calls that wait: the first `x-wait: 1` waits until another call comes with `x-wait: 0`.
#[derive(Default)]
pub(crate) struct Calls {
    open: Notify,
}

struct Small(Arc<Calls>);

#[tonic::async_trait]
impl ApplicationService for Small {
    async fn get_application(&self, request: Request<GetApplicationRequest>) -> Reply<GetApplicationResponse> {
        let application = caller::application(&request)?;
        match request.metadata().get("x-wait").map(MetadataValue::as_bytes) {
            Some(b"1") => self.0.open.notified().await,
            Some(b"0") => self.0.open.notify_one(),
            _ => {}
        }
        Ok(Response::new(GetApplicationResponse {
            key_id: application.key.to_string(),
            ..GetApplicationResponse::default()
        }))
    }

    async fn update_application_settings(
        &self,
        _: Request<UpdateApplicationSettingsRequest>,
    ) -> Reply<UpdateApplicationSettingsResponse> {
        Err(Status::unimplemented("not asked"))
    }
}

#[tonic::async_trait]
impl EventService for Small {
    type StreamEventsStream = ReceiverStream<Result<StreamEventsResponse, Status>>;

    async fn get_event(&self, _: Request<GetEventRequest>) -> Reply<GetEventResponse> {
        Ok(Response::new(GetEventResponse::default()))
    }

    async fn list_events(&self, _: Request<ListEventsRequest>) -> Reply<ListEventsResponse> {
        Ok(Response::new(ListEventsResponse::default()))
    }

    async fn stream_events(&self, _: Request<StreamEventsRequest>) -> Reply<Self::StreamEventsStream> {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        sender.send(Ok(StreamEventsResponse::default())).await.unwrap();
        std::mem::forget(sender);
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn acknowledge_events(&self, _: Request<AcknowledgeEventsRequest>) -> Reply<AcknowledgeEventsResponse> {
        Ok(Response::new(AcknowledgeEventsResponse::default()))
    }
}

/// A complete environment on free ports, with `more` on top.
pub(crate) fn env(more: &[(&str, &str)]) -> Env {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL must name a Postgres");
    let ring = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nhash:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let mut env: Env = [
        ("CONNECTION_DATABASE_URL", url.as_str()),
        ("CONNECTION_LISTEN", "127.0.0.1:0"),
        ("CONNECTION_INTERNAL_LISTEN", "127.0.0.1:0"),
        ("CONNECTION_OPS_LISTEN", "127.0.0.1:0"),
        ("CONNECTION_EDGE_LISTEN", "127.0.0.1:0"),
        ("CONNECTION_SEAL_KEYS", ring),
        ("CONNECTION_SERVICE_SECRET", "connection-secret-of-32-characters"),
        ("OUTERACT_SHUTDOWN_DELAY", "50ms"),
        ("OUTERACT_SHUTDOWN_GRACE", "10s"),
    ]
    .into_iter()
    .collect();
    for (key, value) in more {
        env.set(*key, *value);
    }
    env
}

pub(crate) async fn start(more: &[(&str, &str)]) -> Process {
    Process::start::<Tiny>(&env(more)).await.unwrap()
}

/// A gRPC connection that sends nothing by itself.
pub(crate) async fn channel(address: SocketAddr) -> tonic::transport::Channel {
    tonic::transport::Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

pub(crate) fn keyed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {}", KEY.0).parse().unwrap());
    request
}

/// One HTTP/1.1 exchange on a connection of its own: status and body.
pub(crate) async fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
