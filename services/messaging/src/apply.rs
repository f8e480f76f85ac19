//! What webhooks tell: messages from users, statuses as evidence of acceptance, and news of accounts and their users. Applying an item twice changes nothing.

mod account;
mod call;
mod inbound;
mod read;
mod status;

use std::sync::Arc;

use outeract_clock::SharedClock;
use outeract_domain::{ApplicationId, ConnectionId};
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{AccountItem, InboundItem, Item, ItemOutcome, ItemResult, StatusItem};
use outeract_rpc::Fault;
use sqlx::PgPool;

use crate::contacts::{Consent, Learner, Registry};
use crate::dispatch::{Aftermath, Recorder, Traffic};
use crate::files::Files;
use crate::limits::Limits;
use crate::projection::{Connection, Keeper, Projection};
use crate::receipts::Receipts;
use crate::templates::Templates;
use crate::vault::Vault;
use crate::window::Windows;

/// Applies items.
#[derive(Debug)]
pub(crate) struct Applier {
    pub db: PgPool,
    pub clock: SharedClock,
    pub vault: Vault,
    pub projection: Projection,
    pub keeper: Arc<Keeper>,
    pub registry: Registry,
    pub learner: Learner,
    pub consent: Consent,
    pub recorder: Recorder,
    pub receipts: Receipts,
    pub traffic: Traffic,
    pub windows: Windows,
    pub aftermath: Aftermath,
    pub templates: Templates,
    pub files: Files,
    pub limits: Limits,
}

/// An item and the connection it was routed to.
#[derive(Debug)]
struct Routed<T> {
    /// Where it stands among the items.
    index: usize,
    application: ApplicationId,
    connection: Arc<Connection>,
    item: T,
}

/// Items by kind, and the results so far.
#[derive(Debug, Default)]
struct Sorted {
    inbound: Vec<Routed<InboundItem>>,
    statuses: Vec<Routed<StatusItem>>,
    accounts: Vec<Routed<AccountItem>>,
    results: Vec<ItemResult>,
}

/// Stable reasons of refused items.
mod reason {
    pub(super) const MALFORMED: &str = "MALFORMED_ITEM";
    pub(super) const CONNECTION_UNKNOWN: &str = "CONNECTION_UNKNOWN";
    pub(super) const ROUTE_MISMATCH: &str = "ROUTE_MISMATCH";
    pub(super) const SENDER_UNKNOWN: &str = "SENDER_UNKNOWN";
    pub(super) const FOREIGN_MESSAGE: &str = "FOREIGN_MESSAGE";
    pub(super) const FIELD_UNSUPPORTED: &str = "FIELD_UNSUPPORTED";
}

// === impl Applier ===

impl Applier {
    /// Applies items; one result each, in their order. An error may have applied some of them.
    pub(crate) async fn apply(&self, items: Vec<Item>) -> Result<Vec<ItemResult>, Fault> {
        let mut sorted = self.sort(items).await?;
        self.apply_statuses(&sorted.statuses, &mut sorted.results).await?;
        self.apply_inbound(&sorted.inbound, &mut sorted.results).await?;
        self.apply_accounts(&sorted.accounts, &mut sorted.results).await?;
        Ok(sorted.results)
    }

    async fn sort(&self, items: Vec<Item>) -> Result<Sorted, Fault> {
        let mut sorted = Sorted {
            results: vec![ItemResult::default(); items.len()],
            ..Sorted::default()
        };
        for (index, item) in items.into_iter().enumerate() {
            let (Some(application), Some(connection)) = (
                ApplicationId::from_slice(&item.application_id),
                ConnectionId::from_slice(&item.connection_id),
            ) else {
                sorted.results[index] = refused(reason::MALFORMED);
                continue;
            };
            let Some(connection) = self.connection(connection).await? else {
                sorted.results[index] = refused(reason::CONNECTION_UNKNOWN);
                continue;
            };
            if connection.application != application || connection.number.as_str() != item.phone_number_id {
                sorted.results[index] = refused(reason::ROUTE_MISMATCH);
                continue;
            }
            match item.kind {
                Some(Kind::Inbound(item)) => sorted.inbound.push(Routed {
                    index,
                    application,
                    connection,
                    item,
                }),
                Some(Kind::Status(item)) => sorted.statuses.push(Routed {
                    index,
                    application,
                    connection,
                    item,
                }),
                Some(Kind::Account(item)) => sorted.accounts.push(Routed {
                    index,
                    application,
                    connection,
                    item,
                }),
                None => sorted.results[index] = refused(reason::MALFORMED),
            }
        }
        Ok(sorted)
    }

    /// The connection. One that is new may be known to the webhook service before it is known here: then all are pulled, and only one that is still missing does not exist.
    async fn connection(&self, id: ConnectionId) -> Result<Option<Arc<Connection>>, Fault> {
        if let Some(known) = self.projection.get(id).await? {
            return Ok(Some(known));
        }
        self.keeper.pull().await.map_err(Fault::unavailable)?;
        Ok(self.projection.known(id.uuid()))
    }
}

fn refused(reason: &str) -> ItemResult {
    ItemResult {
        outcome: ItemOutcome::Refused.into(),
        message_id: Vec::new(),
        contact_id: Vec::new(),
        reason: reason.to_owned(),
        file_id: Vec::new(),
    }
}
