//! What a simulator is started with.

use std::net::SocketAddr;

/// What a simulator is started with. Everything else is set through the control API.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The one Meta app.
    pub app_id: String,
    /// The app's secret: signs webhooks, proves access tokens.
    pub app_secret: String,
    /// What the handshake presents for `webhook_url`.
    pub verify_token: String,
    /// The callback, as if `POST /{app}/subscriptions` had been called. `None`: no webhook is sent until it is.
    pub webhook_url: Option<String>,
    /// Refuse calls with a user's token that lack `appsecret_proof`.
    pub require_proof: bool,
    /// Of all chance: ids, delays, probabilities.
    pub seed: u64,
    /// How webhooks are sent.
    pub webhooks: Webhooks,
    /// When statuses of an accepted message come.
    pub statuses: StatusDelays,
}

/// How webhooks are sent.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// POSTs under way at once.
    pub connections: usize,
    /// Most items in one POST. Meta's bound is 1,000.
    pub max_items: usize,
    /// Milliseconds until a POST without an answer counts as failed.
    pub timeout_ms: u64,
    /// Milliseconds until the first retry; doubles with each further one.
    pub retry_first_ms: u64,
    /// Longest wait between two tries, in milliseconds.
    pub retry_longest_ms: u64,
    /// Milliseconds after the first try when a POST is dropped. Meta gives up after 7 days.
    pub give_up_after_ms: u64,
}

/// Milliseconds from one step to the next, drawn from ranges with both ends included.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StatusDelays {
    /// From the acceptance to `sent`.
    pub sent_ms: (u64, u64),
    /// From `sent` to `delivered`.
    pub delivered_ms: (u64, u64),
    /// From `delivered` to `read`.
    pub read_ms: (u64, u64),
    /// How many of the delivered messages are read, 0 to 1.
    pub read_probability: f64,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            app_id: "784512369870123".to_owned(),
            app_secret: "5f1c0a6be2d94780a3c5b7e9d1f20468".to_owned(),
            verify_token: "simulated-verify-token".to_owned(),
            webhook_url: None,
            require_proof: true,
            seed: 1,
            webhooks: Webhooks::default(),
            statuses: StatusDelays::default(),
        }
    }
}

// === impl Webhooks ===

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            connections: 4,
            max_items: 100,
            timeout_ms: 10_000,
            retry_first_ms: 50,
            retry_longest_ms: 1_000,
            give_up_after_ms: 600_000,
        }
    }
}

// === impl StatusDelays ===

impl Default for StatusDelays {
    fn default() -> Self {
        Self {
            sent_ms: (20, 60),
            delivered_ms: (50, 250),
            read_ms: (100, 800),
            read_probability: 1.0,
        }
    }
}

impl StatusDelays {
    /// Every status at once.
    pub const NONE: Self = Self {
        sent_ms: (0, 0),
        delivered_ms: (0, 0),
        read_ms: (0, 0),
        read_probability: 1.0,
    };
}
