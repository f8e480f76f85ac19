//! scratch
#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::print_stdout
)]
use outeract_clock::*;
use outeract_domain::*;
use outeract_proto::connection::v1::application_service_client::*;
use outeract_proto::connection::v1::application_service_server::*;
use outeract_proto::connection::v1::*;
use outeract_rpc::*;
use std::sync::Arc;
use std::time::*;
use tonic::{Request, Response};
use uuid::Uuid;
struct S(bool);
#[tonic::async_trait]
impl ApplicationService for S {
    async fn get_application(&self, r: Request<GetApplicationRequest>) -> Reply<GetApplicationResponse> {
        let mut k = GetApplicationResponse {
            key_id: "x".repeat(600),
            ..Default::default()
        };
        if self.0 {
            let a = caller::application(&r)?;
            k.key_id.push_str(if a.scopes.is_empty() { "a" } else { "b" });
        }
        Ok(Response::new(k))
    }
}
struct K;
impl Keys for K {
    async fn authenticate(&self, _: Uuid, _: [u8; 32]) -> Result<Verdict, Unavailable> {
        Ok(Verdict::Application {
            application: ApplicationId::from_uuid(Uuid::from_u128(1)),
            scopes: Arc::from(vec!["*".to_string()]),
            expires: None,
        })
    }
}
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let m = std::env::args().nth(1).unwrap();
    let port = if m.ends_with("plain") { 7801 } else { 7802 };
    let (key, _) = KeyText::generate("live", KeyId::from_uuid(Uuid::from_u128(1)), &SeededRandom::new(1));
    if m.starts_with("s") {
        let rt = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .worker_threads(2)
            .build()
            .unwrap();
        rt.block_on(async move {
            let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
            if m.ends_with("plain") {
                tonic::transport::Server::builder()
                    .tcp_nodelay(true)
                    .max_concurrent_streams(256)
                    .add_service(ApplicationServiceServer::new(S(false)))
                    .serve(addr)
                    .await
                    .unwrap();
            } else {
                let l = tokio::net::TcpListener::bind(addr).await.unwrap();
                Server::new(
                    Admission::Applications(Authenticator::new(K, Arc::new(SystemClock))),
                    tonic::service::Routes::new(ApplicationServiceServer::new(S(true))),
                    Limits::application(),
                    Default::default(),
                )
                .serve(l)
                .await
            }
        })
    } else {
        let rt = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        rt.block_on(async move {
            let mut js = tokio::task::JoinSet::new();
            let end = Instant::now() + Duration::from_secs(3);
            for _ in 0..4 {
                let ch = tonic::transport::Endpoint::from_shared(format!("http://127.0.0.1:{port}"))
                    .unwrap()
                    .connect()
                    .await
                    .unwrap();
                for _ in 0..16 {
                    let mut c = ApplicationServiceClient::new(ch.clone());
                    let h: tonic::metadata::MetadataValue<_> = format!("Bearer {key}").parse().unwrap();
                    js.spawn(async move {
                        let mut n = 0u64;
                        while Instant::now() < end {
                            let mut r = Request::new(GetApplicationRequest::default());
                            r.metadata_mut().insert("authorization", h.clone());
                            r.metadata_mut().insert("grpc-timeout", "10S".parse().unwrap());
                            c.get_application(r).await.unwrap();
                            n += 1;
                        }
                        n
                    });
                }
            }
            let mut t = 0;
            while let Some(n) = js.join_next().await {
                t += n.unwrap();
            }
            println!("{}", t);
        })
    }
}
