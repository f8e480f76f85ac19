//! What every service binary does the same way: configuration, telemetry, the database, listeners, health, background tasks, and stopping in two steps.
//!
//! A whole service:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use outeract_proto::connection::v1::application_service_server::{ApplicationService, ApplicationServiceServer};
//! use outeract_proto::connection::v1::{GetApplicationRequest, GetApplicationResponse, UpdateApplicationSettingsRequest, UpdateApplicationSettingsResponse};
//! use outeract_rpc::{BoxError, RemoteKeys, Reply, caller};
//! use outeract_runtime::config::{FromEnv, Reader, Reported, ServiceUrl};
//! use outeract_runtime::{Context, Endpoints, OnExit, Service};
//! use tonic::service::Routes;
//!
//! struct Messaging;
//!
//! #[derive(Debug)]
//! struct Config {
//!     connection: ServiceUrl,
//!     replicas: u32,
//! }
//!
//! impl FromEnv for Config {
//!     fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported> {
//!         let connection = env.required("MESSAGING_CONNECTION_URL");
//!         let replicas = env.or("MESSAGING_MAX_REPLICAS", 4);
//!         Ok(Self { connection: connection?, replicas: replicas? })
//!     }
//! }
//!
//! impl Service for Messaging {
//!     const NAME: &'static str = "messaging";
//!     type Config = Config;
//!
//!     fn migrator() -> &'static sqlx::migrate::Migrator {
//!         static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate::Migrator::DEFAULT; // sqlx::migrate!()
//!         &MIGRATOR
//!     }
//!
//!     async fn build(context: Context, config: Config) -> Result<Endpoints, BoxError> {
//!         let connection = context.channel(&config.connection)?;
//!         let stop = context.stop.clone();
//!         context.tasks.spawn("work", OnExit::StopProcess, async move { stop.soft().cancelled().await });
//!         let keys = context.authenticator(RemoteKeys::new(connection));
//!         Ok(Endpoints::new(keys).application(Routes::new(ApplicationServiceServer::new(Applications))))
//!     }
//! }
//!
//! struct Applications;
//!
//! #[tonic::async_trait]
//! impl ApplicationService for Applications {
//!     async fn get_application(&self, request: tonic::Request<GetApplicationRequest>) -> Reply<GetApplicationResponse> {
//!         let application = caller::application(&request)?;
//!         Ok(tonic::Response::new(GetApplicationResponse { key_id: application.key.to_string(), ..Default::default() }))
//!     }
//!
//!     async fn update_application_settings(
//!         &self,
//!         _: tonic::Request<UpdateApplicationSettingsRequest>,
//!     ) -> Reply<UpdateApplicationSettingsResponse> {
//!         Err(tonic::Status::unimplemented("an example"))
//!     }
//! }
//!
//! // #[global_allocator] static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
//! fn main() -> ExitCode {
//!     outeract_runtime::main::<Messaging>()
//! }
//! ```
//!
//! Commands: `serve` (also without any), `migrate`, `config check`, and those that a service adds.

mod base;
pub mod config;
mod entry;
mod health;
mod http1;
mod log;
mod measure;
mod ops;
mod probe;
mod process;
mod service;
mod stop;
mod tasks;
mod telemetry;

pub use entry::main;
pub use health::{Health, Part};
pub use outeract_rpc::trace;
pub use process::{Addresses, Outcome, Process};
pub use service::{Context, Endpoints, Service, ServiceIdentity};
pub use stop::Stop;
pub use tasks::{Ended, OnExit, Tasks};
