//! Calls as an application and an operator make them: generated stubs, and a key in the metadata.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use outeract_proto::connection::admin::v1::admin_service_client::AdminServiceClient;
use outeract_proto::connection::admin::v1::{CreateApplicationRequest, CreateKeyRequest};
use outeract_proto::connection::v1::application_service_client::ApplicationServiceClient;
use outeract_proto::connection::v1::connection_service_client::ConnectionServiceClient;
use outeract_proto::connection::v1::{Connection, CreateConnectionRequest};
use outeract_proto::messaging::v1::file_service_client::FileServiceClient;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::messaging_service_client::MessagingServiceClient;
use outeract_proto::messaging::v1::{MessageContent, SendMessageRequest, SendWait, TextContent};
use outeract_proto::tracking::v1::event_service_client::EventServiceClient;
use outeract_proto::tracking::v1::subscription_service_client::SubscriptionServiceClient;
use outeract_proto::webhook::admin::v1::admin_service_client::AdminServiceClient as WebhookAdminClient;
use outeract_proto::webhook::v1::webhook_service_client::WebhookServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

/// Where the services listen, as `cargo dev` hands it to client programs.
#[derive(Debug, Clone)]
pub struct Urls {
    variables: BTreeMap<String, String>,
}

/// Adds a key to every call.
#[derive(Debug, Clone)]
pub struct Bearer(MetadataValue<Ascii>);

type Keyed = InterceptedService<Channel, Bearer>;

/// The application listeners, called with an application's key.
#[derive(Debug, Clone)]
pub struct Api {
    /// The key in clear.
    pub key: String,
    /// The application's id.
    pub application_id: String,
    /// `outeract.connection.v1.ApplicationService`.
    pub application: ApplicationServiceClient<Keyed>,
    /// `outeract.connection.v1.ConnectionService`.
    pub connections: ConnectionServiceClient<Keyed>,
    /// `outeract.messaging.v1.MessagingService`.
    pub messaging: MessagingServiceClient<Keyed>,
    /// `outeract.messaging.v1.FileService`.
    pub files: FileServiceClient<Keyed>,
    /// `outeract.tracking.v1.EventService`.
    pub events: EventServiceClient<Keyed>,
    /// `outeract.tracking.v1.SubscriptionService`.
    pub subscriptions: SubscriptionServiceClient<Keyed>,
    /// `outeract.webhook.v1.WebhookService`.
    pub webhooks: WebhookServiceClient<Keyed>,
}

/// The admin services on the internal listeners, called with the operator key.
#[derive(Debug, Clone)]
pub struct Admin {
    /// `outeract.connection.admin.v1.AdminService`.
    pub connection: AdminServiceClient<Keyed>,
    /// `outeract.webhook.admin.v1.AdminService`.
    pub webhook: WebhookAdminClient<Keyed>,
    urls: Urls,
}

// === impl Urls ===

impl Urls {
    /// From `SUITE_…` variables.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = variables.into_iter().filter(|(name, _)| name.starts_with("SUITE_"));
        Self {
            variables: ours.collect(),
        }
    }

    /// The variable `SUITE_<name>`.
    pub fn get(&self, name: &str) -> Result<&str> {
        let value = self.variables.get(&format!("SUITE_{name}"));
        value
            .map(String::as_str)
            .with_context(|| format!("SUITE_{name} is not set: start this through `cargo dev`"))
    }

    /// Calls admin methods with another key.
    pub fn replace_operator_key(&mut self, key: &str) {
        self.variables.insert("SUITE_OPERATOR_KEY".to_owned(), key.to_owned());
    }

    fn channel(&self, name: &str) -> Result<Channel> {
        // Connects at the first call, and again after every restart of the service.
        Ok(Endpoint::from_shared(self.get(name)?.to_owned())?.connect_lazy())
    }
}

// === impl Bearer ===

impl Bearer {
    /// Sends `key` with every call.
    pub fn new(key: &str) -> Result<Self> {
        Ok(Self(format!("Bearer {key}").parse()?))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

// === impl Api ===

impl Api {
    /// Calls with `key`.
    pub fn new(urls: &Urls, key: &str, application_id: &str) -> Result<Self> {
        let bearer = Bearer::new(key)?;
        let keyed = |name: &str| Ok::<_, anyhow::Error>(InterceptedService::new(urls.channel(name)?, bearer.clone()));
        Ok(Self {
            key: key.to_owned(),
            application_id: application_id.to_owned(),
            application: ApplicationServiceClient::new(keyed("CONNECTION_URL")?),
            connections: ConnectionServiceClient::new(keyed("CONNECTION_URL")?),
            messaging: MessagingServiceClient::new(keyed("MESSAGING_URL")?),
            files: FileServiceClient::new(keyed("MESSAGING_URL")?),
            events: EventServiceClient::new(keyed("TRACKING_URL")?),
            subscriptions: SubscriptionServiceClient::new(keyed("TRACKING_URL")?),
            webhooks: WebhookServiceClient::new(keyed("WEBHOOK_URL")?),
        })
    }

    /// Connects every number that `access_token` gives access to in `waba_id`.
    pub async fn connect(&self, access_token: &str, waba_id: &str) -> Result<Vec<Connection>> {
        let request = CreateConnectionRequest {
            access_token: access_token.to_owned(),
            waba_id: waba_id.to_owned(),
            ..CreateConnectionRequest::default()
        };
        Ok(self
            .connections
            .clone()
            .create_connection(request)
            .await?
            .into_inner()
            .connections)
    }
}

// === impl Admin ===

impl Admin {
    /// Calls with the operator key.
    pub fn new(urls: &Urls) -> Result<Self> {
        let bearer = Bearer::new(urls.get("OPERATOR_KEY")?)?;
        let keyed = |name: &str| Ok::<_, anyhow::Error>(InterceptedService::new(urls.channel(name)?, bearer.clone()));
        Ok(Self {
            connection: AdminServiceClient::new(keyed("CONNECTION_INTERNAL_URL")?),
            webhook: WebhookAdminClient::new(keyed("WEBHOOK_INTERNAL_URL")?),
            urls: urls.clone(),
        })
    }

    /// Makes an application and a key with every scope for it.
    pub async fn create_application(&self, name: &str) -> Result<Api> {
        let mut admin = self.connection.clone();
        let created = admin
            .create_application(CreateApplicationRequest { name: name.to_owned() })
            .await?
            .into_inner();
        let Some(application) = created.application else {
            bail!("the answer names no application")
        };
        let request = CreateKeyRequest {
            application_id: application.id.clone(),
            name: "first".to_owned(),
            environment: "test".to_owned(),
            scopes: vec!["*".to_owned()],
            expire_time: None,
        };
        let secret = admin.create_key(request).await?.into_inner().secret;
        Api::new(&self.urls, &secret, &application.id)
    }
}

/// A text message that does not wait for Meta.
pub fn text_message(
    idempotency_key: impl Into<String>,
    connection_id: &str,
    to: &str,
    body: &str,
) -> SendMessageRequest {
    SendMessageRequest {
        idempotency_key: idempotency_key.into(),
        connection_id: connection_id.to_owned(),
        to_external_id: to.to_owned(),
        content: Some(MessageContent {
            kind: Some(Kind::Text(TextContent {
                body: body.to_owned(),
                preview_url: None,
            })),
        }),
        wait: SendWait::Stored.into(),
        ..SendMessageRequest::default()
    }
}

/// The stable reason of an error, or nothing.
pub fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}
