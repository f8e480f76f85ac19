//! One process of the service, in a runtime of its own, so that it can be killed.

use std::time::Duration;

use outeract_messaging::{Config, Timing};
use outeract_proto::messaging::admin::v1::admin_service_client::AdminServiceClient;
use outeract_proto::messaging::internal::v1::messaging_internal_service_client::MessagingInternalServiceClient;
use outeract_proto::messaging::v1::contact_service_client::ContactServiceClient;
use outeract_proto::messaging::v1::file_service_client::FileServiceClient;
use outeract_proto::messaging::v1::messaging_service_client::MessagingServiceClient;
use outeract_proto::messaging::v1::template_service_client::TemplateServiceClient;
use outeract_rpc::{BoxError, Channel, ServiceCredential};
use outeract_runtime::config::Env;
use outeract_runtime::{Addresses, Context, Endpoints, Outcome, Process, Service};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;

/// A running process.
pub(crate) struct Instance {
    pub(crate) addresses: Addresses,
    runtime: Option<Runtime>,
    stop: Box<dyn Fn() + Send + Sync>,
    waiting: Option<JoinHandle<Outcome>>,
}

/// What an application calls with.
pub(crate) type Client = MessagingServiceClient<InterceptedService<tonic::transport::Channel, Bearer>>;

/// What an application calls with for its files.
pub(crate) type FileClient = FileServiceClient<InterceptedService<tonic::transport::Channel, Bearer>>;
/// What an application asks of templates with.
pub(crate) type TemplateClient = TemplateServiceClient<InterceptedService<tonic::transport::Channel, Bearer>>;

/// What an operator calls with.
pub(crate) type Admin = AdminServiceClient<InterceptedService<tonic::transport::Channel, Bearer>>;

/// What an application asks about users with.
pub(crate) type People = ContactServiceClient<InterceptedService<tonic::transport::Channel, Bearer>>;

/// Presents a key.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(MetadataValue<tonic::metadata::Ascii>);

/// The service, looking after things more often than in production.
struct Quick;

/// As [`Quick`], but patient: where many processes share few CPUs, none is thought dead, and no call lost, that is only slow.
struct Patient;

/// What tests do not wait long for.
pub(crate) const QUICK: Timing = Timing {
    heartbeat: Duration::from_millis(300),
    expiry: Duration::from_millis(1_500),
    belief: Duration::from_millis(1_200),
    ownership: Duration::from_millis(50),
    scan: Duration::from_millis(150),
    call_budget: Duration::from_secs(3),
    patience: Duration::from_secs(2),
    pull: Duration::from_millis(500),
    refresh: Duration::from_millis(100),
    overdue: Duration::from_millis(800),
    unauthorised: Duration::from_secs(30),
    upload_stall: Duration::from_secs(1),
    sweep: Duration::from_millis(200),
    erasure_settles: Duration::from_millis(500),
};

impl Service for Quick {
    const NAME: &'static str = "messaging";
    type Config = Config;

    fn migrator() -> &'static sqlx::migrate::Migrator {
        outeract_messaging::migrator()
    }

    async fn build(context: Context, config: Config) -> Result<Endpoints, BoxError> {
        outeract_messaging::build(context, config, QUICK).await
    }
}

impl Service for Patient {
    const NAME: &'static str = Quick::NAME;
    type Config = Config;

    fn migrator() -> &'static sqlx::migrate::Migrator {
        Quick::migrator()
    }

    async fn build(context: Context, config: Config) -> Result<Endpoints, BoxError> {
        let timing = Timing {
            heartbeat: Duration::from_secs(1),
            expiry: Duration::from_secs(30),
            belief: Duration::from_secs(25),
            call_budget: Duration::from_secs(20),
            ..QUICK
        };
        outeract_messaging::build(context, config, timing).await
    }
}

// === impl Instance ===

impl Instance {
    pub(crate) async fn start(env: Env) -> Self {
        Self::start_as::<Quick>(env).await
    }

    /// A process that others do not take for dead because it is slow.
    pub(crate) async fn start_patient(env: Env) -> Self {
        Self::start_as::<Patient>(env).await
    }

    async fn start_as<S: Service>(env: Env) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("messaging-svc")
            .enable_all()
            .build()
            .expect("a runtime");
        let process = runtime
            .spawn(async move { Process::start::<S>(&env).await })
            .await
            .expect("no panic")
            .expect("starts");
        let addresses = process.addresses();
        let stop = Box::new(process.stopper());
        let waiting = runtime.spawn(process.wait());
        Self {
            addresses,
            runtime: Some(runtime),
            stop,
            waiting: Some(waiting),
        }
    }

    /// Ends the process as SIGKILL would: nothing of it runs any more, and nothing was tidied up.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Ends the process as SIGTERM does, and waits.
    pub(crate) async fn stop(mut self) -> Outcome {
        (self.stop)();
        let outcome = self.waiting.take().expect("runs").await.expect("no panic");
        self.end();
        outcome
    }

    pub(crate) async fn client(&self, key: &str) -> Client {
        MessagingServiceClient::with_interceptor(self.channel().await, bearer(key))
    }

    pub(crate) async fn files(&self, key: &str) -> FileClient {
        FileServiceClient::with_interceptor(self.channel().await, bearer(key))
    }

    pub(crate) async fn templates(&self, key: &str) -> TemplateClient {
        TemplateServiceClient::with_interceptor(self.channel().await, bearer(key))
    }

    pub(crate) async fn contacts(&self, key: &str) -> People {
        ContactServiceClient::with_interceptor(self.channel().await, bearer(key))
    }

    async fn channel(&self) -> tonic::transport::Channel {
        let endpoint =
            tonic::transport::Endpoint::from_shared(format!("http://{}", self.addresses.application)).expect("a URL");
        endpoint.connect().await.expect("connects")
    }

    /// What an operator calls with.
    pub(crate) async fn admin(&self, key: &str) -> Admin {
        let endpoint =
            tonic::transport::Endpoint::from_shared(format!("http://{}", self.addresses.internal)).expect("a URL");
        let channel = endpoint.connect().await.expect("connects");
        AdminServiceClient::with_interceptor(channel, bearer(key))
    }

    /// A client for the internal listener, as `service`.
    pub(crate) fn internal(&self, service: &'static str) -> MessagingInternalServiceClient<Channel> {
        let credential = ServiceCredential::new(service, &secret_of(service)).expect("a credential");
        let channel = Channel::new(&format!("http://{}", self.addresses.internal), credential).expect("a URL");
        MessagingInternalServiceClient::new(channel)
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.end();
    }
}

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

fn bearer(key: &str) -> Bearer {
    Bearer(format!("Bearer {key}").parse().expect("a header"))
}

/// A service's secret in tests.
pub(crate) fn secret_of(service: &str) -> String {
    format!("secret-of-the-{service}-service-in-these-tests")
}
