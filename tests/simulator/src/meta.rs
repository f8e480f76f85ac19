//! The one state behind all endpoints.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::config::{Config, StatusDelays};
use crate::faults::Faults;
use crate::ids::Ids;
use crate::known::Known;
use crate::ledger::Ledger;
use crate::media::Media;
use crate::outbox::{Outbox, Update};
use crate::users::Users;
use crate::webhook;
use crate::world::{Number, Waba, World};

/// Everything the simulator knows.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) config: Config,
    pub(crate) ids: Ids,
    pub(crate) world: RwLock<World>,
    pub(crate) users: Users,
    pub(crate) media: Media,
    /// Links that Meta cannot fetch from.
    pub(crate) broken_links: RwLock<HashSet<String>>,
    pub(crate) known: Known,
    pub(crate) faults: Faults,
    pub(crate) switches: RwLock<Switches>,
    pub(crate) delays: RwLock<StatusDelays>,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) outbox: Outbox,
    pub(crate) subscription: Mutex<Option<Subscription>>,
    pub(crate) counts: Counts,
    pub(crate) http: reqwest::Client,
    /// How far the simulator's clock is ahead of the machine's, in milliseconds.
    ahead_ms: AtomicI64,
}

/// The limits that are enforced. All are, until they are switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Switches {
    /// The 24-hour window: 131047.
    pub window: bool,
    /// The rate of a pair of number and user: 131056.
    pub pair: bool,
    /// A number's throughput: 130429.
    pub throughput: bool,
    /// A portfolio's unique users outside windows: 131048.
    pub tier: bool,
    /// The calls of an account's management: 80007.
    pub management: bool,
    /// A message outside the window is accepted and then fails with 131047, instead of being refused at once.
    pub window_fails_later: bool,
}

/// The app's subscription.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub(crate) callback_url: String,
    pub(crate) fields: Vec<String>,
}

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) calls: Count,
    pub(crate) refused: Mutex<std::collections::BTreeMap<i32, u64>>,
    pub(crate) posts: Count,
    pub(crate) posts_failed: Count,
}

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

/// What a configured subscription is to.
const FIELDS: &[&str] = &[
    "messages",
    "account_update",
    "business_capability_update",
    "phone_number_quality_update",
    "message_template_status_update",
    "message_template_quality_update",
    "message_template_components_update",
    "template_category_update",
    "user_preferences",
    "user_id_update",
    "smb_message_echoes",
    "account_review_update",
    "phone_number_name_update",
    "business_username_update",
];

// === impl Meta ===

impl Meta {
    pub(crate) fn new(config: Config) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(2))
            .build()?;
        Ok(Self {
            ids: Ids::new(config.seed),
            delays: RwLock::new(config.statuses),
            subscription: Mutex::default(),
            config,
            http,
            world: RwLock::default(),
            users: Users::default(),
            media: Media::default(),
            broken_links: RwLock::default(),
            known: Known::default(),
            faults: Faults::default(),
            switches: RwLock::default(),
            ledger: Mutex::default(),
            outbox: Outbox::default(),
            counts: Counts::default(),
            ahead_ms: AtomicI64::new(0),
        })
    }

    pub(crate) fn world(&self) -> RwLockReadGuard<'_, World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn world_mut(&self) -> RwLockWriteGuard<'_, World> {
        self.world.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn number(&self, id: &str) -> Option<Arc<Number>> {
        self.world().numbers.get(id).cloned()
    }

    pub(crate) fn waba(&self, id: &str) -> Option<Arc<Waba>> {
        self.world().wabas.get(id).cloned()
    }

    pub(crate) fn switches(&self) -> Switches {
        *self.switches.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn delays(&self) -> StatusDelays {
        *self.delays.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything that was made, and goes back to the configured subscription. The app's id and secret together are always a token.
    pub(crate) fn forget_world(&self) {
        self.users.clear();
        self.media.clear();
        self.broken_links
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let mut world = World::default();
        let (id, secret) = (&self.config.app_id, &self.config.app_secret);
        world.app_token(format!("{id}|{secret}"), secret);
        *self.world_mut() = world;
        *self.subscription.lock().unwrap_or_else(PoisonError::into_inner) = configured(&self.config);
    }

    /// Where webhooks go; `None` while the app is not subscribed to `messages`.
    pub(crate) fn callback(&self) -> Option<String> {
        let subscription = self.subscription.lock().unwrap_or_else(PoisonError::into_inner);
        let subscribed = subscription
            .as_ref()
            .filter(|is| is.fields.iter().any(|field| field == "messages"));
        subscribed.map(|is| is.callback_url.clone())
    }

    /// Tells of a change in a field of its own, if the app is subscribed to the account and to the field.
    pub(crate) fn announce(&self, waba_id: &str, subscribed: &AtomicBool, field: &str, value: &serde_json::Value) {
        let subscription = self.subscription.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = subscription
            .as_ref()
            .is_some_and(|is| is.fields.iter().any(|wanted| wanted == field));
        if wanted && subscribed.load(Ordering::Relaxed) {
            self.outbox.now([Update::Change {
                waba_id: waba_id.to_owned(),
                field: field.to_owned(),
                value: Arc::from(webhook::raw(value)),
                at: self.now_ms() / 1_000,
            }]);
        }
    }

    /// The time of day, in unix milliseconds.
    #[expect(
        clippy::disallowed_methods,
        reason = "the simulator stands for another company's clock"
    )]
    pub(crate) fn now_ms(&self) -> i64 {
        let machine = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        machine as i64 + self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Moves the clock on.
    pub(crate) fn advance(&self, by_ms: i64) {
        self.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Asks the callback whether it wants webhooks, as Meta does while it is subscribed. Says what was wrong.
    pub(crate) async fn handshake(&self, callback_url: &str, verify_token: &str) -> Result<(), String> {
        let challenge = self.ids.challenge();
        let query = [
            ("hub.mode", "subscribe"),
            ("hub.challenge", &challenge),
            ("hub.verify_token", verify_token),
        ];
        let request = self
            .http
            .get(callback_url)
            .query(&query)
            .timeout(Duration::from_secs(10));
        let response = request.send().await.map_err(|_| "Connection Error".to_owned())?;
        let status = response.status().as_u16();
        let body = response.text().await.unwrap_or_default();
        if status == 200 && body == challenge {
            Ok(())
        } else {
            Err(format!(
                "HTTP Status Code = {status}; HTTP Message = the challenge did not come back"
            ))
        }
    }
}

fn configured(config: &Config) -> Option<Subscription> {
    config.webhook_url.clone().map(|callback_url| Subscription {
        callback_url,
        fields: FIELDS.iter().map(|field| (*field).to_owned()).collect(),
    })
}

// === impl Switches ===

impl Default for Switches {
    fn default() -> Self {
        Self {
            window: true,
            pair: true,
            throughput: true,
            tier: true,
            management: true,
            window_fails_later: false,
        }
    }
}

impl Switches {
    /// No limit is enforced.
    pub const OFF: Self = Self {
        window: false,
        pair: false,
        throughput: false,
        tier: false,
        management: false,
        window_fails_later: false,
    };
}

// === impl Counts ===

impl Counts {
    pub(crate) fn refuse(&self, code: i32) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(code).or_default() += 1;
    }
}

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
