//! Tells messaging and webhook what became of connections. The outbox is the truth; a push straight after a commit makes a new connection usable at
//! once. Each target has its own task, so one that is away holds back nobody.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use metrics::gauge;
use outeract_clock::SharedRandom;
use outeract_proto::connection::internal::v1::ConnectionSnapshot;
use outeract_proto::messaging::internal::v1::messaging_internal_service_client::MessagingInternalServiceClient;
use outeract_proto::webhook::internal::v1::webhook_internal_service_client::WebhookInternalServiceClient;
use outeract_proto::{messaging, webhook};
use outeract_rpc::Channel;
use outeract_seal::KeyRing;
use sqlx::PgPool;
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::convert;
use crate::store::outbox::Due;
use crate::store::{connection, outbox};

/// What is due right after a commit is left to the handler for this long.
pub(crate) const HOLD: Duration = Duration::from_secs(2);
/// What the handler spends on it.
const AT_ONCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(500);
/// A batch that is neither confirmed nor put off by then is someone else's.
const LEASE: Duration = Duration::from_secs(20);
const CALL: Duration = Duration::from_secs(10);
const BATCH: i64 = 500;
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(15);

/// The services that are told.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    targets: Arc<[Target]>,
}

/// One service that is told.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    name: &'static str,
    task: &'static str,
    client: Client,
}

#[derive(Debug, Clone)]
enum Client {
    Messaging(MessagingInternalServiceClient<Channel>),
    Webhook(WebhookInternalServiceClient<Channel>),
}

/// Sends a target what is due for it, for ever.
#[derive(Debug)]
pub(crate) struct Courier {
    pub(crate) target: Target,
    pub(crate) db: PgPool,
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) random: SharedRandom,
}

/// Whether to try others of a batch after a failure.
#[derive(Debug, PartialEq, Eq)]
enum Blame {
    /// The target, or the way to it: nothing will pass now.
    Target,
    /// Something in the batch.
    Item,
}

// === impl Push ===

impl Push {
    /// Tells messaging and webhook over these channels.
    pub(crate) fn new(messaging: Channel, webhook: Channel) -> Self {
        let messaging = Client::Messaging(MessagingInternalServiceClient::new(messaging));
        let webhook = Client::Webhook(WebhookInternalServiceClient::new(webhook));
        let target = |name, task, client| Target { name, task, client };
        Self {
            targets: Arc::new([
                target("messaging", "outbox.messaging", messaging),
                target("webhook", "outbox.webhook", webhook),
            ]),
        }
    }

    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The targets' names, as the outbox has them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.targets.iter().map(|target| target.name.to_owned()).collect()
    }

    /// Tells all targets of these connections, as far as one second goes. What fails is left to the outbox.
    pub(crate) async fn at_once(&self, db: &PgPool, snapshots: &[ConnectionSnapshot]) {
        let told = self.targets.iter().map(|target| async move {
            match target.tell(snapshots.to_vec(), AT_ONCE).await {
                Ok(()) => confirm(db, target.name, snapshots).await,
                Err(status) => {
                    tracing::debug!(target.name, code = ?status.code(), "A push at once failed; the outbox will do it");
                    Ok(())
                }
            }
        });
        // Failures to confirm only cause a second, harmless push.
        let _ = timeout(AT_ONCE, join_all(told)).await;
    }
}

// === impl Target ===

impl Target {
    /// The name of the task that tells it.
    pub(crate) fn task(&self) -> &'static str {
        self.task
    }

    async fn tell(&self, connections: Vec<ConnectionSnapshot>, patience: Duration) -> Result<(), Status> {
        match &self.client {
            Client::Messaging(client) => {
                let mut request = Request::new(messaging::internal::v1::PushConnectionsRequest { connections });
                request.set_timeout(patience);
                client.clone().push_connections(request).await?;
            }
            Client::Webhook(client) => {
                let mut request = Request::new(webhook::internal::v1::PushConnectionsRequest { connections });
                request.set_timeout(patience);
                client.clone().push_connections(request).await?;
            }
        }
        Ok(())
    }
}

// === impl Courier ===

impl Courier {
    /// Never ends by itself. Dropped at any point, what it had taken is due again after the lease.
    pub(crate) async fn run(self) {
        let mut away = false;
        loop {
            let pause = match self.round().await {
                Ok(Round::Told { more: true }) => {
                    away = self.back(away);
                    Duration::ZERO
                }
                Ok(Round::Told { more: false }) => {
                    away = self.back(away);
                    POLL
                }
                Ok(Round::Nothing) => POLL,
                Ok(Round::Away(code)) => {
                    if !away {
                        tracing::warn!(
                            sibling = self.target.name,
                            ?code,
                            "Cannot tell {} of connections; will go on trying",
                            self.target.name
                        );
                        away = true;
                    }
                    POLL
                }
                Err(error) => {
                    tracing::warn!(
                        sibling = self.target.name,
                        "The outbox cannot be read: {}",
                        outeract_postgres::Summary(&error)
                    );
                    LONGEST_DELAY / 5
                }
            };
            sleep(pause).await;
        }
    }

    fn back(&self, away: bool) -> bool {
        if away {
            tracing::info!(
                sibling = self.target.name,
                "{} is told of connections again",
                self.target.name
            );
        }
        false
    }

    async fn round(&self) -> sqlx::Result<Round> {
        let waiting = outbox::waiting(&self.db, self.target.name).await?;
        gauge!("connection_outbox_waiting", "target" => self.target.name).set(waiting as f64);
        if waiting == 0 {
            return Ok(Round::Nothing);
        }
        let due = outbox::take(&self.db, self.target.name, BATCH, LEASE).await?;
        if due.is_empty() {
            return Ok(Round::Nothing);
        }
        let ids: Vec<Uuid> = due.iter().map(|due| due.connection_id).collect();
        let rows = connection::with_ids(&self.db, &ids).await?;
        let snapshots: Vec<_> = rows.iter().map(|row| convert::snapshot(&self.ring, row)).collect();
        match self.target.tell(snapshots.clone(), CALL).await {
            Ok(()) => {
                confirm(&self.db, self.target.name, &snapshots).await?;
                Ok(Round::Told {
                    more: due.len() as i64 == BATCH,
                })
            }
            Err(status) if blame(&status) == Blame::Item && due.len() > 1 => self.one_by_one(&due, snapshots).await,
            Err(status) => {
                self.put_off(&due).await?;
                Ok(Round::Away(status.code()))
            }
        }
    }

    /// Finds out what in a batch is refused, and tells the rest.
    async fn one_by_one(&self, due: &[Due], snapshots: Vec<ConnectionSnapshot>) -> sqlx::Result<Round> {
        let mut round = Round::Told { more: false };
        let mut refused = Vec::new();
        for snapshot in snapshots {
            let one = std::slice::from_ref(&snapshot);
            match self.target.tell(one.to_vec(), CALL).await {
                Ok(()) => confirm(&self.db, self.target.name, one).await?,
                Err(status) => {
                    round = Round::Away(status.code());
                    refused.extend(
                        due.iter()
                            .filter(|due| due.connection_id.as_bytes()[..] == snapshot.connection_id[..]),
                    );
                }
            }
        }
        self.put_off(&refused).await?;
        Ok(round)
    }

    async fn put_off(&self, due: &[Due]) -> sqlx::Result<()> {
        let ids: Vec<Uuid> = due.iter().map(|due| due.connection_id).collect();
        let delays: Vec<f64> = due.iter().map(|due| self.delay(due.attempts)).collect();
        outbox::put_off(&self.db, self.target.name, &ids, &delays).await
    }

    /// Doubles with each attempt, within a bound, 20 % more or less.
    fn delay(&self, attempts: i32) -> f64 {
        let doubled = FIRST_DELAY.as_secs_f64() * 2_f64.powi(attempts.clamp(1, 10) - 1);
        let mut byte = [0];
        self.random.fill(&mut byte);
        doubled.min(LONGEST_DELAY.as_secs_f64()) * (0.8 + 0.4 * f64::from(byte[0]) / 255.0)
    }
}

/// What one look at the outbox came to.
#[derive(Debug)]
enum Round {
    Nothing,
    Told { more: bool },
    Away(Code),
}

async fn confirm(db: &PgPool, target: &str, snapshots: &[ConnectionSnapshot]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = snapshots
        .iter()
        .filter_map(|snapshot| Uuid::from_slice(&snapshot.connection_id).ok())
        .collect();
    let versions: Vec<i64> = snapshots.iter().map(|snapshot| snapshot.version).collect();
    outbox::confirm(db, target, &ids, &versions).await
}

fn blame(status: &Status) -> Blame {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss => Blame::Item,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Unimplemented
        | Code::Unavailable
        | Code::Unauthenticated => Blame::Target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_lie_in_an_item_is_searched_for() {
        assert_eq!(blame(&Status::invalid_argument("")), Blame::Item);
        assert_eq!(blame(&Status::internal("")), Blame::Item);
        assert_eq!(blame(&Status::unavailable("")), Blame::Target);
        assert_eq!(blame(&Status::unauthenticated("")), Blame::Target);
    }
}
