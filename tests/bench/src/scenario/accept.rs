//! `SendMessage` until it is durable, against an echo of the same message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use outeract_e2e::text_message;
use outeract_proto::messaging::v1::messaging_service_client::MessagingServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::cpu::Watch;
use crate::load;
use crate::report::Report;
use crate::stage::{Stage, Tenant};

const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_secs(4);
const CONNECTIONS: usize = 4;
const BODY: &str = "Hello, your order has left our warehouse and will arrive tomorrow between nine and twelve. Reply to this message if you need another time.";

/// Clients over a few connections, shared by many requests in flight.
pub(crate) struct Clients {
    channels: Vec<MessagingServiceClient<Channel>>,
    key: MetadataValue<Ascii>,
    connections: Vec<String>,
    next: AtomicU64,
    run: u64,
}

/// Tells the idempotency keys of one run from those of another.
static RUNS: AtomicU64 = AtomicU64::new(0);

pub(crate) async fn run() -> Result<Report> {
    let mut stage = Stage::start(true, &[]).await?;
    // Few messages leave while the rest is stored: the numbers' own limit sees to that.
    let tenant = stage.tenant("Accept", 4, 80).await?;
    let (echo, echo_at) = stage.floor("echo")?;
    let mut watch = stage.watch();
    watch.add("floor", echo.pid());
    let floor = Clients::connect(&format!("http://{echo_at}"), &tenant).await?;
    let real = Clients::connect(stage.urls.get("MESSAGING_URL")?, &tenant).await?;
    let mut report = Report::default();
    for _ in 0..ROUNDS {
        for in_flight in [64, 256] {
            measure(&mut report, &watch, &format!("echo @{in_flight}"), &floor, in_flight).await?;
            measure(&mut report, &watch, &format!("accept @{in_flight}"), &real, in_flight).await?;
        }
    }
    for in_flight in [64, 256] {
        let ratio = report.median(&format!("accept @{in_flight}/s")) / report.median(&format!("echo @{in_flight}/s"));
        report.at_least(&format!("accept ÷ tonic echo, {in_flight} in flight"), ratio, 0.33);
    }
    Ok(report)
}

async fn measure(
    report: &mut Report,
    watch: &Watch,
    name: &str,
    clients: &Arc<Clients>,
    in_flight: usize,
) -> Result<()> {
    let before = watch.sample()?;
    let lanes = (0..in_flight).map(|lane| clients.lane(lane)).collect();
    let measured = load::closed(lanes, TIME).await?;
    report.row(name, &measured, &watch.sample()?.since(&before));
    Ok(())
}

impl Clients {
    pub(crate) async fn connect(url: &str, tenant: &Tenant) -> Result<Arc<Self>> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            let channel = Endpoint::from_shared(url.to_owned())?
                .tcp_nodelay(true)
                .connect()
                .await?;
            channels.push(MessagingServiceClient::new(channel));
        }
        Ok(Arc::new(Self {
            channels,
            key: format!("Bearer {}", tenant.api.key).parse()?,
            connections: tenant.connections.clone(),
            next: AtomicU64::new(0),
            run: RUNS.fetch_add(1, Ordering::Relaxed),
        }))
    }

    /// Sends one message to one of a thousand users and says whether it was stored.
    pub(crate) async fn send(self: Arc<Self>, lane: usize) -> bool {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = &self.connections[number as usize % self.connections.len()];
        let recipient = format!("+1415555{:04}", number % 1_000);
        let message = text_message(format!("bench-{}-{number}", self.run), connection, &recipient, BODY);
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("authorization", self.key.clone());
        self.channels[lane % self.channels.len()]
            .clone()
            .send_message(request)
            .await
            .is_ok()
    }

    /// Sends one message after the other.
    pub(crate) fn lane(
        self: &Arc<Self>,
        lane: usize,
    ) -> impl FnMut() -> std::pin::Pin<Box<dyn Future<Output = bool> + Send>> + Send + 'static {
        let clients = Arc::clone(self);
        move || Box::pin(Arc::clone(&clients).send(lane))
    }
}
