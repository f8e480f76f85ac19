//! Webhooks as Meta writes them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use outeract_graph::signature::sign;
use outeract_seal::Secret;
use tokio::sync::Mutex;

use crate::http::Connection;
use crate::load::{self, Measured};
use crate::stage::{Stage, Tenant};

/// Users who write to a number.
pub(crate) struct Source {
    phone_number_id: String,
    waba_id: String,
    secret: Secret,
    next: AtomicU64,
}

/// How many users write.
const USERS: u64 = 1_000;

// === impl Source ===

impl Source {
    /// Users who write to the first number of a tenant.
    pub(crate) fn new(stage: &Stage, tenant: &Tenant) -> Result<Arc<Self>> {
        let waba = tenant.meta.wabas.first().context("a WABA")?;
        Ok(Arc::new(Self {
            phone_number_id: waba.numbers.first().context("a number")?.phone_number_id.clone(),
            waba_id: waba.waba_id.clone(),
            secret: Secret::from(stage.urls.get("APP_SECRET")?),
            next: AtomicU64::new(0),
        }))
    }

    /// Posts webhooks of `items` messages each over `in_flight` connections for `time`.
    pub(crate) async fn post(
        self: &Arc<Self>,
        address: &str,
        in_flight: usize,
        items: u64,
        time: Duration,
    ) -> Result<Measured> {
        let mut lanes = Vec::new();
        for _ in 0..in_flight {
            let connection = Arc::new(Mutex::new(Connection::open(address).await?));
            let source = Arc::clone(self);
            lanes.push(move || {
                let (connection, source) = (Arc::clone(&connection), Arc::clone(&source));
                async move {
                    let body = source.body(items);
                    let header = format!("x-hub-signature-256: {}", sign(body.as_bytes(), &source.secret));
                    connection
                        .lock()
                        .await
                        .post(outeract_webhook::PATH, &header, body.as_bytes())
                        .await
                        .unwrap_or(false)
                }
            });
        }
        load::closed(lanes, time).await
    }

    /// Text messages, each from the next user.
    fn body(&self, items: u64) -> String {
        let first = self.next.fetch_add(items, Ordering::Relaxed);
        let (mut contacts, mut messages) = (String::new(), String::new());
        let at = unix_seconds();
        for number in first..first + items {
            let comma = if number == first { "" } else { "," };
            let user = 14_155_550_000 + number % USERS;
            // Writing to a string cannot fail.
            let _ = write!(
                contacts,
                r#"{comma}{{"profile":{{"name":"Bench User"}},"wa_id":"{user}","user_id":"US.{user}"}}"#
            );
            let _ = write!(
                messages,
                r#"{comma}{{"from":"{user}","from_user_id":"US.{user}","id":"wamid.HBgLMTQxNTU1NTAwMDAVAgASGBQzQUJFTkNI{number:020}","timestamp":"{at}","type":"text","text":{{"body":"Hello, I would like to know when my order will arrive. Thank you for your help, it is rather urgent this time."}},"context":{{"from":"15550783881","id":"wamid.HBgLMTQxNTU1NTAwMDAVAgARGBI5QTNDQTVCM0Q0Q0Q2RTY3RTcA"}}}}"#
            );
        }
        format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"{waba}","changes":[{{"value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550783881","phone_number_id":"{phone}"}},"contacts":[{contacts}],"messages":[{messages}]}},"field":"messages"}}]}}]}}"#,
            waba = self.waba_id,
            phone = self.phone_number_id,
        )
    }
}

/// Waits until every stored webhook is decoded.
pub(crate) async fn drained(stage: &Stage) -> Result<()> {
    loop {
        let behind: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(head - decoded), 0)::bigint FROM webhook.lane JOIN webhook.cursor USING (lane)",
        )
        .fetch_one(&stage.pool)
        .await?;
        if behind == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "Meta's own clock, in a benchmark")]
fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
