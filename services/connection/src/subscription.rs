//! Keeps the Meta app's webhook subscription: one callback for the whole installation, made once a number is connected, and confirmed daily.

use std::sync::Arc;
use std::time::Duration;

use outeract_postgres::Summary;
use outeract_seal::{KeyRing, Secret};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::meta::Meta;
use crate::store::subscription;

/// What Meta is asked to send. A change here subscribes anew by itself.
const FIELDS: &[&str] = &["messages", "account_update"];
const FRESH: Duration = Duration::from_hours(24);
const CHECK: Duration = Duration::from_mins(1);
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_mins(5);

/// Where Meta is to send webhooks.
#[derive(Debug, Clone)]
pub struct Callback {
    /// The public URL of the webhook service's edge.
    pub url: String,
    /// What Meta presents there in its handshake.
    pub verify_token: Secret,
}

/// Keeps the subscription as it should be.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) callback: Callback,
    pub(crate) db: PgPool,
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) meta: Arc<Meta>,
    /// Rung when a connection was made.
    pub(crate) connected: Arc<Notify>,
}

// === impl Subscriber ===

impl Subscriber {
    /// Never ends by itself. Replicas may do the same at once: the call is idempotent.
    pub(crate) async fn run(self) {
        let mut retry = FIRST_RETRY;
        loop {
            let pause = if self.reconcile().await {
                retry = FIRST_RETRY;
                CHECK
            } else {
                retry = (retry * 2).min(LONGEST_RETRY);
                retry / 2
            };
            // Woken or not, look again.
            let _ = timeout(pause, self.connected.notified()).await;
        }
    }

    /// Whether all is as it should be.
    async fn reconcile(&self) -> bool {
        let fingerprint = self.fingerprint();
        match subscription::is_due(&self.db, &fingerprint, FRESH).await {
            Ok(false) => return true,
            Ok(true) => {}
            Err(error) => {
                tracing::warn!("Whether the app is subscribed cannot be read: {}", Summary(&error));
                return false;
            }
        }
        let Callback { url, verify_token } = &self.callback;
        if let Err(error) = self.meta.subscribe_app(url, verify_token, FIELDS).await {
            tracing::warn!("Meta did not subscribe the app to webhooks; will try again: {error}");
            return false;
        }
        tracing::info!("The app is subscribed to webhooks");
        match subscription::confirm(&self.db, &fingerprint).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!("The subscription cannot be noted: {}", Summary(&error));
                false
            }
        }
    }

    /// Differs when anything of the subscription does.
    fn fingerprint(&self) -> [u8; 32] {
        let parts = [
            self.meta.app_id(),
            &self.callback.url,
            self.callback.verify_token.expose(),
        ];
        let text = parts
            .into_iter()
            .chain(FIELDS.iter().copied())
            .collect::<Vec<_>>()
            .join("\n");
        self.ring.keyed_hash("app subscription", text.as_bytes())
    }
}
