//! What is sealed of subscriptions and deliveries.

use std::sync::Arc;

use outeract_clock::{Random, SharedRandom};
use outeract_proto::tracking::v1::{DeliveryAttempt, WebhookDelivery};
use outeract_rpc::Fault;
use outeract_seal::{Aad, KeyRing, Secret};
use prost::Message as _;
use uuid::Uuid;

/// Attempts kept of a delivery.
const MAX_ATTEMPTS: usize = 12;

/// Seals and opens targets, secrets and attempts.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    ring: Arc<KeyRing>,
    random: SharedRandom,
}

/// What is sealed of a subscription.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    Target,
    Secret,
}

// === impl Vault ===

impl Vault {
    pub(crate) fn new(ring: Arc<KeyRing>, random: SharedRandom) -> Self {
        Self { ring, random }
    }

    /// Seals a text of the subscription `id`.
    pub(crate) fn seal(&self, application: Uuid, column: Column, id: Uuid, text: &str) -> Vec<u8> {
        self.ring
            .seal(&subscription(application, column, &id), text.as_bytes(), self.random())
    }

    /// Opens it.
    pub(crate) fn open(&self, application: Uuid, column: Column, id: Uuid, sealed: &[u8]) -> Result<Secret, Fault> {
        let opened = self
            .ring
            .open(&subscription(application, column, &id), sealed)
            .map_err(Fault::data_loss)?;
        String::from_utf8(opened).map(Secret::new).map_err(Fault::data_loss)
    }

    /// Seals the latest attempts of a delivery.
    pub(crate) fn seal_attempts(&self, application: Uuid, id: Uuid, mut attempts: Vec<DeliveryAttempt>) -> Vec<u8> {
        let surplus = attempts.len().saturating_sub(MAX_ATTEMPTS);
        attempts.drain(..surplus);
        let log = WebhookDelivery {
            attempts,
            ..WebhookDelivery::default()
        };
        self.ring
            .seal(&delivery(application, &id), &log.encode_to_vec(), self.random())
    }

    /// Opens them.
    pub(crate) fn open_attempts(
        &self,
        application: Uuid,
        id: Uuid,
        sealed: &[u8],
    ) -> Result<Vec<DeliveryAttempt>, Fault> {
        let opened = self
            .ring
            .open(&delivery(application, &id), sealed)
            .map_err(Fault::data_loss)?;
        let log = WebhookDelivery::decode(opened.as_slice()).map_err(Fault::data_loss)?;
        Ok(log.attempts)
    }

    /// Randomness.
    pub(crate) fn random(&self) -> &dyn Random {
        &*self.random
    }
}

fn subscription(application: Uuid, column: Column, id: &Uuid) -> Aad<'_> {
    let column = match column {
        Column::Target => "target",
        Column::Secret => "secret",
    };
    Aad::new(Some(application), "subscription", column, id.as_bytes())
}

fn delivery(application: Uuid, id: &Uuid) -> Aad<'_> {
    Aad::new(Some(application), "delivery", "attempt_log", id.as_bytes())
}
