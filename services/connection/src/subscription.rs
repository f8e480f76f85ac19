//! Keeps the Meta app's webhook subscription: one callback for the whole installation, made once a number is connected, and confirmed daily.

use std::sync::Arc;
use std::time::Duration;

use outeract_graph::CallError;
use outeract_postgres::Summary;
use outeract_seal::{KeyRing, Secret};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::meta::Meta;
use crate::store::subscription;

/// What must be heard of; Meta's pages have named these fields for long.
const NEEDED: &[&str] = &[
    "messages",
    "account_update",
    "account_alerts",
    "account_review_update",
    "business_capability_update",
    "phone_number_quality_update",
    "phone_number_name_update",
    "security",
    "message_template_status_update",
    "message_template_quality_update",
    "message_template_components_update",
    "template_category_update",
    "user_preferences",
];
/// What else is understood, and documented.
const WANTED: &[&str] = &[
    "calls",
    "flows",
    "history",
    "partner_solutions",
    "payment_configuration_update",
    "smb_app_state_sync",
    "smb_message_echoes",
    "user_id_update",
];
/// What is younger, or for some apps only.
const YOUNG: &[&str] = &[
    "account_settings_update",
    "automatic_events",
    "business_username_update",
    "group_lifecycle_update",
    "group_participants_update",
    "group_settings_update",
    "group_status_update",
    "messaging_handovers",
    "tracking_events",
];
/// What Meta is asked to send: everything that is understood. One field that Meta does not have for the app makes it refuse all: then the next list is asked for. A change here subscribes anew by
/// itself. These are the app's fields; an account that is subscribed (`subscribed_apps`) has none of its own.
const LISTS: [&[&[&str]]; 3] = [&[NEEDED, WANTED, YOUNG], &[NEEDED, WANTED], &[NEEDED]];
/// Meta's code for a parameter that it does not take, among them unknown fields.
const INVALID_PARAMETER: i32 = 100;
/// Until the whole list is asked for again, where Meta did not take it.
const NARROW: Duration = Duration::from_hours(1);
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

/// How the subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As it should be.
    Whole,
    /// Without fields that Meta did not take.
    Narrow,
    /// Not known, or not made.
    Failed,
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
            let standing = self.reconcile().await;
            let pause = match standing {
                Standing::Whole => CHECK,
                Standing::Narrow => NARROW,
                Standing::Failed => retry,
            };
            retry = match standing {
                Standing::Whole | Standing::Narrow => FIRST_RETRY,
                Standing::Failed => (retry * 2).min(LONGEST_RETRY),
            };
            // Woken or not, look again.
            let _ = timeout(pause, self.connected.notified()).await;
        }
    }

    async fn reconcile(&self) -> Standing {
        let fingerprint = self.fingerprint();
        match subscription::is_due(&self.db, &fingerprint, FRESH).await {
            Ok(false) => return Standing::Whole,
            Ok(true) => {}
            Err(error) => {
                tracing::warn!("Whether the app is subscribed cannot be read: {}", Summary(&error));
                return Standing::Failed;
            }
        }
        let standing = self.subscribe().await;
        if standing != Standing::Whole {
            return standing;
        }
        tracing::info!("The app is subscribed to webhooks");
        match subscription::confirm(&self.db, &fingerprint).await {
            Ok(()) => Standing::Whole,
            Err(error) => {
                tracing::warn!("The subscription cannot be noted: {}", Summary(&error));
                Standing::Failed
            }
        }
    }

    /// Asks for all fields, or for as many as Meta takes.
    async fn subscribe(&self) -> Standing {
        let Callback { url, verify_token } = &self.callback;
        for (index, lists) in LISTS.iter().enumerate() {
            let fields = lists.concat();
            match self.meta.subscribe_app(url, verify_token, &fields).await {
                Ok(()) if index == 0 => return Standing::Whole,
                Ok(()) => {
                    tracing::warn!(
                        fields = fields.len(),
                        "Meta does not have every field of webhooks for this app: it is subscribed to {} of them",
                        fields.len()
                    );
                    return Standing::Narrow;
                }
                Err(CallError::Refused(error)) if error.code == INVALID_PARAMETER && index + 1 < LISTS.len() => {}
                Err(error) => {
                    tracing::warn!("Meta did not subscribe the app to webhooks; will try again: {error}");
                    return Standing::Failed;
                }
            }
        }
        Standing::Failed
    }

    /// Differs when anything of the subscription does.
    fn fingerprint(&self) -> [u8; 32] {
        let parts = [
            self.meta.app_id(),
            &self.callback.url,
            self.callback.verify_token.expose(),
        ];
        let fields = LISTS[0].concat();
        let text = parts.into_iter().chain(fields).collect::<Vec<_>>().join("\n");
        self.ring.keyed_hash("app subscription", text.as_bytes())
    }
}
