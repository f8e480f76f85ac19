//! Keeping the projection up to date.

use std::time::Duration;

use outeract_proto::connection::internal::v1::ListConnectionStatesRequest;
use outeract_proto::connection::internal::v1::connection_internal_service_client::ConnectionInternalServiceClient;
use outeract_rpc::Channel;
use outeract_runtime::Stop;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Projection, TakeOverError};
use crate::config::Timing;
use crate::seldom::Seldom;

/// Pulls all connections from the connection service, one pull at a time.
#[derive(Debug)]
pub(crate) struct Keeper {
    projection: Projection,
    client: ConnectionInternalServiceClient<Channel>,
    last: Mutex<Option<Instant>>,
}

/// A pull failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    #[error("the connection service answered {0:?}")]
    Away(tonic::Code),
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
}

const PAGE: i32 = 500;
/// Between pulls that fail.
const AGAIN: Duration = Duration::from_secs(5);
/// A pull this young is not repeated for one connection that is missing.
const FRESH: Duration = Duration::from_secs(1);
/// What changed while a refresh ran is seen by the next: by this much they overlap.
const OVERLAP: time::Duration = time::Duration::seconds(10);

// === impl Keeper ===

impl Keeper {
    pub(crate) fn new(projection: Projection, channel: Channel) -> Self {
        Self {
            projection,
            client: ConnectionInternalServiceClient::new(channel),
            last: Mutex::new(None),
        }
    }

    /// Pulls everything, unless that was done a moment ago.
    pub(crate) async fn pull(&self) -> Result<(), PullError> {
        let mut last = self.last.lock().await;
        if last.is_some_and(|last| last.elapsed() < FRESH) {
            return Ok(());
        }
        let mut page_token = String::new();
        loop {
            let request = ListConnectionStatesRequest {
                page_size: PAGE,
                page_token,
            };
            let page = self
                .client
                .clone()
                .list_connection_states(request)
                .await
                .map_err(|status| PullError::Away(status.code()))?
                .into_inner();
            self.projection.take_over(page.connections).await?;
            page_token = page.next_page_token;
            if page_token.is_empty() {
                *last = Some(Instant::now());
                return Ok(());
            }
        }
    }
}

/// Refreshes from the database and pulls from the connection service, until the process stops. Reads the whole table first.
pub(crate) async fn keep(keeper: std::sync::Arc<Keeper>, timing: Timing, stop: Stop) {
    let mut since = OffsetDateTime::UNIX_EPOCH;
    let mut refresh = tokio::time::interval(timing.refresh);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_pull = Instant::now();
    let (unread, unpulled) = (Seldom::default(), Seldom::default());
    loop {
        tokio::select! {
            () = stop.soft().cancelled() => return,
            _ = refresh.tick() => {}
        }
        match keeper.projection.refresh(since).await {
            Ok(now) => since = now - OVERLAP,
            Err(cause) if unread.again() => tracing::warn!(%cause, "Connections could not be read"),
            Err(_) => {}
        }
        if Instant::now() >= next_pull {
            next_pull = Instant::now() + timing.pull;
            if let Err(cause) = keeper.pull().await {
                if unpulled.again() {
                    tracing::warn!(%cause, "Connections could not be pulled");
                }
                next_pull = Instant::now() + timing.pull.min(AGAIN);
            }
        }
    }
}
